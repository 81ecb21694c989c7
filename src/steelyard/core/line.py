"""Backends laid end to end on a line, each as long as its share: whose is a point of it?

A point by chance is a draw by weight; points in steps along the line are turns by weight. The ends stand in one
array of C integers, where the search for a point is O(log n) and makes no objects.
"""

from array import array
from collections.abc import Sequence

from steelyard.core.backend import Backend
from steelyard.core.policy import end_to_end


class Line:
    """backends: in their order. ends: where the stretch of each one ends, a whole number; the first begins at 0.

    length: of the whole line; 0 when nobody has a stretch.
    """

    def __init__(self, backends: Sequence[Backend], ends: Sequence[int]) -> None:
        self.backends = list(backends)
        self.ends = array("q", ends)
        self.length = ends[-1] if ends else 0

    def owner(self, point: int) -> Backend:
        """Whose stretch that is. point: from 0, below the length."""
        low = 0
        high = len(self.backends) - 1
        while low < high:
            middle = (low + high) >> 1
            # > and not >=: where one ends, the next begins; who has no stretch at all is never found.
            if self.ends[middle] > point:
                high = middle
            else:
                low = middle + 1
        return self.backends[low]


def by_share(backends: list[Backend]) -> Line:
    """A line of these backends and their shares."""
    return Line(backends, end_to_end(backends))
