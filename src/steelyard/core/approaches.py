"""Approaches: the built-in policies by name, for requests that say themselves how they want to be balanced.

They are over the same backends and the same row of the table as the pool's own policy. So what is in flight is
counted once, whoever chose, in whichever worker; only who goes in turn has a cursor apart, which no other policy
moves: among the requests that name round_robin the turns are exact. The others that rotate where they are undecided
share the tier's.
A named policy has its defaults, and `client_ip` for a key. It is made when the first request names it; from then on it
is told of every request's begin and end, as policies are, and learns from all of them.
"""

from collections.abc import Sequence
from typing import Final

from steelyard.core.backend import Backend
from steelyard.core.guard import Outside, make
from steelyard.core.policies.prequal import UNKNOWN, Prequal
from steelyard.core.policies.rotation import RoundRobin
from steelyard.core.policy import UNKNOWN_S, Pick, Policy, names, registered
from steelyard.core.spec import PolicySpec
from steelyard.core.table import TURN, Table

# What a request is asked for: the name of a policy, or None for the pool's own. With a colon, which no field of HTTP
# has in its name: a client of HTTP, whose requests may come to the same pool, has no say in that.
APPROACH: Final = ":approach"
IN_TURN: Final = "round_robin"


class Approaches(Policy):
    """own: the pool's policy, for requests that name none, or that one. named: the others that were asked for.

    names: what a request may name: the built-in ones, and that of the pool.
    """

    def __init__(self, spec: PolicySpec, table: Table, row: int, outside: Outside | None) -> None:
        super().__init__(spec, table, row)
        in_turn = spec.name == IN_TURN
        self.own = RoundRobin(spec, table, row, TURN) if in_turn else make(spec, table, row, outside)
        self.reads_body = self.own.reads_body
        self.named: dict[str, Policy] = {}
        self.names = known(spec)

    def rebuild(self, backends: Sequence[Backend]) -> None:
        """Tell all of them who exists."""
        self.backends = list(backends)
        for policy in self.all():
            policy.rebuild(backends)

    def pick(self, request: Pick) -> Backend | None:
        """The choice of the policy that the request names. Raises KeyError where `known` does not know it."""
        return self.called(request.get(APPROACH)).pick(request)

    def began(self, request: Pick, backend: Backend) -> None:
        """Tell all of them, and answer from our own numbers who wants to hear of backends: nobody else asks them."""
        for policy in self.all():
            policy.began(request, backend)
        for policy in self.named.values():
            if isinstance(policy, Prequal) and policy.wanted:
                for wanted in policy.targets():
                    policy.heard(wanted, UNKNOWN, UNKNOWN_S, request.now)

    def ended(self, request: Pick, backend: Backend, failed: bool, latency_s: float, now: float) -> None:
        """Tell all of them."""
        for policy in self.all():
            policy.ended(request, backend, failed, latency_s, now)

    def all(self) -> list[Policy]:
        """Those that there are so far."""
        return [self.own, *self.named.values()]

    def called(self, name: str | None) -> Policy:
        """The policy of this name."""
        if name is None or name == self.spec.name:
            return self.own
        policy = self.named.get(name)
        if policy is None:
            self.named[name] = policy = self.make(name)
            policy.rebuild(self.backends)
        return policy

    def make(self, name: str) -> Policy:
        """One that was not asked for before."""
        if name == IN_TURN:
            return RoundRobin(PolicySpec(name), self.table, self.row, TURN)
        spec = PolicySpec(name, key="client_ip", clients=self.spec.clients)
        return registered(name).policy(spec, self.table, self.row)


def known(spec: PolicySpec) -> frozenset[str]:
    """What a request may name where this is the pool's own policy: the built-in ones, and that one."""
    return frozenset({*(name for name in names() if registered(name).ours), spec.name})


def names_of(policy: Policy) -> frozenset[str]:
    """What a request may name where this is its pool's policy: nothing, where that is the only one."""
    return policy.names if isinstance(policy, Approaches) else frozenset()


def own(policy: Policy) -> Policy:
    """The pool's own policy, be there others beside it or not."""
    return policy.own if isinstance(policy, Approaches) else policy
