"""The supervisor's local backends: what the control process says of them, and what it is told of them.

Standard library alone.
"""

import os
import sys
import time
from collections.abc import Callable
from selectors import EVENT_READ, BaseSelector
from typing import Any

from steelyard.backends.owner import Owner, Then
from steelyard.backends.wanted import Wanted
from steelyard.observe.streams import say
from steelyard.processes import runtime
from steelyard.processes.channel import Message
from steelyard.processes.later import Later

Words = dict[str, Any]


class Locals(Owner):
    """All of them. tell: as of `Owner`; what they say goes to our standard error."""

    def __init__(self, selector: BaseSelector, later: Later, tell: Callable[[Words], None]) -> None:
        place = runtime.place_of_locals(os.getpid())
        reactor = SelectorReactor(selector, later)
        super().__init__(reactor, place, tell, lambda line: say(line, sys.stderr), clock=time.monotonic)

    def run_as(self, user: Words) -> None:
        """As whom they run from now on, in words for subprocess."""
        self.user = user
        if user:
            self.directory = runtime.place_of_locals(os.getpid(), user["user"])

    def words(self) -> Words:
        """What the control process is to know of them when it begins."""
        return {"place": self.directory, "locals": self.reports()}

    def do(self, message: Message, answer: Then) -> None:
        """What the control process says of them."""
        words = message.words
        match message.name:
            case "locals":
                self.want(map(Wanted.of, words["locals"]), answer)
            case "restart":
                self.restart(words["key"], words["pid"], words["why"])
            case "end":
                self.end(words["keys"])


class SelectorReactor:
    """A selector and a list of later calls as what drives local backends (`Reactor` of backends/local.py)."""

    def __init__(self, selector: BaseSelector, later: Later) -> None:
        self.selector = selector
        self.later = later

    def after(self, delay_s: float, call: Callable[[], None]) -> None:
        """Call it once, so much later; at once where there is no delay."""
        self.later.after(delay_s, call)

    def add_reader(self, fd: int, call: Callable[[], None]) -> None:
        """Call it whenever the descriptor is readable."""
        self.selector.register(fd, EVENT_READ, call)

    def remove_reader(self, fd: int) -> None:
        """No more; nothing where it was not looked at."""
        if fd in self.selector.get_map():
            self.selector.unregister(fd)
