"""mapping.py: the heart of `map`, with a queue and without workers."""

import asyncio
from typing import Any

import pytest

from steelyard.backends.dispatch import Dispatch, Job
from steelyard.backends.entrance import Entrance
from steelyard.backends.mapping import Mapping
from steelyard.backends.results import PoolClosed, Result, TaskFailed
from tests.backends.test_entrance import settle


class Stage:
    """A mapping over a real queue; `work` plays the worker. size: how many there is room for, with the worker's one."""

    def __init__(self, size: int = 3, most: int = 5) -> None:
        self.dispatch = Dispatch(["only-0"], [0], "round_robin", size - 1, lambda n: 0, window=100)
        self.dispatch.up(0, 0.0)
        self.entrance = Entrance(self.dispatch)
        self.withdrawn: list[Any] = []
        self.held: list[Job] = []
        loop = asyncio.get_running_loop()
        self.mapping = Mapping(loop, self.entrance, self.put, lambda job: self.withdrawn.append(job.task), most)

    def put(self, task: Any, answer: Mapping) -> Job | None:
        if task == "bad":
            self.dispatch.refuse()
            answer.fail(None, TaskFailed(task, None, ValueError("bad")))
            return None
        job = Job(self.dispatch.below, task, b"", None, None, answer)
        self.dispatch.put(job)
        return job

    def take(self) -> None:
        while (job := self.dispatch.next(0.0)) is not None:
            self.held.append(job)
        self.entrance.admit()

    def work(self) -> list[Any]:
        """Take all that waits, and do it."""
        self.take()
        held, self.held = self.held, []
        for job in held:
            self.dispatch.ended(job, True, 0.0)
            job.answer.give(job, Result("only-0", job.task, job.task))
        self.entrance.admit()
        return [job.task for job in held]


async def test_results_come_as_they_are_there_and_nothing_when_all_is_over() -> None:
    stage = Stage()
    async with asyncio.TaskGroup() as group:
        step = group.create_task(stage.mapping.step([1, 2]))
        await settle()
        assert not step.done()
        assert [1, 2] == stage.work()
        assert [1, 2] == [one.task for one in await step]
    assert [] == await stage.mapping.step([])


async def test_it_wants_no_more_than_it_may_have_out_results_not_taken_included() -> None:
    stage = Stage(size=3, most=5)
    assert 5 == stage.mapping.wanted
    async with asyncio.TaskGroup() as group:
        step = group.create_task(stage.mapping.step(range(5)))
        await settle()
        assert (0, 3) == (stage.mapping.wanted, stage.dispatch.waiting)
        stage.work()
        await settle()
        assert [0, 1, 2] == [one.task for one in step.result()]
        assert 3 == stage.mapping.wanted
        step = group.create_task(stage.mapping.step([]))
        await settle()
        stage.work()
        assert [3, 4] == [one.task for one in await step]


async def test_a_full_queue_is_waited_for_also_when_the_room_is_not_made_by_its_own() -> None:
    stage = Stage(size=1)
    other = Job(stage.dispatch.below, "other", b"", None, None, None)
    stage.dispatch.put(other)
    async with asyncio.TaskGroup() as group:
        step = group.create_task(stage.mapping.step(["mine"]))
        await settle()
        assert 1 == stage.dispatch.submitted
        stage.take()
        stage.held.remove(other)
        stage.dispatch.ended(other, True, 0.0)
        stage.entrance.admit()
        await settle()
        assert 2 == stage.dispatch.submitted
        stage.work()
        assert ["mine"] == [one.task for one in await step]


async def test_room_that_comes_while_nobody_asks_for_results_is_left_to_others() -> None:
    stage = Stage(size=1)
    async with asyncio.TaskGroup() as group:
        step = group.create_task(stage.mapping.step([1, 2]))
        await settle()
        stage.take()
        (first,) = stage.held
        stage.held.clear()
        stage.dispatch.ended(first, True, 0.0)
        first.answer.give(first, Result("only-0", 1, 1))
        other = Job(stage.dispatch.below, "other", b"", None, None, None)
        stage.dispatch.put(other)
        assert [1] == [one.task for one in await step]
    # Its second task waits for room, and whoever has the first result takes his time.
    assert stage.dispatch.next(0.0) is other
    stage.dispatch.ended(other, True, 0.0)
    stage.entrance.admit()
    assert stage.entrance.has_room()


async def test_one_that_is_cancelled_just_as_it_is_called_leaves_the_room_to_the_next() -> None:
    stage = Stage(size=1)
    other = Job(stage.dispatch.below, "other", b"", None, None, None)
    stage.dispatch.put(other)
    async with asyncio.TaskGroup() as group:
        step = group.create_task(stage.mapping.step(["mine"]))
        behind = group.create_task(stage.entrance.wait(None))
        await settle()
        stage.take()
        stage.dispatch.ended(other, True, 0.0)
        stage.entrance.admit()
        step.cancel()
        await settle()
        assert behind.done()


async def test_a_task_that_cannot_be_put_is_among_what_came_of_them() -> None:
    stage = Stage()
    async with asyncio.TaskGroup() as group:
        step = group.create_task(stage.mapping.step(["bad", "good"]))
        (failure,) = await step
        assert isinstance(failure, TaskFailed)
        step = group.create_task(stage.mapping.step([]))
        await settle()
        stage.work()
        assert ["good"] == [one.task for one in await step]


async def test_what_is_withdrawn_is_neither_done_nor_told_of() -> None:
    stage = Stage(size=2)
    async with asyncio.TaskGroup() as group:
        step = group.create_task(stage.mapping.step([1, 2, 3]))
        await settle()
        step.cancel()
        await settle()
    stage.mapping.withdraw()
    assert [1, 2] == stage.withdrawn
    stage.work()
    assert 5 == stage.mapping.wanted


async def test_when_the_pool_closes_what_came_is_given_before_the_error() -> None:
    stage = Stage(size=2)
    async with asyncio.TaskGroup() as group:
        step = group.create_task(stage.mapping.step([1, 2, 3]))
        await settle()
        stage.entrance.close()
        await settle()
        stage.work()
        assert [1, 2] == [one.task for one in await step]
    with pytest.raises(PoolClosed, match="1 tasks or more were not submitted"):
        await stage.mapping.step([])


async def test_tasks_that_a_closed_pool_never_took_are_counted_in_the_error() -> None:
    stage = Stage(size=2)
    stage.entrance.close()
    with pytest.raises(PoolClosed, match="3 tasks or more were not submitted"):
        await stage.mapping.step([1, 2, 3])
