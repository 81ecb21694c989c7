"""What is counted: each end once, over all workers, those included that are no more."""

import pytest

from steelyard import errors
from steelyard.core.table import FIRST_ROW, Table
from steelyard.observe.counters import EVENTS, HEDGES, NAMES, OUTCOMES, STALE_SAVED, Counters


def workers(count: int) -> list[Counters]:
    buffer = bytearray(Table.size_bytes(FIRST_ROW, count))
    return [Counters(Table(buffer, FIRST_ROW, count, number)) for number in range(count)]


@pytest.mark.parametrize("kind", [None, *errors.KINDS.values()])
def test_an_end_is_counted_under_its_word_and_nowhere_else(kind: errors.Kind | None) -> None:
    (counters,) = workers(1)
    counters.ended(kind)
    word = "answered" if kind is None else kind.word
    assert {word: 1} == {name: count for name, count in counters.read().items() if count}


def test_events_are_no_outcomes() -> None:
    (counters,) = workers(1)
    counters.add(HEDGES)
    counters.add(STALE_SAVED)
    read = counters.read()
    assert (1, 1, 0) == (read["hedges"], read["stale_saved"], sum(read[name] for name in OUTCOMES))
    assert len(set(NAMES)) == len(OUTCOMES) + len(EVENTS)


def test_workers_add_up() -> None:
    first, second = workers(2)
    first.ended(None)
    second.ended(None)
    assert 2 == first.read()["answered"] == second.read()["answered"]


def test_what_a_worker_counted_that_died_is_kept() -> None:
    first, second = workers(2)
    for _ in range(3):
        first.ended(None)
    second.ended(None)
    second.table.keep_counters(0)
    second.table.clear_column(0)
    assert 4 == second.read()["answered"]
    first.ended(None)  # its successor, in the same column
    assert 5 == second.read()["answered"]


def test_without_a_table_they_count_for_themselves() -> None:
    counters = Counters()
    counters.ended(errors.NONE_UP)
    assert 1 == counters.read()["none_up"]
