"""core/crowd.py: connections of each client, counted by all."""

from array import array
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.crowd import SINCE, Crowd, crowd_cells, mark_of
from steelyard.core.stable import stable_hash
from steelyard.core.table import BALANCER, WORKERS_LOST, Table

ROW = 1


def a_table(cells: int = 8) -> Table:
    return Table(bytearray(Table.size_bytes(2, 1) + 8 * cells), 2)


def a_crowd(most: int, table: Table | None = None) -> Crowd:
    table = table or a_table()
    return Crowd(table, ROW, table.rest, 0, len(table.rest), most)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 8)), max_size=100), st.integers(1, 4))
def test_of_each_client_so_many_are_let_in_and_who_leaves_makes_room(steps: list[tuple[bool, int]], most: int) -> None:
    table = a_table()
    crowd = a_crowd(most, table)
    model: Counter[int] = Counter()
    for enters, number in steps:
        key = number << 24
        if enters:
            assert (model[key] < most) == crowd.enter(key)
            model[key] = min(model[key] + 1, most)
        else:
            assert (model[key] > 0) == crowd.leave(key)
            model[key] = max(model[key] - 1, 0)
    for key, count in model.items():
        assert count == sum(crowd.leave(key) for _ in range(10))
    assert [0] * 8 == list(table.rest)


def test_who_finds_no_room_for_a_count_is_let_in_uncounted() -> None:
    table = a_table()
    crowd = a_crowd(1, table)
    assert all(crowd.enter(number << 24) for number in range(1, 9))
    assert [True, True, False] == [crowd.enter(9 << 24), crowd.enter(9 << 24), crowd.leave(9 << 24)]
    assert not crowd.enter(8 << 24)
    assert crowd.leave(8 << 24)
    assert [True, False] == [crowd.enter(9 << 24), crowd.enter(9 << 24)]


def test_after_a_workers_death_nobody_is_counted_and_those_who_leave_change_nothing() -> None:
    table = a_table()
    here, there = a_crowd(2, table), a_crowd(2, table)
    assert [True, True, False] == [here.enter(5 << 24) for _ in range(3)]
    table.fetch_add(BALANCER, WORKERS_LOST, 1)
    assert there.enter(6 << 24)
    assert 1 == table.get(ROW, SINCE)
    assert not here.renew()
    assert [False, False] == [here.leave(5 << 24), here.leave(5 << 24)]
    assert [True, True, False] == [here.enter(5 << 24) for _ in range(3)]
    assert there.leave(6 << 24)


@pytest.mark.interpreted
def test_of_two_that_see_a_death_one_clears() -> None:
    table = a_table()
    crowd = a_crowd(2, table)
    table.fetch_add(BALANCER, WORKERS_LOST, 1)

    class Raced:
        def get(self, row: int, cell: int) -> int:
            return 0 if cell == SINCE else 1

        def swap(self, *_: int) -> bool:
            return False

    crowd.table = Raced()  # type: ignore[assignment]
    assert not crowd.renew()


@pytest.mark.interpreted
@pytest.mark.parametrize("nth", range(12))
def test_of_two_workers_at_one_entry_one_is_told_to_look_again(nth: int) -> None:
    class Meanwhile:
        """Cells where something happens just before the nth look."""

        def __init__(self, cells: "memoryview[int]", happens: Callable[[], object]) -> None:
            self.cells, self.left, self.happens = cells, nth, happens

        def __getitem__(self, at: int) -> int:
            if self.left == 0:
                self.happens()
            self.left -= 1
            return self.cells[at]

        def __setitem__(self, at: int, value: int) -> None:
            self.cells[at] = value

    table = a_table()
    here, there = a_crowd(9, table), a_crowd(9, table)
    here.cells = Meanwhile(table.rest, lambda: there.enter(7 << 24))  # type: ignore[assignment]
    assert here.enter(7 << 24)
    assert here.leave(7 << 24)
    while here.cells.left >= 0:  # type: ignore[attr-defined]
        here.cells[0]
    assert [True, False] == [there.leave(7 << 24), there.leave(7 << 24)]


def test_cells_that_cannot_be_had_are_refused() -> None:
    table = a_table()
    for first, length in ((-1, 8), (0, 0), (1, 8)):
        with pytest.raises(ValueError, match="an entry takes one"):
            Crowd(table, ROW, table.rest, first, length, 1)


def test_it_knows_whether_its_memory_is_the_tables() -> None:
    table = a_table(16)
    assert [1, 9] == [Crowd(table, ROW, table.rest, first, 8, 1).lot for first in (0, 8)]
    assert 0 == Crowd(table, ROW, array("q", bytes(64)), 0, 8, 1).lot


def test_marks_are_never_nobodys_and_cells_are_few() -> None:
    assert [1, -(1 << 39)] == [mark_of(1 << 63), mark_of(0)]
    assert [8, 8, 40, 262144] == [crowd_cells(clients) for clients in (1, 8, 9, 65536)]
    crowd = a_crowd(1, a_table(400))
    assert all(crowd.enter(stable_hash(str(number))) for number in range(50))
