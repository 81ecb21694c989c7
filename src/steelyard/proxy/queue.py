"""The queue before a full pool: requests wait for a place, in order of priority, and for a limited time.

Each worker has its own. A request that ends here wakes it at once; one that ends in another worker is seen within
LOOK_S, a backend that comes back or a limit that rises within a tick of the clock. Who is served next is asked to try
again: the pool decides, as ever, and says no while it is full.
Source: core/waiting.py (the order), core/firsts.py (that among workers); HAProxy's backend queue.
"""

from asyncio import AbstractEventLoop
from math import inf
from typing import Any, Final

from steelyard.core.firsts import Firsts, rank_of
from steelyard.core.pool import Pool
from steelyard.core.spec import QueueSpec
from steelyard.core.waiting import WaitingRoom
from steelyard.proxy.clock import Timed, Wheel

# How often it is looked, where there are several workers, whether there is a place that nobody has told of.
LOOK_S: Final = 0.005


class Queue(Timed):
    """One pool's queue in this worker.

    Its guests have two calls: `on_turn(now)`, try again; False when there was still no place, and then it waits on. And
    `on_wait_over(now)`: it has waited too long, or must leave for another, and is here no more.
    """

    def __init__(self, loop: AbstractEventLoop, wheel: Wheel, pool: Pool, spec: QueueSpec) -> None:
        super().__init__()
        self.loop = loop
        self.wheel = wheel
        self.pool = pool
        self.woken = False
        self.looking = False
        self.room = WaitingRoom(spec.size)
        self.adopt(spec)

    def adopt(self, spec: QueueSpec | None) -> None:
        """Keep to these numbers from now on; None takes nobody in any more."""
        self.room.size = 0 if spec is None else spec.size
        if spec is not None:
            self.timeout_s = spec.timeout_s
        self.firsts = Firsts(self.pool.table, self.pool.tiers[0].row)
        self.wake()  # there may be more places

    def must_wait(self, priority: int, now: float) -> bool:
        """Whether one that comes now may not overtake those who wait, with this worker or long enough with another."""
        if self.room.waiting > 0:
            return True
        return self.room.size > 0 and self.firsts.is_anothers_turn(rank_of(priority, now + self.timeout_s), now)

    def join(self, guest: Any, priority: int, now: float) -> bool:
        """Wait; False when there is no room."""
        leaving: Any = self.room.displaced(priority)
        joined = self.room.join(guest, priority, now + self.timeout_s)
        if joined:
            if self.deadline == inf:  # else the next look would be put off by everyone who comes
                self.wheel.expect(self, now)
            self.look_soon()
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
                break
            if self.room.is_late(first, now):
                self.room.leave(first)
                first.on_wait_over(now)
            elif self.firsts.is_anothers_turn(self.room.rank(), now) or not first.on_turn(now):
                break
        self.firsts.say(self.room.rank(), now)

    def look_soon(self) -> None:
        """Other workers may leave a place to who is first here, and it is empty until that is seen."""
        if not self.looking and self.room.waiting > 0 and self.pool.table.workers > 1:
            self.looking = True
            self.loop.call_later(LOOK_S, self.look)

    def look(self) -> None:
        """See whether there is a place that nobody has told of, as long as somebody waits."""
        self.looking = False
        self.serve()
        self.look_soon()

    def on_deadline(self, now: float) -> None:
        """A tick: let go who has waited too long. That looks at all, so it is not done for each request that ends."""
        late: list[Any] = self.room.late(now)
        for guest in late:
            guest.on_wait_over(now)
        self.serve()
        if self.room.waiting > 0:
            self.wheel.expect(self, now)
