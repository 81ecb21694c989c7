"""One thread that runs a function, one task after the other, while an event loop goes on beside it.

A thread cannot be stopped from outside. So a task that runs too long is only told of, once; the process has to end
then, since no other task would ever be begun. Even that takes the interpreter: a function that never lets go of it (in
C) holds up the loop too, and for that case Python's own watchdog, which needs no interpreter, ends the process.
"""

import faulthandler
import os
import sys
import traceback
from asyncio import AbstractEventLoop, TimerHandle
from collections import deque
from contextlib import suppress
from math import inf
from queue import SimpleQueue
from threading import Thread
from time import monotonic
from typing import Final, Protocol

from steelyard.backends.function import Answer, Function, FunctionError, answer_of, refused_answer, text_answer
from steelyard.backends.task import Task
from steelyard.errors import TaskRefused
from steelyard.observe.streams import say

# Beyond the moment at which the loop must have looked again, for a machine that is busy.
WATCHDOG_S: Final = 5.0
# The loop is let in so soon where a function computes in Python. Beside one that never pauses, one question in a
# hundred waits for 1.1 ms; with Python's default of 5 ms it is 12 ms.
SWITCH_S: Final = 0.001
STDERR: Final = 2  # by its number, whatever a function has done to sys.stderr
FAILED: Final = text_answer(500, "The function failed.")


class Client(Protocol):
    """Who has given a task. gone: nobody waits for its answer any more."""

    gone: bool

    def on_answer(self, answer: Answer) -> None:
        """Take the answer, in the event loop."""


class Owner(Protocol):
    """Whose thread it is. Both are called in the event loop."""

    def on_stuck(self, client: Client) -> None:
        """The task of this client has run for longer than it may."""

    def on_idle(self) -> None:
        """All that was submitted is done."""


Job = tuple[Task, Client]


class TaskThread:
    """Runs one function, each task for timeout_s seconds at most; infinite is no limit.

    busy: something was submitted that is not done.
    """

    def __init__(self, loop: AbstractEventLoop, function: Function, timeout_s: float, owner: Owner) -> None:
        self._loop = loop
        self._function = function
        self._timeout_s = timeout_s
        self._owner = owner
        self._waiting: SimpleQueue[Job | None] = SimpleQueue()
        self._done: deque[tuple[Client, Answer | None]] = deque()
        self._woken = False
        self._undone = 0
        self._running: tuple[Job, float] | None = None
        self._watch: TimerHandle | None = None
        self._pid = os.getpid()
        self._log = sys.stderr  # a function may put another one in its place, or none
        self._thread = Thread(target=self._run, name="tasks", daemon=True)

    @property
    def busy(self) -> bool:
        return self._undone > 0

    def start(self) -> None:
        """Begin to take tasks."""
        sys.setswitchinterval(SWITCH_S)
        self._thread.start()

    def submit(self, task: Task, client: Client) -> None:
        """Run it after those that wait; the client is told, unless it is gone by then."""
        self._undone += 1
        self._waiting.put((task, client))
        if self._watch is None and self._timeout_s < inf:
            self._look_again(self._timeout_s)

    def stop(self) -> None:
        """End the thread, which has done all."""
        if self._watch is not None:
            self._watch.cancel()
            faulthandler.cancel_dump_traceback_later()
        self._waiting.put(None)
        self._thread.join()

    # In the thread.

    def _run(self) -> None:
        while (job := self._waiting.get()) is not None:
            self._do(job)
            del job  # a body may be large, and the next one hours away

    def _do(self, job: Job) -> None:
        task, client = job
        answer = None  # for one who has left while it waited
        if not client.gone:
            self._running = (job, monotonic())
            answer = FAILED  # where even the text of an error, or the encoding of what was returned, fails
            with suppress(BaseException):
                answer = self._answer(task)
            self._running = None
        if os.getpid() != self._pid:  # the function has forked, and both have come back: one of them answers
            os._exit(0)
        self._done.append((client, answer))
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._hand_over)

    def _answer(self, task: Task) -> Answer:
        try:
            returned = self._function(task)
        except TaskRefused as exc:
            return refused_answer(exc)
        except BaseException as exc:  # also one that wants to end the program: its owner decides that
            if exc.__traceback__ is not None:
                exc.__traceback__ = exc.__traceback__.tb_next  # what is left is the function's own
            said = "".join(traceback.format_exception(exc)).rstrip()
            self._say(f"{task.method} {task.path}: the function failed\n{said}")
            return FAILED
        try:
            return answer_of(returned)
        except FunctionError as exc:
            self._say(f"{task.method} {task.path}: the function returned {exc}")
            return text_answer(500, "The function returned what cannot be sent.")

    def _say(self, text: str) -> None:
        with suppress(ValueError):  # the function has closed it
            say(text, self._log)

    # In the loop.

    def _hand_over(self) -> None:
        self._woken = False  # before the look: what is done from here on wakes the loop anew
        while self._done:
            client, answer = self._done.popleft()
            self._undone -= 1
            if answer is not None and not client.gone:
                client.on_answer(answer)
        if not self._undone:
            self._owner.on_idle()

    def _look(self) -> None:
        """Has one run too long? One look a timeout is enough, when the one that runs has had its time."""
        running = self._running
        self._watch = None
        if running is not None:
            (task, client), began = running
            left_s = began + self._timeout_s - monotonic()
            if left_s <= 0.0:
                faulthandler.cancel_dump_traceback_later()
                self._say(self._stuck(task))
                self._owner.on_stuck(client)
                return
            self._look_again(left_s)
        elif self._undone:
            self._look_again(self._timeout_s)
        else:
            faulthandler.cancel_dump_traceback_later()

    def _look_again(self, after_s: float) -> None:
        self._watch = self._loop.call_later(after_s, self._look)
        # A task that begins just before the look, and holds the interpreter for all of its time, is not too long yet.
        faulthandler.dump_traceback_later(after_s + self._timeout_s + WATCHDOG_S, exit=True, file=STDERR)

    def _stuck(self, task: Task) -> str:
        frame = sys._current_frames().get(self._thread.ident or 0)
        stack = traceback.format_stack(frame) if frame is not None else []
        ours = max((at for at, line in enumerate(stack) if __file__ in line), default=-1)
        said = "".join(stack[ours + 1 :]).rstrip()
        return f"{task.method} {task.path}: the function has run for more than {self._timeout_s:g} s; it is in\n{said}"
