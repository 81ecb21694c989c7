"""What ends is started again at once, and later and later if it keeps ending young."""

from steelyard.backends.restarts import LONGEST_PAUSE_S, YOUNG_S, Restarts, how_ended


def test_the_first_is_replaced_at_once_and_those_that_keep_ending_later_and_later() -> None:
    restarts = Restarts()
    assert [0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0] == [restarts.pause_s(0, 0.1) for _ in range(9)]
    assert {0: 9} == restarts.replaced


def test_one_that_has_lived_is_replaced_at_once() -> None:
    restarts = Restarts()
    for _ in range(20):
        restarts.pause_s(0, 0.1)
    assert LONGEST_PAUSE_S == restarts.pause_s(0, YOUNG_S - 0.1)
    assert [0.0, 0.25] == [restarts.pause_s(0, YOUNG_S), restarts.pause_s(0, 0.1)]


def test_each_is_counted_for_itself() -> None:
    restarts = Restarts()
    assert [0.0, 0.0, 0.25] == [restarts.pause_s(number, 0.1) for number in (0, 1, 0)]
    assert {0: 2, 1: 1} == restarts.replaced


def test_how_it_ended_is_said_in_words() -> None:
    assert ["exit status 0", "exit status 3", "SIGKILL", "signal 40"] == [how_ended(code) for code in (0, 3, -9, -40)]
