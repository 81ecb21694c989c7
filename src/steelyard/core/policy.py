"""The contract of every policy, what it is told of a request, and the register of their names.

A policy chooses; it neither counts nor judges health. The pool tells it who exists (`rebuild`), asks it
(`pick`), and counts what it chose. Rules that hold for every policy:
- it never picks a backend that is unavailable or has been tried for this request;
- it returns None when there is no other one, and only then;
- it has no clock, no randomness and no bytes of its own: all that comes in with the Pick.
Source: Finagle (load, picker and membership apart), Caddy (one small contract for all).
"""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Final

from steelyard.core.backend import Backend
from steelyard.core.spec import PolicySpec
from steelyard.core.table import Table

KEY_BYTES: Final = 8


class Pick:
    """What a policy may know of the request it chooses for. The proxy's `Request` is a subclass of it.

    key: stable 64-bit hash of what the pool's `key` names; 0 when that is nothing (the pool fills it in).
    now: monotonic seconds. tried: the backends that this request must not get again, or None.
    below: n -> a random whole number in [0, n), all equally likely.
    """

    def __init__(
        self,
        below: Callable[[int], int],
        key: int = 0,
        now: float = 0.0,
        tried: list[Backend] | None = None,
    ) -> None:
        self.below = below
        self.key = key
        self.now = now
        self.tried = tried

    def get(self, name: str) -> str | None:
        """A part of the request: `path`, `host`, `client_ip`, `header:NAME`...; None when it has none."""
        return None

    def has_tried(self, backend: Backend) -> bool:
        """Whether this request was at that backend before."""
        if self.tried is None:
            return False
        for other in self.tried:
            if other is backend:
                return True
        return False

    def may_take(self, backend: Backend) -> bool:
        """Whether a policy may pick this backend for this request."""
        return backend.is_available() and not self.has_tried(backend)


class Policy:
    """How a pool chooses. Subclasses override `pick`, and `rebuild` when they prepare something.

    table, row: the pool's own row of shared cells, where a policy keeps what all workers must agree on.
    """

    def __init__(self, spec: PolicySpec, table: Table, row: int) -> None:
        self.spec = spec
        self.table = table
        self.row = row
        self.backends: list[Backend] = []

    def rebuild(self, backends: Sequence[Backend]) -> None:
        """Take note of who exists: called before the first pick, and when a backend or a weight changes.

        An override sets `self.backends` itself: `super()` finds no class in a compiled method of this kind.
        """
        self.backends = list(backends)

    def candidates(self, request: Pick) -> list[Backend]:
        """All backends that may be picked for this request, in their order: a look at every one."""
        return [backend for backend in self.backends if request.may_take(backend)]

    def pick(self, request: Pick) -> Backend | None:
        """Choose for one request; None when no backend is available and untried."""
        raise NotImplementedError(f"{type(self).__name__} must say how to pick")


_REGISTER: Final[dict[str, type[Policy]]] = {}


def register(name: str, policy: type[Policy]) -> None:
    """Make a policy known under the name that configurations use (a call: extension types take no decorators)."""
    if name in _REGISTER:
        raise ValueError(f"policy {name!r} is registered twice")
    _REGISTER[name] = policy


def names() -> tuple[str, ...]:
    """All registered names, in the order of registration (import `steelyard.core.policies` for the built-in ones)."""
    return tuple(_REGISTER)


def create(spec: PolicySpec, table: Table, row: int) -> Policy:
    """The policy that a specification names. Raises KeyError for a name that nobody registered."""
    return _REGISTER[spec.name](spec, table, row)


def stable_hash(value: bytes | str) -> int:
    """A 64-bit hash that is the same in every process, on every machine, today and tomorrow. Never 0."""
    raw = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return int.from_bytes(blake2b(raw, digest_size=KEY_BYTES).digest(), "big") or 1
