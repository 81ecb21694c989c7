"""Deadlines by the thousand for the price of one timer.

Most deadlines never come due: each read moves one further away. So moving a deadline later is one assignment
(`timed.deadline = ...`); the wheel looks again when the old one comes up, and only then puts it into a later
slot. The event loop holds one `call_later`, for the earliest slot that has anything in it.

Deadlines are met up to TICK_S late, never early.
Source: the coarse timers of nginx and of Varghese and Lauck's timing wheels, with a heap of slots in place of
an array, so that an idle process sleeps.
"""

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable
from heapq import heappop, heappush
from math import inf
from time import monotonic
from typing import Final

TICK_S: Final = 0.05
# A timed thing that waits longer than this is looked at in between; keeps the slots few.
HORIZON_S: Final = 120.0
# Monotonic seconds that no machine reaches: beyond them a slot's number would not fit in a C long.
FOREVER_S: Final = 1e12
_NO_SLOT: Final = -1


class Timed:
    """Something with a deadline. deadline: monotonic seconds, inf for none. Call `on_deadline` is the wheel's."""

    def __init__(self) -> None:
        self.untimed()

    def untimed(self) -> None:
        """Begin without a deadline. Subclasses call it in place of super().__init__(), which costs more."""
        self.deadline = inf
        self.slot = _NO_SLOT

    def on_deadline(self, now: float) -> None:
        """The deadline has come; it is inf again."""
        raise NotImplementedError


class Wheel:
    """All deadlines of one event loop, and its clock. clock: monotonic seconds; tests turn one by hand."""

    def __init__(self, loop: AbstractEventLoop, clock: Callable[[], float] = monotonic) -> None:
        self.loop = loop
        self.clock = clock
        self.slots: dict[int, set[Timed]] = {}
        self.order: list[int] = []
        self.timer: TimerHandle | None = None
        self.timer_slot = 0

    def now(self) -> float:
        """Monotonic seconds. Read once a callback and handed down."""
        return self.clock()

    def expect(self, timed: Timed, deadline: float) -> None:
        """Set a deadline, earlier or later than the one before."""
        timed.deadline = deadline
        slot = int(min(deadline, FOREVER_S) / TICK_S) + 1
        if timed.slot == _NO_SLOT or slot < timed.slot:
            self.place(timed, slot)

    def forget(self, timed: Timed) -> None:
        """Drop a timed thing: it is closed and must not be kept alive by its slot."""
        timed.deadline = inf
        if timed.slot != _NO_SLOT:
            self.slots[timed.slot].discard(timed)
            timed.slot = _NO_SLOT

    def place(self, timed: Timed, slot: int) -> None:
        if timed.slot != _NO_SLOT:
            self.slots[timed.slot].discard(timed)
        latest = int((self.now() + HORIZON_S) / TICK_S)
        if slot > latest:
            slot = latest
        timed.slot = slot
        members = self.slots.get(slot)
        if members is None:
            self.slots[slot] = {timed}
            heappush(self.order, slot)
            if self.timer is None or slot < self.timer_slot:
                self.arm()
        else:
            members.add(timed)

    def arm(self) -> None:
        """Have the event loop call us at the earliest slot."""
        if self.timer is not None:
            self.timer.cancel()
        self.timer_slot = self.order[0]
        self.timer = self.loop.call_later(max(0.0, self.timer_slot * TICK_S - self.now()), self.turn)

    def turn(self) -> None:
        """The earliest slot has come: see who in it is really due."""
        self.timer = None
        now = self.now()
        due: list[Timed] = []
        while self.order and self.order[0] * TICK_S <= now:
            for timed in self.slots.pop(heappop(self.order)):
                timed.slot = _NO_SLOT
                if timed.deadline <= now:
                    due.append(timed)
                elif timed.deadline != inf:
                    self.place(timed, int(min(timed.deadline, FOREVER_S) / TICK_S) + 1)
        for timed in due:
            if timed.deadline > now:  # one before it in this turn has ended it, or given it more time
                continue
            timed.deadline = inf
            try:
                timed.on_deadline(now)
            except Exception as exc:  # one exchange's bug must not stop everybody's clock
                self.loop.call_exception_handler({"message": "a deadline failed", "exception": exc})
        if self.order and self.timer is None:
            self.arm()

    def stop(self) -> None:
        """No deadline comes due any more."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
