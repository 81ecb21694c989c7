"""`watch: true`: has the configuration file changed?

Looked at once a second. A change counts when the file has stayed as it is for one look more: who writes it in two goes
is not read half-way. Where the path leads is followed, so that a link that is turned over (as Kubernetes does) counts.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

LOOK_S = 1.0

Seen = tuple[int, int, int, int] | None


class FileWatch:
    """One file. seen: as it was when it was last acted upon; None while it cannot be looked at."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seen = self.look()
        self.before = self.seen

    def look(self) -> Seen:
        """What tells one content from another, without reading it."""
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def changed(self) -> bool:
        """Whether there is something new that has settled; asking again says no."""
        now = self.look()
        settled, self.before = now == self.before, now
        if now is None or not settled or now == self.seen:
            return False
        self.seen = now
        return True

    async def follow(self, act: Callable[[], Awaitable[None]]) -> None:
        """Look for ever, and act on each change."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self.changed():
                await act()
