"""The queue before a full pool: requests wait for a place, in order of priority, and for a limited time.

Each worker has its own. A request that ends here wakes it at once; one that ends in another worker, a backend that
comes back or a limit that rises are seen within a tick of the clock. Who is served next is asked to try again: the pool
decides, as ever, and says no while it is full.
Source: core/waiting.py (the order); HAProxy's backend queue.
"""

from asyncio import AbstractEventLoop
from math import inf
from typing import Any, Final

from steelyard.core.spec import QueueSpec
from steelyard.core.waiting import WaitingRoom
from steelyard.proxy.clock import Timed, Wheel

# How often it is looked whether there is a place that nobody has told of: as often as the wheel turns.
LOOK_S: Final = 0.05


class Queue(Timed):
    """One pool's queue in this worker.

    Its guests have two calls: `on_turn(now)`, try again; False when there was still no place, and then it waits on. And
    `on_wait_over(now)`: it has waited too long, or must leave for another, and is here no more.
    """

    def __init__(self, loop: AbstractEventLoop, wheel: Wheel, spec: QueueSpec) -> None:
        super().__init__()
        self.loop = loop
        self.wheel = wheel
        self.woken = False
        self.room = WaitingRoom(spec.size)
        self.timeout_s = spec.timeout_s

    def adopt(self, spec: QueueSpec | None) -> None:
        """Keep to these numbers from now on; None takes nobody in any more."""
        self.room.size = 0 if spec is None else spec.size
        if spec is not None:
            self.timeout_s = spec.timeout_s
        self.wake()  # there may be more places

    def is_waiting(self) -> bool:
        """Whether somebody waits: nobody may overtake."""
        return self.room.waiting > 0

    def join(self, guest: Any, priority: int, now: float) -> bool:
        """Wait; False when there is no room."""
        leaving: Any = self.room.displaced(priority)
        joined = self.room.join(guest, priority, now + self.timeout_s)
        if joined and self.deadline == inf:  # else the next look would be put off by everyone who comes
            self.wheel.expect(self, now + LOOK_S)
        if leaving is not None:  # only now: its client may have another request ready for the place
            leaving.on_wait_over(now)
        return joined

    def leave(self, guest: Any) -> None:
        """Wait no longer."""
        self.room.leave(guest)

    def wake(self) -> None:
        """A place may be free: see so when what goes on now is done."""
        if not self.woken and self.room.waiting > 0:
            self.woken = True
            self.loop.call_soon(self.serve)

    def serve(self) -> None:
        """Let in as many as there are places for."""
        self.woken = False
        now = self.wheel.now()
        while True:
            first: Any = self.room.first()
            if first is None:
                return
            if self.room.is_late(first, now):
                self.room.leave(first)
                first.on_wait_over(now)
            elif not first.on_turn(now):
                return

    def on_deadline(self, now: float) -> None:
        """A tick: let go who has waited too long. That looks at all, so it is not done for each request that ends."""
        late: list[Any] = self.room.late(now)
        for guest in late:
            guest.on_wait_over(now)
        self.serve()
        if self.room.waiting > 0:
            self.wheel.expect(self, now + LOOK_S)
