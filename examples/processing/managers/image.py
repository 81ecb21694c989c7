"""Image processing: a thumbnail of a picture and its size, with Pillow."""

import base64
import io
import warnings
from typing import Any, NamedTuple

from PIL import Image, ImageOps, UnidentifiedImageError

from managers.answer import said
from steelyard import Task, TaskRefused

SIDE = 128  # pixels, of the longer one
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "WEBP")
# A picture of a few KiB may say that it has a billion pixels.
Image.MAX_IMAGE_PIXELS = 50_000_000


class Thumbnail(NamedTuple):
    """A small picture, and the format, width and height of the one that it was made of."""

    of: tuple[str, int, int]
    width: int
    height: int
    body: bytes
    content_type: str


def image(task: Task) -> tuple[bytes | str, str]:
    """A thumbnail with its size, in JSON; for a path that ends in /thumbnail the picture itself."""
    made = thumbnail(task.body)
    if task.path.endswith("/thumbnail"):
        return made.body, made.content_type
    return said(task, described(made))


def thumbnail(body: bytes) -> Thumbnail:
    """A thumbnail, upright: a PNG of what has transparency or few colours, else a JPEG. Raises TaskRefused."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(body), formats=FORMATS) as picture:
                of = (picture.format or "", *picture.size)
                small = ImageOps.exif_transpose(picture)
                if small.mode.startswith("I"):  # 16 bits of grey, as scanners and telescopes have it
                    small = small.convert("I").point(lambda value: value / 256).convert("L")
                small.thumbnail((SIDE, SIDE))
    except Exception as exc:  # decoders raise what they like over bytes of strangers
        reason = f"none of {', '.join(FORMATS)}" if isinstance(exc, UnidentifiedImageError) else str(exc)
        raise TaskRefused(f"the image cannot be read: {reason}") from exc
    as_png = small.mode in ("RGBA", "LA", "P", "PA", "1")
    out = io.BytesIO()
    if as_png:
        small.save(out, "PNG")
    else:
        small.convert("RGB").save(out, "JPEG", quality=85)
    return Thumbnail(of, *small.size, out.getvalue(), "image/png" if as_png else "image/jpeg")


def described(made: Thumbnail) -> dict[str, Any]:
    """A thumbnail in words; `data` is a URL that a web page can show."""
    encoded = base64.b64encode(made.body).decode()
    return {
        "format": made.of[0],
        "width": made.of[1],
        "height": made.of[2],
        "thumbnail": {
            "width": made.width,
            "height": made.height,
            "bytes": len(made.body),
            "data": f"data:{made.content_type};base64,{encoded}",
        },
    }
