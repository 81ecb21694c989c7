"""A camera: posts a picture every now and then, and prints what the manager says of it.

    python camera/camera.py [--frames 10] [--every 0.5] [http://localhost:8080]

What it sees is drawn: a bright disc that goes round over a dark field.
"""

import argparse
import io
import json
import math
import time
import urllib.request
from typing import Any

from PIL import Image, ImageDraw

WIDTH, HEIGHT = 320, 240
ROUND = 24  # frames in which the disc goes round once


def frame(number: int) -> bytes:
    """What the camera sees, as a JPEG."""
    picture = Image.new("RGB", (WIDTH, HEIGHT), (16, 24, 48))
    angle = 2 * math.pi * number / ROUND
    x, y = WIDTH / 2 + 90 * math.cos(angle), HEIGHT / 2 + 70 * math.sin(angle)
    ImageDraw.Draw(picture).ellipse((x - 30, y - 30, x + 30, y + 30), fill=(250, 220, 120))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=80)
    return out.getvalue()


def post(door: str, picture: bytes) -> dict[str, Any]:
    """Send a picture; what the manager says of it. Raises OSError."""
    headers = {"Content-Type": "image/jpeg", "User-Agent": "camera"}
    with urllib.request.urlopen(urllib.request.Request(door, picture, headers), timeout=30) as answer:
        said: dict[str, Any] = json.load(answer)
        return said


def main() -> None:
    parser = argparse.ArgumentParser(description="Post drawn pictures.")
    parser.add_argument("door", nargs="?", default="http://localhost:8080")
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("--every", type=float, default=0.5, metavar="SECONDS")
    options = parser.parse_args()
    for number in range(options.frames):
        if number:
            time.sleep(options.every)
        try:
            said = post(options.door, frame(number))
        except OSError as exc:
            raise SystemExit(f"{options.door}: {exc}") from None
        small = said["thumbnail"]
        print(f"frame {number}: {said['worker']} made {small['width']} x {small['height']} of it", flush=True)


if __name__ == "__main__":
    main()
