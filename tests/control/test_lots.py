"""control/lots.py: lots behind the rows of the table, given out, kept, and taken back."""

from hypothesis import given
from hypothesis import strategies as st

from steelyard.control.lots import LINE, PIECE, Lots
from steelyard.core.table import BALANCER, LOT, LOT_CELLS, LOTS_USED, Table

ROWS = 6


def a_table(cells: int) -> Table:
    return Table(bytearray(Table.size_bytes(ROWS, 1) + 8 * cells), ROWS)


def lot(table: Table, row: int) -> tuple[int, int]:
    """Where it begins, -1 without one, and how long it is."""
    return table.get(row, LOT) - 1, table.get(row, LOT_CELLS)


def test_lots_are_given_out_one_after_another_each_at_a_cache_line() -> None:
    table = a_table(100)
    lots = Lots(table)
    assert [True, True, True] == [lots.ensure(row, cells) for row, cells in ((1, 6), (3, 16), (5, 20))]
    assert [(0, 6), (8, 16), (24, 20)] == [lot(table, row) for row in (1, 3, 5)]


def test_a_lot_that_is_long_enough_is_kept_with_what_is_in_it() -> None:
    table = a_table(100)
    lots = Lots(table)
    assert lots.ensure(1, 16)
    table.rest[5] = 7
    assert lots.ensure(1, 16)
    assert lots.ensure(1, 3)
    assert (0, 16) == lot(table, 1)
    assert 7 == table.rest[5]


def test_another_one_is_zeroed_and_may_lie_where_the_old_one_was() -> None:
    table = a_table(40)
    lots = Lots(table)
    assert lots.ensure(1, 16)
    table.rest[5] = 7
    assert lots.ensure(1, 40)
    assert (0, 40) == lot(table, 1)
    assert [0] * 40 == list(table.rest)


def test_only_the_lot_itself_is_zeroed_and_of_it_only_what_was_ever_in_a_lot() -> None:
    """What was never in one is zero: a store would only make it take up memory."""
    table = a_table(40)
    lots = Lots(table)
    assert lots.ensure(1, 12)
    for at in range(40):
        table.rest[at] = 7
    lots.free(1)
    assert lots.ensure(2, 8)
    assert [0] * 8 + [7] * 32 == list(table.rest)
    lots.free(2)
    assert lots.ensure(3, 20)
    assert [0] * 12 + [7] * 28 == list(table.rest)
    assert 20 == table.get(BALANCER, LOTS_USED)


def test_a_large_lot_is_zeroed_piece_by_piece() -> None:
    size = 2 * PIECE + 3
    table = a_table(size)
    lots = Lots(table)
    assert lots.ensure(1, size)
    table.rest[:] = memoryview(b"\1" * 8 * size).cast("q")
    lots.free(1)
    assert lots.ensure(1, size)
    assert not any(table.rest)


def test_where_there_is_no_room_a_tier_has_no_lot_and_the_others_keep_theirs() -> None:
    table = a_table(40)
    lots = Lots(table)
    assert lots.ensure(1, 16)
    assert lots.ensure(2, 16)
    assert not lots.ensure(3, 9)
    assert not lots.ensure(1, 25)  # it had one, but that is too short for it now
    assert [(-1, 0), (16, 16), (-1, 0)] == [lot(table, row) for row in (1, 2, 3)]
    assert lots.ensure(3, 16)
    assert (0, 16) == lot(table, 3)


def test_a_table_without_a_rest_has_no_room() -> None:
    assert not Lots(a_table(0)).ensure(1, 2)


def test_the_first_gap_that_is_long_enough_is_taken() -> None:
    table = a_table(100)
    lots = Lots(table)
    for row, cells in ((0, 8), (1, 8), (2, 24), (3, 8)):
        assert lots.ensure(row, cells)
    lots.free(0)
    lots.free(2)
    assert lots.ensure(4, 16)
    assert lots.ensure(5, 8)
    assert [(16, 16), (0, 8)] == [lot(table, row) for row in (4, 5)]


def test_to_free_what_is_free_is_nothing() -> None:
    """Also of a row that was cleared before."""
    table = a_table(16)
    lots = Lots(table)
    assert lots.ensure(1, 16)
    table.clear_row(1)
    lots.free(1)
    lots.free(1)
    assert lots.ensure(2, 16)


def test_a_row_that_was_cleared_has_no_lot() -> None:
    table = a_table(16)
    lots = Lots(table)
    assert lots.ensure(1, 16)
    table.clear_row(1)
    assert lots.ensure(2, 16)


def test_who_takes_over_finds_the_lots_in_the_table() -> None:
    table = a_table(48)
    before = Lots(table)
    assert before.ensure(1, 16)
    assert before.ensure(2, 16)
    after = Lots(table, [1, 2, 3])
    assert after.ensure(3, 16)
    assert (32, 16) == lot(table, 3)
    assert not after.ensure(4, 2)


def test_a_lot_that_the_taker_over_was_not_told_of_is_known_when_it_is_asked_for() -> None:
    table = a_table(32)
    assert Lots(table).ensure(1, 16)
    after = Lots(table)
    assert after.ensure(1, 16)
    assert after.ensure(2, 16)
    assert [(0, 16), (16, 16)] == [lot(table, row) for row in (1, 2)]


@given(st.lists(st.tuples(st.integers(0, ROWS - 1), st.integers(0, 60)), max_size=40), st.integers(0, 130))
def test_lots_never_overlap(steps: list[tuple[int, int]], room: int) -> None:
    """Whatever is asked for and taken back (0), and whoever takes over in between."""
    table = a_table(room)
    for row, cells in steps:
        lots = Lots(table, range(ROWS))
        if cells == 0:
            lots.free(row)
            assert (-1, 0) == lot(table, row)
        else:
            assert lots.ensure(row, cells) == (lot(table, row)[1] >= cells)
        end = 0
        for start, length in sorted(lot(table, row) for row in range(ROWS) if lot(table, row) != (-1, 0)):
            assert start >= end
            assert start % LINE == 0
            end = start + length
        assert end <= room
