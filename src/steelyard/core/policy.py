"""The contract of every policy, what it is told of a request, and the register of their names.

A policy chooses; it neither counts nor judges health. The pool tells it who exists (`rebuild`), asks it (`pick`),
counts what it chose, and tells it what came of that (`began`, `ended`). Rules that hold for every policy:
- it never picks a backend that is unavailable or has been tried for this request (`request.may_take` knows);
- it returns None when there is no other one, and only then;
- it has no clock, no randomness and no bytes of its own: all that comes in with the Pick.
Source: Finagle (load, picker and membership apart), Caddy (one small contract for all).
"""

from collections.abc import Callable, Sequence
from itertools import accumulate
from math import gcd
from typing import Final, NamedTuple

from steelyard.core.backend import Backend
from steelyard.core.spec import PolicySpec
from steelyard.core.table import Table

UNKNOWN_S: Final = -1.0


class Pick:
    """What a policy may know of the request it chooses for. The proxy's `Request` is a subclass of it.

    key: stable 64-bit hash of what the pool's `key` names; 0 when that is nothing (the pool fills it in).
    now: monotonic seconds. tried: the backends that this request must not get again, or None.
    whole: all of it is there; one that is not cannot be a trial, whose end would be in its client's hands.
    panic: most backends of the tier are down by their checks or ejected, so those count as up (the tier fills it in).
    trials: what it has to decide at half-open circuits, or None (the pool fills it in).
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
        self.panic = False
        self.trials: list[tuple[Backend | None, int, int]] | None = None
        self.whole = True

    def get(self, name: str) -> str | None:
        """A part of the request: `path`, `host`, `client_ip`, `header:NAME`...; None when it has none."""
        return None

    def one(self, name: str) -> str | None:
        """As `get`, for who must not be misled: None too where the request has several of that name."""
        return self.get(name)

    def has_tried(self, backend: Backend) -> bool:
        """Whether this request was at that backend before: it may have been made anew by a reload since."""
        if self.tried is None:
            return False
        for other in self.tried:
            if other.key == backend.key:
                return True
        return False

    def may_take(self, backend: Backend) -> bool:
        """Whether a policy may pick this backend for this request."""
        return backend.takes_requests(self.panic) and not backend.is_full() and not self.has_tried(backend)


class Policy:
    """How a pool chooses. Subclasses override `pick`, and of the others what they need.

    spec: its options. table, row: the tier's own row of shared cells, where a policy keeps what all workers must
    agree on. reads_body: whether `request.get("body:...")` must work for it: then the pool waits for the body.
    """

    reads_body = False

    def __init__(self, spec: PolicySpec, table: Table, row: int) -> None:
        self.spec = spec
        self.table = table
        self.row = row
        self.backends: list[Backend] = []

    def rebuild(self, backends: Sequence[Backend]) -> None:
        """Take note of who exists: called before the first pick, and when a backend or a share changes.

        What was learnt about a backend that stays is worth keeping. An override in a compiled module sets
        `self.backends` itself: `super()` finds no class there.
        """
        self.backends = list(backends)

    def candidates(self, request: Pick) -> list[Backend]:
        """All backends that may be picked for this request, in their order: a look at every one."""
        return [backend for backend in self.backends if request.may_take(backend)]

    def pick(self, request: Pick) -> Backend | None:
        """Choose for one request; None when no backend is available and untried."""
        raise NotImplementedError(f"{type(self).__name__} must say how to pick")

    def began(self, request: Pick, backend: Backend) -> None:
        """A request goes to this backend and is counted as in flight (not always by our pick).

        When a request is tried elsewhere it begins there before it ends here: one request, two backends.
        """

    def ended(self, request: Pick, backend: Backend, failed: bool, latency_s: float, now: float) -> None:
        """That request is over, and no longer counted.

        latency_s: from its start to the head of the answer; UNKNOWN_S where none came. failed: the backend did not
        answer, or answered that it cannot (a status of 500 or above). now: monotonic seconds.
        """


def end_to_end(backends: Sequence[Backend]) -> list[int]:
    """Where each backend's share ends when all are laid in a row, in the largest unit that measures them all."""
    shares = [backend.share() for backend in backends]
    unit = gcd(*shares) or 1
    return list(accumulate([share // unit for share in shares]))


class Registered(NamedTuple):
    """A policy by name. policy: makes one of (spec, table, row). summary: one line for people.

    options: the fields of PolicySpec it reads, but for `name`.
    ours: one of the built-in ones; a foreign one is watched (core/guard.py).
    """

    policy: Callable[[PolicySpec, Table, int], Policy]
    summary: str
    options: tuple[str, ...]
    ours: bool


_REGISTER: Final[dict[str, Registered]] = {}


def register(
    name: str,
    policy: Callable[[PolicySpec, Table, int], Policy],
    summary: str,
    options: tuple[str, ...] = (),
    ours: bool = False,
) -> None:
    """Make a policy known under the name that configurations use (a call: extension types take no decorators)."""
    if name in _REGISTER:
        raise ValueError(f"policy {name!r} is registered twice")
    _REGISTER[name] = Registered(policy, summary, options, ours)


def names() -> tuple[str, ...]:
    """All registered names, in the order of registration (import `steelyard.core.policies` for the built-in ones)."""
    return tuple(_REGISTER)


def registered(name: str) -> Registered:
    """What is known under that name. Raises KeyError for a name that nobody registered."""
    return _REGISTER[name]


def create(spec: PolicySpec, table: Table, row: int) -> Policy:
    """The policy that a specification names. Raises KeyError for a name that nobody registered."""
    return _REGISTER[spec.name].policy(spec, table, row)
