"""The ladder's picture has every figure at its place, and the committed one is that of the committed figures."""

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest

from bench.ladder import page
from bench.ladder.__main__ import DOCS, PICTURE
from bench.ladder.cells import CONNECTIONS, TITLES, Cell
from bench.ladder.page import FILE
from bench.ladder.picture import HEIGHT, PANELS, TOP, WIDTH, draw, ticks

CELL = Cell(1, "one-loop", 10, 1000, 5000.0, 800.0, 2000.0, 20.0, 0.5, 0.4, 0.02, 30 * 1024 * 1024, 0, 0)


def circles(svg: str) -> list[tuple[float, float]]:
    """The points that are drawn, but that of the legend."""
    found = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', svg)
    return [(float(x), float(y)) for x, y in found][:-1]


def test_the_committed_picture_is_that_of_the_committed_figures() -> None:
    """Else: `python -m bench.ladder --show docs/ladder.json --docs`, and look at it."""
    assert draw(page.read(DOCS / FILE).cells) == (DOCS / PICTURE).read_text(encoding="utf-8")


def test_more_is_higher_and_all_of_it_is_within_the_picture() -> None:
    cells = [
        replace(CELL, rung=rung, connections=many, requests_per_s=many * number, p99_us=many * 9.0 * number)
        for number, rung in enumerate(TITLES, 1)
        for many in CONNECTIONS
    ]
    svg = draw(cells)
    points = circles(svg)
    assert len(PANELS) * len(cells) == len(points)
    assert all(0 < x < WIDTH and TOP <= y <= TOP + HEIGHT for x, y in points)
    of_last = [y for _, y in points[20:24]]
    assert sorted(of_last, reverse=True) == of_last
    words = "\n".join(element.text or "" for element in ElementTree.fromstring(svg).iter())
    assert all(word in words for word in (*TITLES.values(), "5,000", "requests/s", "p99 in ms", "memory in MiB"))


def test_who_answered_nobody_has_no_latency_and_who_met_errors_is_hollow() -> None:
    silent = replace(CELL, connections=100, requests=0, requests_per_s=0.0, p99_us=0.0, unanswered=100)
    svg = draw([CELL, silent])
    assert 2 * len(PANELS) - 1 == len(circles(svg))
    assert 2 + 1 == svg.count("fill:#fff;stroke")


@pytest.mark.parametrize(
    ("values", "is_log", "expected"),
    [
        ([3.0, 900.0], True, [1, 10, 100, 1000]),
        ([0.0, 5.0], True, [1, 10]),
        ([10.0], True, [10, 100]),
        ([], True, [1, 10]),
        ([45_000.0], False, [0, 10_000, 20_000, 30_000, 40_000, 50_000]),
        ([60_000.0, 1.0], False, [0, 10_000, 20_000, 30_000, 40_000, 50_000, 60_000]),
        ([0.0], False, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
    ],
)
def test_a_scale_has_round_numbers_and_room_for_all(values: list[float], is_log: bool, expected: list[float]) -> None:
    assert pytest.approx(expected) == ticks(values, is_log)
