"""Makes the picture and the video that lie beside it: `python make_samples.py`. Needs Pillow and PyAV."""

from fractions import Fraction
from pathlib import Path

import av
from PIL import Image, ImageDraw

HERE = Path(__file__).resolve().parent
LEVELS = (0, 128, 255, 200) * 6  # how bright each frame of the video is
RATE = 12


def picture() -> Image.Image:
    """A transparent field with a beam balance on it."""
    made = Image.new("RGBA", (400, 300), (0, 0, 0, 0))
    draw = ImageDraw.Draw(made)
    draw.line((40, 120, 360, 80), fill=(60, 60, 60, 255), width=10)
    draw.polygon([(140, 108), (120, 280), (160, 280)], fill=(120, 90, 40, 255))
    draw.ellipse((320, 90, 380, 150), fill=(200, 60, 40, 255))
    draw.rectangle((20, 130, 80, 190), fill=(40, 110, 180, 255))
    return made


def video(target: Path) -> None:
    """Two seconds of grey, each frame of one level."""
    with av.open(target, "w") as container:
        stream = container.add_stream("mpeg4", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number, level in enumerate(LEVELS):
            frame = av.VideoFrame(64, 48, "rgb24")
            frame.planes[0].update(bytes([level]) * frame.planes[0].buffer_size)
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode())


if __name__ == "__main__":
    picture().save(HERE / "balance.png", optimize=True)
    video(HERE / "levels.mp4")
