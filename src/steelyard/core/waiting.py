"""Who waits for a place in a full pool: a bounded room, first come first served within each priority.

Pure: it knows neither what its guests are nor what they wait for. When the room is full a guest of a better priority
takes the place of the last one of the worst, who is told so: else a crowd of unimportant requests could keep the
important ones out for as long as it likes.
Source: RFC 9110 section 15.6.4 leaves it to the server; nginx (paid) `queue`, HAProxy's queue with `priority-class`.
"""

from typing import Final

from steelyard.core.firsts import NOBODY, rank_of

PRIORITIES: Final = 10  # 0, who goes first, to 9
NEVER: Final = float("inf")


class WaitingRoom:
    """size: how many may wait. Guests are any hashable objects, each here once at most."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.waiting = 0
        # By priority; a dict keeps the order of arrival, and lets anyone leave at once. Guest -> deadline.
        self.lines: list[dict[object, float]] = [{} for _ in range(PRIORITIES)]

    def join(self, guest: object, priority: int, deadline: float) -> bool:
        """Wait until the deadline, monotonic seconds; False when there is no room. Make some first: `displaced`."""
        if self.waiting >= self.size:
            return False
        self.lines[priority][guest] = deadline
        self.waiting += 1
        return True

    def displaced(self, priority: int) -> object | None:
        """Who leaves a full room for a guest of this priority: the last one of a worse one, or nobody.

        Nobody either where more wait than the room is for, as it was larger: the guest could not come in all the same.
        """
        if self.waiting != self.size:
            return None
        for line in reversed(self.lines[priority + 1 :]):
            if line:
                guest = next(reversed(line))
                del line[guest]
                self.waiting -= 1
                return guest
        return None

    def leave(self, guest: object) -> bool:
        """Wait no longer; False when it did not wait."""
        for line in self.lines:
            if line.pop(guest, None) is not None:
                self.waiting -= 1
                return True
        return False

    def first(self) -> object | None:
        """Whose turn it is."""
        for line in self.lines:
            for guest in line:
                return guest
        return None

    def rank(self) -> int:
        """That of whose turn it is (core/firsts.py)."""
        for priority, line in enumerate(self.lines):
            for deadline in line.values():
                return rank_of(priority, deadline)
        return NOBODY

    def is_late(self, guest: object, now: float) -> bool:
        """Whether the deadline of one who waits has come."""
        return any(line.get(guest, NEVER) <= now for line in self.lines)

    def late(self, now: float) -> list[object]:
        """Those whose deadline has come; they have left."""
        gone: list[object] = []
        for line in self.lines:
            # Not only from the head of the line: a reload may give those behind less time.
            gone += [guest for guest, deadline in line.items() if deadline <= now]
        for guest in gone:
            self.leave(guest)
        return gone
