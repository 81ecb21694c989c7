"""The ladder as a picture: requests a second, p99 and memory over the number of connections, a line a rung.

Plain SVG, made here: docs/images needs no matplotlib for it, and two runs on the same figures give the same bytes.
"""

from collections.abc import Callable, Iterator, Sequence
from html import escape
from math import ceil, floor, log10
from typing import Final

from bench.ladder.cells import TITLES, Cell, medians

TITLE: Final = "Requests a second, p99 latency and memory of six balancers, from 10 to 5,000 connections"
HOLLOW: Final = "hollow: some clients met errors, or got no answer at all, and count in no latency"
WIDTH: Final = 940
PANEL: Final = 250  # a panel's drawing: its width
HEIGHT: Final = 240  # and its height
LEFT: Final = 58  # the place left of it for the scale
TOP: Final = 46
GAP: Final = 305  # from one panel to the next
LEGEND: Final = TOP + HEIGHT + 62
LEGEND_COLUMN: Final = 290
LINE: Final = 22

# The rungs get warmer upwards, and Steelyard has the line of the rung that it is built like, dashed.
COLOURS: Final = {
    "thread-each": "#8250df",
    "thread-pool": "#0969da",
    "one-loop": "#1a7f37",
    "several-loops": "#bc4c00",
    "steelyard-1": "#1a7f37",
    "steelyard-2": "#bc4c00",
}
# The picture brings its own ground: it is to be read on a light page and on a dark one.
STYLE: Final = (
    "text{font:12px system-ui,'DejaVu Sans',sans-serif;fill:#1f2328}.title{font-weight:600;font-size:14px}"
    ".scale{fill:#57606a;font-size:11px}.end{text-anchor:end}.middle{text-anchor:middle}"
    "path{fill:none;stroke-width:2.2}.grid{stroke:#d8dee4;stroke-width:1}.steelyard{stroke-dasharray:5 4}"
)

Value = Callable[[Cell], float]
PANELS: Final[tuple[tuple[str, Value, bool], ...]] = (
    ("requests/s", lambda cell: cell.requests_per_s, False),
    ("p99 in ms", lambda cell: cell.p99_us / 1000, True),
    ("memory in MiB", lambda cell: cell.memory_bytes / 1024 / 1024, True),
)


def draw(cells: Sequence[Cell]) -> str:
    """The SVG document."""
    found = medians(cells)
    rungs = [rung for rung in TITLES if any(cell.rung == rung for cell in found)]
    foot = LEGEND + LINE * ceil(len(rungs) / 3)
    height = foot + LINE
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img">',
        f"<title>{escape(TITLE)}</title><style>{STYLE}</style>",
        '<rect width="100%" height="100%" rx="6" style="fill:#fff"/>',
    ]
    for number, (title, value, is_log) in enumerate(PANELS):
        drawn += _panel(LEFT + number * GAP, title, found, rungs, value, is_log)
    for number, rung in enumerate(rungs):
        x, y = LEFT + number % 3 * LEGEND_COLUMN, LEGEND + number // 3 * LINE
        drawn.append(_path(rung, [(x, y - 4), (x + 30, y - 4)]))
        drawn.append(_text(x + 38, y, TITLES[rung]))
    drawn.append(_point(LEFT + 15, foot - 4, "#57606a", True))
    drawn.append(_text(LEFT + 38, foot, HOLLOW))
    return "\n".join([*drawn, "</svg>\n"])


def _panel(
    left: float, title: str, cells: Sequence[Cell], rungs: Sequence[str], value: Value, is_log: bool
) -> Iterator[str]:
    counts = sorted({cell.connections for cell in cells})
    places = {many: left + (number + 0.5) * PANEL / len(counts) for number, many in enumerate(counts)}
    marks = ticks([value(cell) for cell in cells], is_log)

    def height_of(number: float) -> float:
        low, high = marks[0], marks[-1]
        if is_log:
            share = log10(number / low) / log10(high / low)
        else:
            share = (number - low) / (high - low)
        return TOP + HEIGHT * (1 - share)

    yield _text(left, TOP - 20, title, "title")
    for mark in marks:
        y = height_of(mark)
        yield f'<path class="grid" d="M{left:g} {y:.1f}H{left + PANEL:g}"/>'
        yield _text(left - 7, y + 4, f"{mark:,g}", "scale end")
    for many, x in places.items():
        yield _text(x, TOP + HEIGHT + 18, f"{many:,}", "scale middle")
    yield _text(left + PANEL / 2, TOP + HEIGHT + 34, "connections", "scale middle")
    for rung in rungs:
        of_rung = [cell for cell in cells if cell.rung == rung and (value(cell) > 0 or not is_log)]
        points = [(places[cell.connections], height_of(value(cell))) for cell in of_rung]
        yield _path(rung, points)
        for cell, (x, y) in zip(of_rung, points, strict=True):
            yield _point(x, y, COLOURS[rung], cell.errors > 0 or cell.unanswered > 0)


def ticks(values: Sequence[float], is_log: bool) -> list[float]:
    """Round numbers for a scale that has room for all of the values: at least two, in order."""
    if is_log:
        positive = [value for value in values if value > 0] or [1.0]
        low, high = floor(log10(min(positive))), ceil(log10(max(positive)))
        return [10.0**power for power in range(low, max(high, low + 1) + 1)]
    most = max(values, default=0.0) or 1.0
    step = 10 ** floor(log10(most))
    step = next(step * part for part in (0.1, 0.2, 0.5, 1, 2) if most / (step * part) <= 6)
    return [step * number for number in range(ceil(most / step) + 1)]


def _path(rung: str, points: Sequence[tuple[float, float]]) -> str:
    kind = ' class="steelyard"' if rung.startswith("steelyard") else ""
    way = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path{kind} d="M{way}" style="stroke:{COLOURS[rung]}"/>'


def _point(x: float, y: float, colour: str, is_hollow: bool) -> str:
    fill = "#fff" if is_hollow else colour
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.6" style="fill:{fill};stroke:{colour};stroke-width:1.6"/>'


def _text(x: float, y: float, words: str, kind: str = "") -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:.1f}">{escape(words)}</text>'
