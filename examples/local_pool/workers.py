"""What the workers of this example do: each function takes the path of a file and returns a line about it.

Standard library alone. An image is a PPM file, plain (P3) or raw (P6): https://netpbm.sourceforge.net/doc/ppm.html
"""

import re
import unicodedata
from pathlib import Path
from statistics import fmean

SHADES = " ░▒▓█"
HEAD = re.compile(rb"(P3|P6)\s+(?:#[^\n]*\n\s*)*(\d+)\s+(\d+)\s+(\d+)\s")


def image_processing(path: str) -> str:
    """Size and brightness of an image, and the image itself, four cells wide. ValueError for what is none."""
    data = Path(path).read_bytes()
    head = HEAD.match(data)
    if head is None:
        raise ValueError("no PPM image: it does not begin with P3 or P6, a width, a height and a greatest value")
    width, height, most = map(int, head.groups()[1:])
    body = data[head.end() :]
    samples = list(map(int, body.split())) if head[1] == b"P3" else list(body)
    if len(samples) != 3 * width * height or not 0 < most < 256 or max(samples) > most:
        raise ValueError(f"no whole PPM image: {len(samples)} values for {width} x {height} pixels of three")
    # How bright the three are to the eye (ITU-R BT.709).
    pixels = [
        (0.2126 * red + 0.7152 * green + 0.0722 * blue) / most
        for red, green, blue in zip(samples[::3], samples[1::3], samples[2::3], strict=True)
    ]
    rows = [pixels[start : start + width] for start in range(0, width * height, width)]
    small = [
        fmean(value for row in rows for value in row[cell * width // 4 : (cell + 1) * width // 4 or 1])
        for cell in range(4)
    ]
    drawn = "".join(SHADES[min(int(shade * len(SHADES)), len(SHADES) - 1)] for shade in small)
    return f"{width} x {height}, brightness {fmean(pixels):.0%} [{drawn}]"


def text_processing(path: str) -> str:
    """How many words, in which script, and the longest one. A word is letters that stand together."""
    text = Path(path).read_text(encoding="utf-8")
    words = re.findall(r"[^\W\d_]+", text)
    if not words:
        raise ValueError("no words in it")
    scripts = [unicodedata.name(letter, "unknown").split()[0].lower() for word in words for letter in word]
    script = max(set(scripts), key=scripts.count)
    return f"{len(words)} words of {script}, the longest: {max(words, key=len)}"
