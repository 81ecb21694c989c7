"""core/firsts.py: who goes first for a place, of those who wait with different workers."""

from steelyard.core.firsts import MARGIN_MS, NOBODY, SILENCE_MS, Firsts, rank_of
from steelyard.core.table import Table

NOW = 1000.0


def of_workers(count: int = 2) -> list[Firsts]:
    buffer = bytearray(Table.size_bytes(2, count))
    return [Firsts(Table(buffer, 2, count, worker), 1) for worker in range(count)]


def test_a_rank_is_lower_for_a_better_priority_and_then_for_an_earlier_deadline() -> None:
    ranks = [rank_of(0, 2.0), rank_of(0, 1e9), rank_of(1, 1.0), rank_of(9, 0.0), rank_of(9, 0.001)]
    assert sorted(ranks) == ranks
    assert NOBODY < rank_of(0, 0.0)


def test_alone_it_is_never_anothers_turn() -> None:
    (only,) = of_workers(1)
    only.say(rank_of(0, NOW), NOW)
    assert not only.is_anothers_turn(rank_of(9, NOW + 9.0), NOW)


def test_who_has_waited_longer_goes_first_and_a_little_longer_is_not_enough() -> None:
    one, two, three = of_workers(3)
    mine = rank_of(5, NOW + 1.0)
    assert not one.is_anothers_turn(mine, NOW)
    three.say(mine - MARGIN_MS, NOW)
    assert not one.is_anothers_turn(mine, NOW)
    three.say(mine - MARGIN_MS - 1, NOW)
    assert one.is_anothers_turn(mine, NOW)
    assert two.is_anothers_turn(mine, NOW)
    assert not three.is_anothers_turn(mine, NOW)
    three.say(NOBODY, NOW)
    assert not one.is_anothers_turn(mine, NOW)


def test_a_better_priority_goes_first_however_late_it_came() -> None:
    one, two = of_workers()
    two.say(rank_of(4, NOW + 60.0), NOW)
    assert one.is_anothers_turn(rank_of(5, NOW), NOW)
    one.say(rank_of(5, NOW), NOW)
    assert not two.is_anothers_turn(rank_of(4, NOW + 60.0), NOW)


def test_nobody_waits_for_a_worker_that_says_nothing_any_more() -> None:
    one, two = of_workers()
    two.say(rank_of(0, NOW), NOW)
    silence_s = SILENCE_MS / 1000
    assert [True, False] == [one.is_anothers_turn(rank_of(5, NOW), NOW + passed) for passed in (0.0, silence_s)]
