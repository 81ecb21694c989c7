"""entrance.py: who waits for room, in order, and nobody for ever."""

import asyncio

import pytest

from steelyard.backends.dispatch import Dispatch, Job
from steelyard.backends.entrance import Entrance
from steelyard.backends.results import QueueFull


class Place:
    """A queue of a size with as many jobs, and one at the only worker."""

    def __init__(self, size: int = 2) -> None:
        self.dispatch = Dispatch(["only-0"], [0], "round_robin", size, lambda n: 0, window=100)
        self.entrance = Entrance(self.dispatch)
        for _ in range(size + 1):
            self.put()

    def put(self) -> None:
        self.dispatch.put(Job(self.dispatch.below, "task", b"", None, None, None))

    def leave(self, count: int) -> None:
        self.dispatch.up(0, 0.0)
        for _ in range(count):
            job = self.dispatch.next(0.0)
            assert job is not None
            self.dispatch.ended(job, True, 0.0)
        self.entrance.admit()


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_with_room_nobody_waits() -> None:
    place = Place(2)
    place.leave(1)
    await place.entrance.wait(None)


async def test_as_many_come_in_as_there_is_room_for_first_come_first_served() -> None:
    place = Place(3)
    entered: list[int] = []

    async def enter(number: int) -> None:
        await place.entrance.wait(None)
        place.put()
        entered.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(enter(number))
        await settle()
        assert [] == entered
        place.leave(2)
        await settle()
        assert [0, 1] == entered
        place.leave(1)
    assert [0, 1, 2] == entered


async def test_each_is_called_once_however_often_one_looks() -> None:
    place = Place(10)
    called: list[int] = []
    for number in range(20):
        place.entrance.join(lambda number=number: called.append(number))  # type: ignore[misc]
    place.leave(3)
    for _ in range(5):
        place.entrance.admit()
    assert [0, 1, 2] == called
    for _ in called:
        place.entrance.come()
        place.put()
    place.entrance.admit()
    assert [0, 1, 2] == called


async def test_a_newcomer_does_not_get_the_room_of_one_who_was_called() -> None:
    place = Place(2)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(place.entrance.wait(None))
        await settle()
        place.leave(1)
        assert not place.entrance.has_room()
        await first
        assert place.entrance.has_room()


async def test_who_waits_too_long_is_told_how_full_it_is() -> None:
    with pytest.raises(QueueFull, match=r"the queue was full for 0\.001 s: 2 tasks wait in it"):
        await Place(2).entrance.wait(0.001)


async def test_one_who_gives_up_just_as_he_is_called_calls_the_next() -> None:
    place = Place(1)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(place.entrance.wait(None))
        second = group.create_task(place.entrance.wait(None))
        await settle()
        place.leave(1)
        first.cancel()
        await settle()
        assert second.done()


async def test_one_who_gives_up_before_is_not_called() -> None:
    place = Place(1)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(place.entrance.wait(None))
        second = group.create_task(place.entrance.wait(None))
        await settle()
        first.cancel()
        await settle()
        place.leave(1)
        await settle()
        assert second.done()


async def test_when_it_closes_all_are_sent_away() -> None:
    place = Place(1)
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(place.entrance.wait(None)) for _ in range(3)]
        await settle()
        assert not any(task.done() for task in waiting)
        place.entrance.close()
    assert not place.entrance.is_open
