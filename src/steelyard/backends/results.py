"""What becomes of a task: a Result, or a TaskFailed that says why; and what a pool answers to those who misuse it."""

import reprlib
from typing import Any, Final, Generic, NamedTuple, TypeVar

from steelyard.errors import SteelyardError

CANNOT_SAY: Final = "(and no text of it can be had)"

Task = TypeVar("Task")
Value = TypeVar("Value")


class Result(NamedTuple, Generic[Task, Value]):
    """A task that is done. worker: the name of the one that did it. task: as it was submitted. value: what came out."""

    worker: str
    task: Task
    value: Value


class PoolError(SteelyardError):
    """A pool that cannot run, or is asked for what it cannot do."""


class PoolClosed(PoolError):
    """It was closed before the task was done, or before it was submitted."""


class QueueFull(SteelyardError):
    """No room in the queue, now or for as long as one was willing to wait."""


class WorkerDied(SteelyardError):
    """The worker's process ended while it had the task."""


class TaskTimeout(SteelyardError):
    """The worker was still at the task when its time was over, and was killed."""


class NotPicklable(SteelyardError):
    """A task or a value that cannot be carried from one process to another."""


class RemoteError(SteelyardError):
    """Stands for an exception of a worker that cannot itself be carried to us: its type and its text."""


class TaskFailed(SteelyardError):
    """A task that is not done, and will not be.

    task: as it was submitted. worker: the name of the last one that had it; None: nobody had.
    cause: why: what the function raised (with the worker's traceback as a note), or one of the errors above.
    It is `__cause__` too.
    """

    def __init__(self, task: Any, worker: str | None, cause: BaseException) -> None:
        super().__init__(task, worker, cause)
        self.task = task
        self.worker = worker
        self.cause = cause
        self.__cause__ = cause

    def __str__(self) -> str:
        where = "" if self.worker is None else f" at {self.worker}"
        ours = isinstance(self.cause, SteelyardError)
        return f"task {reprlib.repr(self.task)}{where}: {self.cause if ours else said(self.cause)}"


def said(exc: BaseException) -> str:
    """An exception in words. Never raises, as its own text may: what is said of a task must not cost the task."""
    try:
        text = str(exc)
    except BaseException:
        text = CANNOT_SAY
    return f"{type(exc).__name__}: {text}"
