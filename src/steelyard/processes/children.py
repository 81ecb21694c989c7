"""Child processes of the supervisor: how one is started, and what several of them are asked at once.

Each child has a socket pair to us (channel.py), through which it also learns that we are gone. Standard library alone.
"""

import os
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from steelyard.processes.channel import MOST_DESCRIPTORS, Channel

Words = dict[str, Any]
Then = Callable[[list[Words]], None]

CONTROL = -1  # the number of the control process; workers count from 0


class Child:
    """A process of ours. given: keys of the sockets it has. prepared: number of the snapshot it was told last.

    ending: it was told to end.
    """

    def __init__(self, number: int, process: "subprocess.Popen[bytes]", channel: Channel) -> None:
        self.number = number
        self.process = process
        self.channel = channel
        self.born = time.monotonic()
        self.given: set[str] = set()
        self.prepared = 0
        self.ending = False

    @property
    def name(self) -> str:
        """As people call it."""
        return f"{name_of(self.number)} (pid {self.process.pid})"

    def report(self, now: float) -> Words:
        """Which it is, and since when it runs."""
        return {"number": self.number, "pid": self.process.pid, "age_s": now - self.born}

    def hand(self, sockets: Sequence[tuple[str, socket.socket]]) -> None:
        """Give it those of these sockets that it has not yet."""
        new = [(key, sock) for key, sock in sockets if key not in self.given]
        for at in range(0, len(new), MOST_DESCRIPTORS):
            some = new[at : at + MOST_DESCRIPTORS]
            self.channel.send("sockets", {"keys": [key for key, _ in some]}, b"", [sock.fileno() for _, sock in some])
        self.given.update(key for key, _ in new)


def name_of(number: int) -> str:
    """What people call it."""
    return "the control process" if number == CONTROL else f"worker {number}"


class _Question(NamedTuple):
    waiting: set[Child]
    then: Then
    answers: list[Words]


class Children:
    """All of them. user: as whom they run, as words for subprocess; empty for ourselves."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self.selector = selector
        self.user: Words = {}
        self._all: set[Child] = set()
        self._asked: dict[int, _Question] = {}
        self._last_number = 0

    @property
    def mend(self) -> str:
        """What may help where one cannot be started."""
        who = self.user.get("user")
        mend = f"; user: let user {who} read Python and Steelyard where they are installed, or take it out"
        return "" if who is None or os.geteuid() != 0 else mend

    def start(self, number: int, module: str, words: Sequence[object], descriptors: Sequence[int] = ()) -> Child:
        """Start a module as a process. Its arguments: its number, the descriptor of its channel, these, the words.

        Raises OSError where the system has no room for another process.
        """
        ours, theirs = socket.socketpair()
        passed = (theirs.fileno(), *descriptors)
        try:
            process: subprocess.Popen[Any] = subprocess.Popen(
                [sys.executable, "-P", "-m", module, *map(str, (number, *passed, *words))],
                stdin=subprocess.DEVNULL,
                pass_fds=passed,
                process_group=0,  # Ctrl-C at a terminal is for us alone
                **(self.user if os.geteuid() == 0 else {}),
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        child = Child(number, process, Channel(ours, lambda: self.selector.unregister(ours)))
        self._all.add(child)
        self.selector.register(ours, selectors.EVENT_READ, child)
        return child

    def number(self) -> int:
        """For something that will be answered: one that nothing else has."""
        self._last_number += 1
        return self._last_number

    def ask(self, number: int, children: Iterable[Child], then: Then) -> None:
        """These were sent something with this number: when all have answered, or ended, go on with the answers."""
        question = _Question(set(children), then, [])
        self._asked[number] = question
        self._settle(number, question)

    def answered(self, child: Child, words: Words) -> bool:
        """A worker has answered; whether somebody waits for it."""
        question = self._asked.get(words["id"])
        if question is None or child not in question.waiting:
            return False
        question.waiting.discard(child)
        question.answers.append({"worker": child.number, **words})
        self._settle(words["id"], question)
        return True

    def forget(self, child: Child) -> None:
        """It has ended, and will answer nothing more."""
        child.channel.close()
        self._all.discard(child)
        for number, question in list(self._asked.items()):
            question.waiting.discard(child)
            self._settle(number, question)

    def watch(self) -> None:
        """Have the selector tell when those can be written to for whom something waits. Before every select."""
        for child in self._all:
            if not child.channel.closed:
                key = self.selector.get_key(child.channel.sock)
                events = selectors.EVENT_READ | (selectors.EVENT_WRITE if child.channel.waiting else 0)
                if key.events != events:
                    self.selector.modify(child.channel.sock, events, child)

    def pids(self) -> set[int]:
        """Of all of them."""
        return {child.process.pid for child in self._all}

    def kill(self) -> None:
        """End them all at once."""
        for child in self._all:
            child.process.kill()

    def _settle(self, number: int, question: _Question) -> None:
        if not question.waiting and self._asked.pop(number, None) is not None:
            question.then(question.answers)
