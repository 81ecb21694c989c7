"""Consistent hash: every backend has many points on a ring, and a key belongs to the first point behind it.

160 points a unit of weight, as ketama has them, so a share is within about 1 / sqrt(160) = 8 % of its due (one standard
deviation). A backend's points depend on its own name and weight alone: when it goes, its keys go to the next points and
no other key moves; when its weight falls, it gives up points, and when it rises it gets new ones and keeps the old.
A backend that may not be taken hands its keys to the next other one on the ring, for STEPS points; then the key jumps.

A pool of very heavy weights has fewer points, all in the same proportion: they are halved until there are at most
POINTS_EACH a backend on average, or FEW in all where that is more, and never more than MOST. So only a sum of weights
that crosses one of these limits changes everybody's points (half of them go or come); that is why they are halved, and
not divided by what the weights have in common, which one changed weight can change. One point everybody has.

The points lie in one array. As hashes are spread evenly, the upper bits of a point nearly tell its place: points are
counted out into buckets of two to four and then moved within them, and a key is looked for in its bucket alone.
Source: libketama; nginx's `hash ... consistent`.
"""

from array import array
from typing import Final

from steelyard.core.backend import Backend
from steelyard.core.keyed import Keyed, in_order
from steelyard.core.policy import Pick, register
from steelyard.core.spec import PolicySpec
from steelyard.core.stable import mix
from steelyard.core.table import WEIGHT_UNIT, Table

POINTS: Final = 160
POINTS_EACH: Final = 10 * POINTS  # halved above a mean weight of 10: the shares are then within 3 %
FEW: Final = 1 << 15  # 1 ms: a pool of few backends bears more points each, which helps its lightest ones
MOST: Final = 1 << 21  # 16 MiB a worker and 60 ms: 160 each for 13,107 backends, 20 each for 100,000
STEPS: Final = 16  # points walked on; while half may be taken, all but one key in 65,536 find one
# A point is one number: 40 bits of its place on the ring, and 24 that say whose it is.
PLACE: Final = 0xFFFF_FFFF_FF00_0000
WHOSE: Final = 0x0000_0000_00FF_FFFF
BITS: Final = 64
NOBODY: Final = -1


class ConsistentHash(Keyed):
    """`consistent_hash`. members: in the order of their keys; points: in the order of their places.

    starts: the first point of each bucket, which are all that agree in the bits above `shift`.
    """

    def __init__(self, spec: PolicySpec, table: Table, row: int) -> None:
        super().__init__(spec, table, row)
        self.members: list[Backend] = []
        self.points = array("Q")
        self.starts = array("i")
        self.count = 0
        self.shift = 0

    def arrange(self) -> int:
        """Lay out the ring. Returns 0."""
        self.members, keys = in_order(self.backends)
        numbers = how_many(self.members)
        self.count = sum(numbers)
        buckets = max(2, 1 << max(0, self.count.bit_length() - 2))
        self.shift = BITS + 1 - buckets.bit_length()
        self.points = array("Q", [0]) * self.count
        self.starts = array("i", [0]) * (buckets + 1)
        self.fill(keys, numbers, array("Q", [0]) * self.count, buckets)
        return 0

    def fill(self, keys: list[int], numbers: list[int], loose: "array[int]", buckets: int) -> int:
        """Make the points and bring them in order. loose: as long as the ring. Returns 0."""
        points = self.points
        starts = self.starts
        shift = self.shift
        at = 0
        for index in range(len(keys)):
            key = keys[index]
            number = numbers[index]
            for copy in range(number):
                point = mix(key, copy) & PLACE | index
                loose[at] = point
                starts[(point >> shift) + 1] += 1
                at += 1
        start = 0
        for bucket in range(1, buckets + 1):
            size = starts[bucket]
            starts[bucket] = start
            start += size
        # Each bucket's start lies one place too far on, and moves with what is put in, until it is the next one's.
        for at in range(self.count):
            point = loose[at]
            bucket = (point >> shift) + 1
            to = starts[bucket]
            points[to] = point
            starts[bucket] = to + 1
        for at in range(1, self.count):
            point = points[at]
            to = at
            while to > 0 and points[to - 1] > point:
                points[to] = points[to - 1]
                to -= 1
            points[to] = point
        return 0

    def find(self, request: Pick, key: int) -> Backend | None:
        """The owner of the first point behind the key, or of one soon after it."""
        if self.count == 0:
            return None
        place = mix(key, 0) & PLACE
        at = self.starts[place >> self.shift]
        while at < self.count and self.points[at] < place:
            at += 1
        refused = NOBODY
        for _ in range(STEPS):
            if at == self.count:
                at = 0
            whose = self.points[at] & WHOSE
            if whose != refused:
                backend = self.members[whose]
                if self.accepts(request, backend):
                    return backend
                refused = whose
            at += 1
        return None


def how_many(members: list[Backend]) -> list[int]:
    """How many points each of them has."""
    most = min(max(len(members) * POINTS_EACH, FEW), MOST)
    # By the weights and not by what counts of them now: a slow start shall not change the others' points.
    wanted = POINTS * sum([backend.weight for backend in members])
    unit = WEIGHT_UNIT
    while wanted > most:
        wanted >>= 1
        unit <<= 1
    return [max(1, POINTS * backend.share() // unit) for backend in members]


register(
    "consistent_hash",
    ConsistentHash,
    "a ring of keys: when a backend goes, only its own move",
    ("key", "bound"),
    ours=True,
)
