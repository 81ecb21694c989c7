"""What the owner of local backends is told of one: all that it takes to start its process and to see that it is ready.

The owner may be the supervisor, which understands no configuration; so this is plain words, which JSON can carry.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from steelyard.core.spec import format_address


@dataclass(frozen=True, slots=True)
class Wanted:
    """One process.

    key: what makes it the same one through restarts and reloads. name: what people call it, such as `web/0`.
    where: `file:line: key` of its entry, and value what is written there, for messages.
    argv: the command. directory: where it runs. environment: what is added to ours.
    host and port, or path: where it listens. protocol: what it speaks; the port of udp is one for datagrams.
    core: which of the allowed cores it is pinned to, counted round; None for any.
    """

    key: str
    name: str
    where: str
    value: str
    argv: tuple[str, ...]
    directory: str
    environment: Mapping[str, str]
    host: str
    port: int
    path: str | None
    protocol: str
    core: int | None
    ready_timeout_s: float
    stop_timeout_s: float

    @property
    def address(self) -> str:
        """Where it listens, as a backend is called."""
        return format_address(self.host, self.port, self.path)

    def words(self) -> dict[str, Any]:
        """For a message."""
        return asdict(self)

    @classmethod
    def of(cls, words: Mapping[str, Any]) -> Self:
        """From a message."""
        return cls(**{**words, "argv": tuple(words["argv"])})
