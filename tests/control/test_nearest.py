"""What was meant is named when something is near; otherwise what there is."""

from steelyard.control.nearest import did_you_mean


def test_the_nearest_word_is_named() -> None:
    assert "did you mean policy?" == did_you_mean("polcy", ["backends", "policy", "retry"])
    assert "did you mean policy?" == did_you_mean("POLICY", ["backends", "policy", "retry"])


def test_what_there_is_is_named_when_nothing_is_near() -> None:
    assert "known: a, b" == did_you_mean("workers", ["a", "b", "a"])


def test_a_long_list_is_cut() -> None:
    assert "known: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 8 more" == did_you_mean("x", map(str, range(20)))


def test_where_there_is_nothing_nothing_is_said() -> None:
    assert did_you_mean("x", []) is None
