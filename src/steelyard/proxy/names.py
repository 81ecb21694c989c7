"""What backends are called, and where that is: looked up once, and again when it is old.

A session is opened by every datagram of a new client, and none of them may wait for a resolver. So what a name stands
for is kept, and used on while it is asked for again: a changed DNS answer takes effect for new sessions within KEEP_S,
and one that cannot be had changes nothing. An IP address needs no resolver.
Which of several addresses answers is learnt: `localhost` is two, and most servers listen on one.
"""

from asyncio import AbstractEventLoop, Task
from collections.abc import Callable
from math import inf
from socket import AI_NUMERICHOST, SOCK_DGRAM, gaierror, getaddrinfo
from typing import Any, Final

from steelyard.proxy.dial import why

KEEP_S: Final = 30.0

# A family and a socket address of it.
Place = tuple[int, Any]


class Name:
    """One host and port. places: where that is, the best first; empty while nobody knows. waiting: who wants to know.

    asked_at: monotonic seconds, inf where there is nothing to ask. why: it could not be found, or the empty string.
    """

    __slots__ = ("asked_at", "host", "places", "port", "task", "waiting", "why")

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.places: tuple[Place, ...] = ()
        self.asked_at = -inf
        self.waiting: list[Callable[[], None]] = []
        self.task: Task[None] | None = None
        self.why = ""

    def prefer(self, place: Place) -> None:
        """This one answers: it is the first to be asked from now on."""
        if self.places and self.places[0] is not place and place in self.places:
            self.places = (place, *[other for other in self.places if other is not place])


class Names:
    """All names of a listener's backends. tasks: the lookups that go on."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.loop = loop
        self.known: dict[tuple[str, int], Name] = {}
        self.tasks: set[Task[None]] = set()
        self.closed = False

    def of(self, host: str, port: int, now: float) -> Name:
        """What is known of it. One without places is being looked up: wait in `waiting`, to be called once."""
        name = self.known.get((host, port))
        if name is None:
            name = self.known[host, port] = Name(host, port)
            try:
                found = getaddrinfo(host, port, type=SOCK_DGRAM, flags=AI_NUMERICHOST)
            except gaierror:
                pass
            else:
                name.places = tuple((one[0], one[4]) for one in found)
                name.asked_at = inf
        if now - name.asked_at > KEEP_S and name.task is None and not self.closed:
            name.asked_at = now
            name.task = self.loop.create_task(self._look_up(name))
            self.tasks.add(name.task)
            name.task.add_done_callback(self.tasks.discard)
        return name

    def keep(self, wanted: set[tuple[str, int]]) -> None:
        """Forget all others; who waits for one hears of it all the same."""
        self.known = {key: name for key, name in self.known.items() if key in wanted}

    def close(self) -> None:
        """Look nothing up any more."""
        self.closed = True
        for task in self.tasks:
            task.cancel()

    async def _look_up(self, name: Name) -> None:
        try:
            found = await self.loop.getaddrinfo(name.host, name.port, type=SOCK_DGRAM)
        except (OSError, UnicodeError) as exc:
            name.why = why(exc) if isinstance(exc, OSError) else str(exc)
            if not name.places:
                name.asked_at = -inf  # the next session asks anew
        else:
            places = tuple((int(one[0]), one[4]) for one in found)
            if set(places) != set(name.places):  # else the order is what was learnt
                name.places = places
        finally:
            name.task = None
            waiting, name.waiting = name.waiting, []
        for told in waiting:
            told()
