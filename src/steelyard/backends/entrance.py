"""Who waits for room in a full queue, strictly first come first served.

Who is called has the room, from then until it has come: nobody else is called for it, and no newcomer slips in. When a
hundred thousand wait, each of them is called once.
"""

from asyncio import CancelledError, get_running_loop, timeout
from collections import OrderedDict
from collections.abc import Callable

from steelyard.backends.dispatch import Dispatch
from steelyard.backends.results import QueueFull


class Entrance:
    """dispatch: has the queue. is_open: the pool takes tasks; those who wait are sent away when it no longer does."""

    def __init__(self, dispatch: Dispatch) -> None:
        self.dispatch = dispatch
        self.is_open = True
        self._waiting: OrderedDict[Callable[[], None], None] = OrderedDict()
        self._coming = 0

    def has_room(self) -> bool:
        """Whether a task more can be put into the queue by one who was not called."""
        return self.dispatch.room > self._coming

    def join(self, wake: Callable[[], None]) -> None:
        """Have this called once, when there is room. Who is called must say that it has `come`."""
        self._waiting[wake] = None

    def come(self) -> None:
        """One who was called is here, and takes the room, or leaves it to the next."""
        self._coming -= 1

    def leave(self, wake: Callable[[], None]) -> bool:
        """Wait no longer; False when it has been called."""
        return self._waiting.pop(wake, self) is None

    def admit(self) -> None:
        """Call as many as there is room for, if there is any."""
        while self._waiting and self.dispatch.room > self._coming:
            self._call()

    def close(self) -> None:
        """Let nobody in any more, and tell those who wait."""
        self.is_open = False
        while self._waiting:
            self._call()

    async def wait(self, at_most_s: float | None) -> None:
        """Until there is room, or the pool is closed. Raises QueueFull when there was none for so long."""
        if at_most_s is None:
            await self._until_room()
            return
        try:
            async with timeout(at_most_s):
                await self._until_room()
        except TimeoutError as exc:
            size = self.dispatch.most_waiting
            raise QueueFull(f"the queue was full for {at_most_s:g} s: {size} tasks wait in it") from exc

    async def _until_room(self) -> None:
        while self.is_open and not self.has_room():
            await self._once()

    async def _once(self) -> None:
        room = get_running_loop().create_future()

        def wake() -> None:
            if not room.done():
                room.set_result(None)

        self.join(wake)
        try:
            await room
        except CancelledError:
            if not self.leave(wake):
                self.come()
                self.admit()
            raise
        self.come()

    def _call(self) -> None:
        self._coming += 1
        wake, _ = self._waiting.popitem(last=False)
        wake()
