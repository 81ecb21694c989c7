"""Has anything changed about who takes requests in a tier, since one asked last?

A policy that keeps a list of those that take requests, or a structure over them, must make it anew when a health, a
weight or a draining changes, and may keep it else: GENERATION goes up with each such change, whoever made it, and
whether most are down (panic) is part of the answer. To ask costs two nanoseconds, to make anew a look at everyone.
"""

from typing import Final

from steelyard.core import table as cells
from steelyard.core.table import Table

GENERATION: Final = cells.GENERATION
NEVER: Final = -1


class Watch:
    """One reader's memory of it. row: the tier's. panic: as it was said last."""

    def __init__(self, table: Table, row: int) -> None:
        self.table = table
        self.row = row
        self.generation = NEVER
        self.panic = False

    def stale(self, panic: bool) -> bool:
        """Whether what was made of the last answer is to be made anew; asking again says no.

        The answer is noted before the caller looks at the backends: what changes meanwhile is for the next time.
        """
        generation = self.table.get(self.row, GENERATION)
        if generation == self.generation and panic == self.panic:
            return False
        self.generation = generation
        self.panic = panic
        return True

    def forget(self) -> None:
        """Make the next answer a yes: there are other backends now."""
        self.generation = NEVER
