"""What is going to happen, in order of time: a binary heap in three plain arrays.

Two events of the same time happen in the order in which they were noted, so that a run is the same every time.
No object is made for an event: it is a number, of which the engine knows the meaning.
"""

from array import array
from typing import Final

FIRST_ROOM: Final = 256


class Agenda:
    """Events to come. count: how many. time: of the one that was taken last."""

    def __init__(self) -> None:
        self.room = FIRST_ROOM
        self.times = array("d", bytes(8 * self.room))
        self.turns = array("q", bytes(8 * self.room))
        self.whats = array("q", bytes(8 * self.room))
        self.count = 0
        self.noted = 0
        self.time = 0.0

    def first(self) -> float:
        """When the next one happens; there must be one."""
        return self.times[0]

    def note(self, time: float, what: int) -> int:
        """Something will happen. Returns 0."""
        if self.count == self.room:
            self.grow()
        at = self.count
        self.count += 1
        turn = self.noted
        self.noted += 1
        while at > 0:
            above = (at - 1) >> 1
            # A later note never passes an earlier one of the same time: no look at turns on the way up.
            if self.times[above] <= time:
                break
            self.move(above, at)
            at = above
        self.times[at] = time
        self.turns[at] = turn
        self.whats[at] = what
        return 0

    def take(self) -> int:
        """Take the next event off and return it; its time is in `time`. There must be one."""
        assert self.count > 0, "requests are in the system, and nothing will happen to them any more"
        found = self.whats[0]
        self.time = self.times[0]
        self.count -= 1
        last = self.count
        time = self.times[last]
        turn = self.turns[last]
        what = self.whats[last]
        at = 0
        below = 1
        while below < last:
            if below + 1 < last and self.is_before(below + 1, self.times[below], self.turns[below]):
                below += 1
            if not self.is_before(below, time, turn):
                break
            self.move(below, at)
            at = below
            below = 2 * at + 1
        self.times[at] = time
        self.turns[at] = turn
        self.whats[at] = what
        return found

    def is_before(self, at: int, time: float, turn: int) -> bool:
        """Whether the event at this place happens before one of that time and turn."""
        return self.times[at] < time or (self.times[at] == time and self.turns[at] < turn)

    def move(self, source: int, target: int) -> int:
        """Put an event in another place. Returns 0."""
        self.times[target] = self.times[source]
        self.turns[target] = self.turns[source]
        self.whats[target] = self.whats[source]
        return 0

    def grow(self) -> int:
        """Make room for twice as many. Returns 0."""
        times, turns, whats = self.times, self.turns, self.whats
        self.times = array("d", bytes(16 * self.room))
        self.turns = array("q", bytes(16 * self.room))
        self.whats = array("q", bytes(16 * self.room))
        for at in range(self.room):
            self.times[at] = times[at]
            self.turns[at] = turns[at]
            self.whats[at] = whats[at]
        self.room *= 2
        return 0
