"""All local backends of a balancer, by their keys. The supervisor owns them; in a program of yours, its event loop.

A configuration's are asked for first (`want`), beside those that run: when all of the new ones are ready, or have
failed, who asked hears it. Then the configuration comes into force (`keep`), or does not (`drop`). Those that are in it
no more run on until nothing is in flight there (`end`), or their time is over.
"""

import errno
import os
import stat
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from steelyard.backends.launch import launch
from steelyard.backends.local import Local, Reactor, Running, State
from steelyard.backends.restarts import Restarts
from steelyard.backends.wanted import Wanted

Words = dict[str, Any]
Then = Callable[[list[Words]], None]


class Owner:
    """The local backends of one balancer.

    directory: where their unix sockets are; it is made when it is needed, and is ours alone. user: as whom they
    run, in words for subprocess. tell: called with a report when one became ready, or is so no more.
    pass_on: called with each line that one says.
    """

    def __init__(
        self,
        reactor: Reactor,
        directory: str,
        tell: Callable[[Words], None],
        pass_on: Callable[[str], None],
        user: Mapping[str, Any] | None = None,
        start: Callable[[Wanted, Mapping[str, Any]], Running] = launch,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.reactor = reactor
        self.directory = directory
        self.tell = tell
        self.pass_on = pass_on
        self.user = {} if user is None else user
        self.clock = clock
        self.restarts = Restarts()
        self.all: dict[str, Local] = {}
        self.ending: dict[str, Local] = {}
        self.new: set[str] = set()
        # In force no more, but requests may be in flight there; since which configuration came into force.
        self._left: dict[str, object] = {}
        # Of the configuration that is being prepared; those of them that would have been ended meanwhile.
        self._wanted: set[str] = set()
        self._spared: set[str] = set()
        self._start = start
        self._waiting: tuple[set[str], Then] | None = None
        self._stopped: Callable[[], None] | None = None

    def want(self, wanted: Iterable[Wanted], then: Then) -> None:
        """Have these run besides those that do. then: is called with a report of each when the new ones have settled.

        new: whether it was not there before. why: of a new one, why its first start has come to nothing; it is tried
        again all the same.
        """
        self.drop()
        listed = list(wanted)
        for one in listed:
            if one.key in self.all:
                self.all[one.key].wanted = one  # its name and its place may be others
            else:
                self._add(one)
        self._wanted = {one.key for one in listed}
        self._waiting = (self._wanted, then)
        self._look()

    def decided(self) -> None:
        """What was wanted last comes into force: from here on it is not dropped, and `keep` follows."""
        self.new.clear()
        self._spared.clear()

    def keep(self, keys: Iterable[str], drain_s: float) -> None:
        """These are in force. The others may finish what they have for so long, or until `end`."""
        kept = set(keys)
        self.decided()
        self._wanted = set()
        now = object()
        self._left = {key: self._left.get(key, now) for key in self.all.keys() - kept}
        if now in self._left.values():
            self.reactor.after(drain_s, lambda: self.end([key for key, since in self._left.items() if since is now]))

    def drop(self) -> None:
        """What was wanted last is not to be."""
        self._waiting = None
        dropped = self.new | self._spared
        self._wanted, self.new, self._spared = set(), set(), set()
        self._stop_these(dropped)

    def end(self, keys: Iterable[str]) -> None:
        """Nothing is in flight at these any more; those of them that are in force, or are to be, stay."""
        ended = self._left.keys() & set(keys)
        self._spared |= ended & self._wanted
        self._stop_these(ended - self._wanted)

    def restart(self, key: str, pid: int, why: str = "") -> None:
        """Have another process in place of this one, if it is still the one of that key."""
        if key in self.all:
            self.all[key].restart(pid, why)

    def stop(self, then: Callable[[], None], at_once: bool = False) -> None:
        """End all of them, and go on when they have."""
        self._waiting = None
        self._stopped = then
        self._stop_these(list(self.all))
        if at_once:
            self.kill()
        self._look_whether_alone()

    def kill(self) -> None:
        """End all of them now."""
        for local in (*self.all.values(), *self.ending.values()):
            local.kill()

    def pids(self) -> set[int]:
        """Of all processes that run, or are to be reaped yet."""
        return {local.pid for local in (*self.all.values(), *self.ending.values())}

    def reports(self) -> list[Words]:
        """One of each, in the order of the configuration as far as that is known."""
        return [local.report() for local in self.all.values()]

    def _add(self, wanted: Wanted) -> None:
        local = Local(wanted, self.reactor, self._launch, self.restarts, self.clock, self._changed, self.pass_on)
        self.all[wanted.key] = local
        self.new.add(wanted.key)
        if wanted.key not in self.ending:  # else the place is taken yet; see _gone
            local.start()

    def _launch(self, wanted: Wanted) -> Running:
        if wanted.path is not None:
            # Who asks may be another user than we are, and what stands at a path is removed first.
            if os.path.dirname(os.path.abspath(wanted.path)) != self.directory:
                raise PermissionError(errno.EPERM, f"its socket is to be in {self.directory}", wanted.path)
            self._make_directory()
        return self._start(wanted, self.user)

    def _make_directory(self) -> None:
        """Have the directory, for nobody else. Raises OSError."""
        with suppress(FileExistsError):  # whoever tidies up may have taken away what it was in
            os.mkdir(os.path.dirname(self.directory), 0o700)
        try:
            os.mkdir(self.directory, 0o700)
        except FileExistsError:
            found = os.lstat(self.directory)
            ours = stat.S_ISDIR(found.st_mode) and found.st_uid in (os.geteuid(), self.user.get("user"))
            if not ours or found.st_mode & 0o022:
                raise
        else:
            if self.user and os.geteuid() == 0:
                os.chown(self.directory, self.user["user"], self.user["group"])

    def _changed(self, local: Local) -> None:
        self.tell(local.report())
        self._look()

    def _look(self) -> None:
        """Tell who waits when all that he waits for have settled."""
        if self._waiting is None:
            return
        keys, then = self._waiting
        if all(self.all[key].settled for key in keys):
            self._waiting = None
            then([self._first_report(local) for key, local in self.all.items() if key in keys])

    def _first_report(self, local: Local) -> Words:
        new = local.wanted.key in self.new
        return {**local.report(), "new": new, "why": local.why if new else ""}

    def _stop_these(self, keys: Iterable[str]) -> None:
        for key in list(keys):
            self._left.pop(key, None)
            local = self.all.pop(key)
            if local.state is State.WAITING and key in self.ending:
                continue  # it had not begun
            self.ending[key] = local
            local.stop(lambda key=key: self._gone(key))  # type: ignore[misc]

    def _gone(self, key: str) -> None:
        """One has ended for good; its place is free for a successor."""
        local = self.ending.pop(key)
        if local.wanted.path is not None and local.started:
            with suppress(OSError):
                os.unlink(local.wanted.path)
        self.restarts.forget(key)
        if key in self.all:
            self.all[key].start()
        self._look_whether_alone()

    def _look_whether_alone(self) -> None:
        if self._stopped is not None and not self.all and not self.ending:
            then, self._stopped = self._stopped, None
            with suppress(OSError):
                os.rmdir(self.directory)
            then()


def words_of(wanted: Sequence[Wanted]) -> list[Words]:
    """For a message."""
    return [one.words() for one in wanted]
