"""The page "what happens when..." knows every way in which a request can end, and every event that is counted."""

import re
from pathlib import Path

import pytest

from steelyard.errors import KINDS, STATUS, TRUNCATED, Kind
from steelyard.observe.counters import ANSWERED, EVENTS

PAGE = (Path(__file__).parent.parent.parent / "docs" / "what-happens-when.md").read_text()
WORDS = re.findall(r"`([a-z_]+)`", PAGE)


@pytest.mark.parametrize("word", [*KINDS, ANSWERED, *EVENTS])
def test_it_has_a_place_for_every_counter(word: str) -> None:
    assert word in WORDS


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.word)
def test_what_it_says_of_a_status_is_so(kind: Kind) -> None:
    """In the row of a word stands the status that its client sees, where it is one that a request can end with."""
    rows = [line for line in PAGE.splitlines() if line.startswith("|") and f"`{kind.word}`" in line]
    assert rows
    if kind.status and kind not in (STATUS, TRUNCATED):
        assert any(str(kind.status) in row for row in rows)
