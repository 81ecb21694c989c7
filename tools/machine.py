"""Draw a state machine from its table, as an SVG picture and a Markdown table, so that neither can lie.

An arc diagram: the states stand in one row in the order of their enum, a change to a later state is an arc above, to
an earlier one an arc below. It needs no layout program, and any table of states and events comes out readable.
What leaves the state as it is, is not drawn; the table has it. (h11 makes its diagrams from its tables likewise.)
"""

from collections.abc import Collection, Mapping
from enum import Enum
from html import escape
from typing import Final, TypeVar

S = TypeVar("S", bound=Enum)
E = TypeVar("E", bound=Enum)
Table = Mapping[S, Mapping[E, S]]

STEP: Final = 210  # from one state to the next
BOX: Final = (110, 40)
RISE: Final = 56  # how much higher an arc is for each state that it spans
MARGIN: Final = 24
# The picture brings its own ground: it is to be read on a light page and on a dark one.
STYLE: Final = (
    "text{font:13px system-ui,sans-serif;text-anchor:middle;fill:#1f2328}"
    ".event{font-size:12px;paint-order:stroke;stroke:#fff;stroke-width:4px}"
    "path{fill:none;stroke:#57606a;stroke-width:1.3}"
    "rect{stroke:#57606a}"
)


def arcs(table: Table[S, E]) -> dict[tuple[S, S], list[E]]:
    """(from, to) -> the events that lead there; without those that change nothing."""
    found: dict[tuple[S, S], list[E]] = {}
    for state, events in table.items():
        for event, following in events.items():
            if following is not state:
                found.setdefault((state, following), []).append(event)
    return found


def picture(table: Table[S, E], good: Collection[S], title: str) -> str:
    """An SVG document. good: the states to be drawn in green."""
    states = list(table)
    edges = arcs(table)
    place = {state: MARGIN + BOX[0] / 2 + index * STEP for index, state in enumerate(states)}
    spans = [states.index(after) - states.index(before) for before, after in edges]
    above = MARGIN + RISE * max([*spans, 0])
    below = MARGIN + RISE * max([*(-span for span in spans), 0])
    width = 2 * MARGIN + BOX[0] + STEP * (len(states) - 1)
    middle = above + BOX[1] / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {above + BOX[1] + below}" '
        f'width="{width}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0L8 4L0 8z" style="fill:#57606a;stroke:none"/></marker></defs>',
        '<rect width="100%" height="100%" rx="6" style="fill:#fff;stroke:none"/>',
    ]
    for (before, after), events in edges.items():
        span = states.index(after) - states.index(before)
        side = -1 if span > 0 else 1
        edge = middle + side * BOX[1] / 2
        # Arcs leave right of a box's middle and arrive left of it (below: the reverse), so that no two share an end.
        start, end = place[before] - side * 22, place[after] + side * 22
        top = edge + side * (RISE * abs(span) - 12)
        # A cubic's middle is three quarters of the way to its control points.
        control = edge + (top - edge) * 4 / 3
        parts.append(
            f'<path marker-end="url(#head)" '
            f'd="M{start:.0f} {edge:.0f}C{start:.0f} {control:.0f} {end:.0f} {control:.0f} {end:.0f} {edge:.0f}"/>'
        )
        names = escape(", ".join(_word(event) for event in events))
        parts.append(f'<text class="event" x="{(start + end) / 2:.0f}" y="{top - side * 24 + 4:.0f}">{names}</text>')
    for state in states:
        fill = "#dafbe1" if state in good else "#ffebe9"
        corner = f'x="{place[state] - BOX[0] / 2:.0f}" y="{above}"'
        parts.append(f'<rect {corner} width="{BOX[0]}" height="{BOX[1]}" rx="8" style="fill:{fill}"/>')
        parts.append(f'<text x="{place[state]:.0f}" y="{middle + 5:.0f}">{escape(_word(state))}</text>')
    return "\n".join([*parts, "</svg>\n"])


def markdown(table: Table[S, E]) -> str:
    """The table itself: a row for each event with its meaning, a column for each state."""
    states = list(table)
    events = list(dict.fromkeys(event for row in table.values() for event in row))
    rows = [
        ["event", "what was seen", *(f"from {_word(state)}" for state in states)],
        ["---"] * (len(states) + 2),
        *([_word(event), str(event.value), *(_word(table[state][event]) for state in states)] for event in events),
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _word(member: Enum) -> str:
    return member.name.lower().replace("_", " ")
