"""Who waits for a place: first come first served within a priority, for a limited time, in a bounded room."""

from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.firsts import NOBODY, rank_of
from steelyard.core.waiting import PRIORITIES, WaitingRoom


def a_room(*guests: tuple[str, int], size: int = 10) -> WaitingRoom:
    room = WaitingRoom(size)
    for name, priority in guests:
        assert room.join(name, priority, 10.0)
    return room


def served(room: WaitingRoom) -> str:
    """All of them, in the order in which they are served."""
    order = ""
    while (guest := room.first()) is not None:
        order += str(guest)
        assert room.leave(guest)
    return order


def test_who_comes_first_goes_first_and_a_better_priority_before_that() -> None:
    assert "bdac" == served(a_room(("a", 5), ("b", 1), ("c", 5), ("d", 1)))


def test_an_empty_room_serves_nobody() -> None:
    assert a_room().first() is None
    assert NOBODY == a_room().rank()


def test_the_rank_is_that_of_whose_turn_it_is() -> None:
    room = a_room(("a", 5), ("b", 1))
    assert rank_of(1, 10.0) == room.rank()
    room.leave("b")
    assert rank_of(5, 10.0) == room.rank()


def test_a_full_room_takes_nobody() -> None:
    room = a_room(("a", 5), ("b", 5), size=2)
    assert not room.join("c", 5, 10.0)
    assert room.leave("a")
    assert room.join("c", 5, 10.0)
    assert "bc" == served(room)


def test_who_does_not_wait_cannot_leave() -> None:
    room = a_room(("a", 5))
    assert not room.leave("b")
    assert 1 == room.waiting


def test_a_better_one_takes_the_place_of_the_last_of_the_worst() -> None:
    room = a_room(("a", 9), ("b", 9), ("c", 3), size=3)
    assert "b" == room.displaced(3)
    assert room.join("d", 3, 10.0)
    assert "cda" == served(room)


def test_nobody_is_displaced_for_one_of_the_same_priority_nor_where_there_is_room() -> None:
    assert a_room(("a", 3), ("b", 3), size=2).displaced(3) is None
    assert a_room(("a", 9), size=2).displaced(0) is None


def test_in_a_room_that_has_become_smaller_nobody_makes_room_for_one_that_cannot_come_in() -> None:
    room = a_room(("a", 5), ("b", 5), ("c", 5), size=3)
    room.size = 2
    assert room.displaced(0) is None
    assert not room.join("d", 0, 10.0)
    assert room.leave("a")
    assert "c" == room.displaced(0)
    assert room.join("d", 0, 10.0)
    assert "db" == served(room)


def test_who_has_waited_too_long_is_told_and_gone() -> None:
    room = WaitingRoom(9)
    for name, priority, deadline in (("a", 5, 2.0), ("b", 5, 1.0), ("c", 1, 1.0), ("d", 9, 3.0)):
        room.join(name, priority, deadline)
    assert [] == room.late(0.9)
    assert ["c", "b"] == room.late(1.0)
    assert 2 == room.waiting
    assert [False, True] == [room.is_late("a", now) for now in (1.9, 2.0)]
    assert not room.is_late("b", 9.0)  # it is gone
    assert "ad" == served(room)


@given(st.lists(st.tuples(st.sampled_from(["join", "leave", "serve"]), st.integers(0, PRIORITIES - 1)), max_size=60))
def test_whatever_happens_nobody_is_lost_or_served_twice_and_the_room_is_never_too_full(
    steps: list[tuple[str, int]],
) -> None:
    room = WaitingRoom(5)
    inside: dict[int, int] = {}
    for number, (what, priority) in enumerate(steps):
        if what == "join":
            gone = room.displaced(priority)
            if gone is not None:
                assert inside.pop(gone) > priority  # type: ignore[call-overload]
            if room.join(number, priority, 1.0):
                inside[number] = priority
        elif what == "leave" and inside:
            guest = next(iter(inside))
            assert room.leave(guest)
            del inside[guest]
        elif what == "serve":
            guest = room.first()  # type: ignore[assignment]
            assert min(inside.items(), key=lambda one: (one[1], one[0]), default=(None, 0))[0] == guest
            if guest is not None:
                room.leave(guest)
                del inside[guest]
        assert len(inside) == room.waiting <= 5
