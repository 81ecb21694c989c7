"""Draw docs/images/processes.svg: who runs, what each has, and what they say to each other.

    python docs/images/make_process_picture.py

All words in it are those of the program (src/steelyard/processes/description.py), which refuses to send a message that
is not there; only the two things below that they share are named here. `messages` is the same as a table.
"""

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Final

from steelyard.processes.description import CONTROL, MESSAGES, PARTS, SUPERVISOR, WORKER, Message, Part

HERE: Final = Path(__file__).resolve().parent
PICTURE: Final = HERE / "processes.svg"
TITLE: Final = "The processes of a balancer, what each does and holds, and the messages between them"

MARGIN: Final = 20
WIDTH: Final = 940
LINE: Final = 18
PAD: Final = 14
HEAD: Final = 32  # a box's title
GAP: Final = 6  # above a heading within a box
BOX: Final = 350  # its width: control, and worker
STACK: Final = 7  # how far the workers behind the first one look out
ALLEY: Final = 26  # right of the workers, for what the supervisor shares with them
SIDES: Final = (MARGIN, WIDTH - MARGIN - ALLEY - BOX - 2 * STACK)  # where those two begin
TALKS: Final = (240, SIDES[1] + BOX / 2)  # where they talk with the supervisor
SPLIT: Final = SIDES[1] + 110  # between the two things that are shared
TRUNK: Final = 12  # between the arrow that goes down and the one that comes up, from the middle of each

# What they share lies below: what it is, whose it is, and what joins it.
TABLE: Final = ("the table", "shared memory: health, weights, counts; a column a worker")
SOCKETS: Final = ("the listening sockets", "one of each listener a worker")

# The picture brings its own ground: it is to be read on a light page and on a dark one.
STYLE: Final = (
    "text{font:13px system-ui,'DejaVu Sans',sans-serif;fill:#1f2328}"
    ".name{font-weight:600;font-size:15px}.many{fill:#57606a;font-size:13px;font-weight:400}"
    ".group{fill:#57606a;font-size:11px}.message{font-size:12.5px}.brings{fill:#8250df;font-size:11px}"
    ".end{text-anchor:end}.middle{text-anchor:middle}"
    "rect{stroke:#57606a;stroke-width:1}path{fill:none;stroke:#57606a;stroke-width:1.4}"
    ".shares{stroke-dasharray:2 4;stroke-width:1.6}"
)
FILLS: Final = {SUPERVISOR: "#ddf4ff", CONTROL: "#fff8c5", WORKER: "#dafbe1"}
SHARED_FILL: Final = "#f6f8fa"


def picture() -> str:
    """The SVG document."""
    parts = {part.name: part for part in PARTS}
    top = MARGIN
    above = top + _height([parts[SUPERVISOR].does], [parts[SUPERVISOR].holds])
    between = max(len(said(SUPERVISOR, other)) for other in (CONTROL, WORKER))
    between = max(between, *(len(said(other, SUPERVISOR)) for other in (CONTROL, WORKER))) * LINE + 44
    below = above + between
    tallest = max(_height([parts[name].does, parts[name].holds]) for name in (CONTROL, WORKER))
    shared = below + tallest + 2 * STACK + 34
    height = shared + HEAD + LINE + PAD + MARGIN
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img">',
        f"<title>{escape(TITLE)}</title><style>{STYLE}</style>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0L8 4L0 8z" style="fill:#57606a;stroke:none"/></marker></defs>',
        '<rect width="100%" height="100%" rx="6" style="fill:#fff;stroke:none"/>',
        *_box(MARGIN, top, WIDTH - 2 * MARGIN, above - top, parts[SUPERVISOR], columns=True),
    ]
    for name, side, middle in zip((CONTROL, WORKER), SIDES, TALKS, strict=True):
        drawn += _talk(middle, above, below, name)
        for behind in range(2 if name == WORKER else 0, 0, -1):
            drawn.append(_rect(side + behind * STACK, below + behind * STACK, BOX, tallest, FILLS[name]))
        drawn += _box(side, below, BOX, tallest, parts[name])
    drawn += _shared(MARGIN, SPLIT - 10, shared, TABLE)
    drawn += _shared(SPLIT + 10, WIDTH - MARGIN, shared, SOCKETS)
    workers = below + tallest + 2 * STACK
    for x, y in (
        (SIDES[0] + BOX / 2, below + tallest),  # control: the table
        ((SIDES[0] + BOX + SIDES[1]) / 2, above),  # the supervisor: the table
        (SIDES[1] + 60, workers),  # a worker: the table
        (SIDES[1] + BOX - 90, workers),  # a worker: sockets
        (WIDTH - MARGIN - ALLEY / 2 + 2, above),  # the supervisor: sockets
    ):
        drawn.append(f'<path class="shares" d="M{x:g} {y:g}V{shared:g}"/>')
    return "\n".join([*drawn, "</svg>\n"])


def said(sender: str, receiver: str) -> list[Message]:
    """What one says to the other."""
    return [message for message in MESSAGES if (message.sender, message.receiver) == (sender, receiver)]


def messages() -> str:
    """The messages as a Markdown table."""
    rows = [("from", "to", "message", "means", "brings"), ("---",) * 5]
    rows += [(one.sender, one.receiver, f"`{one.name}`", one.means, one.brings) for one in MESSAGES]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _height(*columns: Sequence[Sequence[str]]) -> int:
    """Of a box: in each column lists, one below the other, each with a small heading."""
    return HEAD + PAD + max(sum((len(lines) + 1) * LINE + GAP for lines in lists) - GAP for lists in columns)


def _rect(x: float, y: float, width: float, height: float, fill: str) -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="8" style="fill:{fill}"/>'


def _text(x: float, y: float, words: str, kind: str = "") -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}">{escape(words)}</text>'


def _box(x: float, y: float, width: float, height: float, part: Part, columns: bool = False) -> Iterator[str]:
    """One process."""
    yield _rect(x, y, width, height, FILLS[part.name])
    many = "" if part.number == "1" else f'<tspan class="many" dx="8">one of {escape(part.number)}</tspan>'
    yield f'<text class="name" x="{x + PAD:g}" y="{y + 22:g}">{escape(part.name)}{many}</text>'
    at = y + HEAD
    for number, (heading, lines) in enumerate((("does", part.does), ("holds", part.holds))):
        left = x + PAD + (width / 2 if columns and number else 0)
        if columns:
            at = y + HEAD
        yield _text(left, at + LINE - 6, heading, "group")
        for line in lines:
            at += LINE
            yield _text(left, at + LINE - 5, line)
        at += LINE + GAP


def _talk(middle: float, above: float, below: float, other: str) -> Iterator[str]:
    """The messages between the supervisor and another: down on the left, up on the right."""
    down, up = middle - TRUNK, middle + TRUNK
    yield f'<path marker-end="url(#head)" d="M{down:g} {above:g}V{below - 2:g}"/>'
    yield f'<path marker-end="url(#head)" d="M{up:g} {below:g}V{above + 2:g}"/>'
    for x, kind, heard in ((down - 9, "end", said(SUPERVISOR, other)), (up + 9, "", said(other, SUPERVISOR))):
        at = (above + below) / 2 - (len(heard) - 1) * LINE / 2 + 4
        for message in heard:
            brings = f'<tspan class="brings">{escape(message.brings)}</tspan>'
            words = f"{escape(message.name)}"
            if message.brings:
                words = f"{brings}  {words}" if kind else f"{words}  {brings}"
            yield f'<text class="message {kind}" xml:space="preserve" x="{x:g}" y="{at:g}">{words}</text>'
            at += LINE


def _shared(left: float, right: float, y: float, words: tuple[str, str]) -> Iterator[str]:
    yield _rect(left, y, right - left, HEAD + LINE + PAD - 8, SHARED_FILL)
    yield _text(left + PAD, y + 22, words[0], "name")
    yield _text(left + PAD, y + 42, words[1])


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
    print(PICTURE)
