"""The listening sockets of a balancer: bound once, kept by the supervisor, dealt out to the workers.

Each listener has one socket a worker (SO_REUSEPORT), or one for all: a unix socket, or one that systemd has bound. Of
UDP it is always one a worker, for a client's datagrams must come to one of them.
Sockets outlive workers, configurations and programs: a listener that is found again under the same key
(proxy/bind.py) keeps its sockets, whoever has made them. Standard library alone: the supervisor uses it.
"""

import json
import os
import socket
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from steelyard.core.spec import UDP, ListenerSpec
from steelyard.errors import ListenError
from steelyard.processes.notify import activated
from steelyard.proxy.bind import SocketFile, address_of, are_open, bind, key_of, let_beside, more

# Where a program that is upgraded tells its successor which descriptors are which sockets.
INHERITED: Final = "STEELYARD_SOCKETS"

Words = Mapping[str, Any]


class _Handed(NamedTuple):
    """What a successor is told of one key. for_all: all workers share it. file: where its file is, if that is ours."""

    descriptors: list[int]
    for_all: bool
    file: str | None


def words_of(spec: ListenerSpec) -> dict[str, Any]:
    """What has to be known of a listener to bind it."""
    names = ("name", "host", "port", "path", "backlog", "protocol")
    return {name: getattr(spec, name) for name in names}


def _spec(words: Words) -> ListenerSpec:
    return ListenerSpec(**words, routes=())


def _is_udp(sock: socket.socket) -> bool:
    return sock.type == socket.SOCK_DGRAM


class Sockets:
    """Sockets by key. What is new since the last `keep` can be forgotten again.

    inherited: of the program before, by key. activated: of systemd, by the listener's name or key.
    files: of unix sockets, which are removed with them; those that are inherited only from `keep` on, since the program
    before goes on with them when we do not come up. left: of UDP, the inodes of those that were closed here, from which
    workers may answer yet.
    """

    def __init__(self) -> None:
        self.held: dict[str, list[socket.socket]] = {}
        self.new: set[str] = set()
        self.left: dict[str, set[int]] = {}
        self.for_all: set[str] = set()  # keys of those that all workers share
        self.files: dict[str, SocketFile] = {}
        handed = {key: _Handed(*words) for key, words in json.loads(os.environ.pop(INHERITED, "{}")).items()}
        self.inherited = {key: [socket.socket(fileno=fd) for fd in one.descriptors] for key, one in handed.items()}
        self.shared_before = {key for key, one in handed.items() if one.for_all}
        self.files_before = {key: one.file for key, one in handed.items() if one.file is not None}
        self.activated: dict[str, socket.socket] = {}
        for name, fd in activated():
            sock = socket.socket(fileno=fd)
            sock.setblocking(False)
            self.activated[("udp:" if _is_udp(sock) else "") + str(address_of(sock))] = sock
            self.activated.setdefault(name, sock)

    def bind(self, listeners: Iterable[Words], workers: int) -> None:
        """Have sockets for all these listeners. Raises ListenError; then those that are new are gone again."""
        try:
            for words in listeners:
                spec = _spec(words)
                key = key_of(spec)
                if key not in self.held:
                    self.new.add(key)
                    self._have(spec, key, workers)
        except ListenError:
            self.forget_new()
            raise

    def _have(self, spec: ListenerSpec, key: str, workers: int) -> None:
        found = self._of_systemd(spec, key)
        if found is not None:
            held = self.held[key] = [found.dup()]  # systemd's stays: the listener may go and come back
            if spec.protocol != UDP:  # all datagrams of a client must come to one worker
                self.for_all.add(key)
        elif key in self.inherited:
            held = self.held[key] = self.inherited.pop(key)
            if key in self.shared_before:
                self.for_all.add(key)
        else:
            held = self.held[key] = self._bound(spec, workers)
            if spec.path is not None:
                self.for_all.add(key)
                self.files[key] = SocketFile(spec.path)
        while key not in self.for_all and len(held) < workers:
            try:
                held.append(more(held[0], spec.backlog))
            except OSError as exc:
                what = f"no socket for every worker ({exc.strerror})"
                if found is not None:
                    what += (
                        "; systemd has bound the one that there is: write ReusePort=yes in its unit, or workers: 1 here"
                    )
                raise ListenError(spec.name, f"{spec.address}: {what}") from exc

    def _of_systemd(self, spec: ListenerSpec, key: str) -> socket.socket | None:
        """What systemd has bound for this listener, by its name or its address."""
        for where in (spec.name, key):
            found = self.activated.get(where)
            if found is not None and _is_udp(found) == (spec.protocol == UDP):
                return found
        return None

    def _bound(self, spec: ListenerSpec, workers: int) -> list[socket.socket]:
        """New ones. Raises ListenError, which says so where it is we ourselves who have the port."""
        try:
            return bind(spec, workers, are_open(self.left.get(key_of(spec), set())))
        except ListenError as exc:
            ours = [
                str(address_of(held[0]))
                for held in (*self.held.values(), *self.inherited.values())
                if held and _is_udp(held[0]) == (spec.protocol == UDP)
            ]
            mine = [address for address in ours if spec.port and address.endswith(f":{spec.port}")]
            if not mine or "in use" not in exc.what:
                raise
            mend = "take that out with one reload and put this in with the next, or stop and start"
            raise ListenError(spec.name, f"{spec.address}: our own listener {mine[0]} has this port; {mend}") from exc

    def of(self, worker: int, workers: int, new: bool = True) -> list[tuple[str, socket.socket]]:
        """The sockets of one worker: its own, and those that nobody would serve since there were more workers once.

        new: those too that are new since the last `keep`.
        """
        return [
            (key, sock)
            for key, held in self.held.items()
            if new or key not in self.new
            for sock in (held if key in self.for_all else held[worker::workers])
        ]

    def keys(self) -> set[str]:
        """The keys of all that are held."""
        return set(self.held)

    def addresses(self) -> dict[str, str]:
        """Where each can be reached, as text."""
        return {key: str(address_of(held[0])) for key, held in self.held.items()}

    def keep(self, listeners: Iterable[Words]) -> None:
        """These are served now: what is new stays, and the others are closed."""
        wanted = {key_of(_spec(words)) for words in listeners}
        self.new.clear()
        self.files.update({key: SocketFile(path) for key, path in self.files_before.items()})
        self.held.update(self.inherited)
        self.files_before.clear()
        self.inherited.clear()
        for key in [key for key in self.held if key not in wanted]:
            if _is_udp(self.held[key][0]):
                self.left[key] = let_beside(self.held[key])
            self._close(key)

    def forget_new(self) -> None:
        """What is new since the last `keep` is not wanted after all."""
        for key in list(self.new):
            self._close(key)
        self.new.clear()

    def hand_over(self) -> tuple[dict[str, str], list[int]]:
        """For a successor: what to put into its environment, and the descriptors that it inherits."""
        handed = {
            key: _Handed(
                [sock.fileno() for sock in held],
                key in self.for_all,
                self.files[key].path if key in self.files else None,
            )
            for key, held in self.held.items()
        }
        return {INHERITED: json.dumps(handed)}, [fd for one in handed.values() for fd in one.descriptors]

    def close(self, files_too: bool) -> None:
        """Listen no more. files_too: the files of unix sockets are removed: nobody goes on with them."""
        for key in list(self.held):
            if not files_too:
                self.files.pop(key, None)
            self._close(key)

    def _close(self, key: str) -> None:
        if key in self.files:
            self.files.pop(key).remove()
        for sock in self.held.pop(key, []):
            sock.close()
        self.for_all.discard(key)
