"""wire/framing.py: how the end of a body is known."""

from steelyard.wire import framing


def test_the_four_ways_are_distinct_and_no_body_is_the_one_that_is_false() -> None:
    ways = (framing.NO_BODY, framing.LENGTH, framing.CHUNKED, framing.UNKNOWN)
    assert 4 == len(set(ways))
    assert [False, True, True, True] == [bool(way) for way in ways]
