"""What was asked and what came of it, by token: the clients' side of the books."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

# What came of a request, as its client saw it.
ANSWERED: Final = "answered"  # with an answer that was whole
CUT: Final = "cut"  # its answer ended before its framing said so
LOST: Final = "lost"  # the connection ended, and no answer had begun
LEFT: Final = "left"  # the client went away before it was answered


@dataclass(slots=True)
class Asked:
    """One request. kind: of its session. status: of the answer that came, 0 for none."""

    kind: str
    outcome: str = LEFT
    status: int = 0


@dataclass
class Tally:
    """requests: by token. sessions: by kind. wrong: sentences, of which there must be none. prefix: of every token."""

    prefix: str = "t"
    requests: dict[str, Asked] = field(default_factory=dict)
    sessions: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    refused_garbage: int = 0
    garbage: int = 0
    bytes_received: int = 0
    tunnelled: int = 0
    reloads: int = 0
    wrong: list[str] = field(default_factory=list)

    def begin(self, kind: str) -> str:
        """A new request: its token."""
        token = f"{self.prefix}{len(self.requests)}"
        self.requests[token] = Asked(kind)
        return token

    def became(self, token: str, outcome: str, status: int = 0) -> None:
        asked = self.requests[token]
        asked.outcome, asked.status = outcome, status
        if status:
            self.statuses[status] += 1

    def count(self, outcome: str) -> int:
        return sum(asked.outcome == outcome for asked in self.requests.values())
