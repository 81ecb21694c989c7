"""Hash: equal keys go to the same backend: key mod n over the n that are available, in the pool's order.

Weights: key mod the sum of the weights, all laid end to end; so with equal ones that is key mod n. A backend that is
down, draining or of weight 0 is not among the n: when one goes or comes, or a weight changes (during a slow start it
does so in steps), nearly all keys move; the other hashing policies move only the ones they must. A backend that is only
full, or was tried, or has no room under the bound, hands on its own keys alone: key mod n over those that can take the
request, or in a pool of more than SMALL the next backend of the key's sequence, since that costs no look at everyone.
Source: nginx's `hash` (weights).
"""

from steelyard.core.backend import Backend
from steelyard.core.keyed import Keyed
from steelyard.core.policy import Pick, register


class Hash(Keyed):
    """`hash`."""

    def find(self, request: Pick, key: int) -> Backend | None:
        """The key's backend among those that take requests."""
        self.look(request.panic)
        line = self.all_takers()
        length = line.length
        if length == 0:
            return None
        backend = line.owner(key % length)
        return backend if self.accepts(request, backend) else None

    def among(self, key: int, candidates: list[Backend]) -> Backend | None:
        """The key's backend as if only those existed."""
        length = unit = 0
        for backend in candidates:
            share = backend.share()
            length += share
            while share > 0:  # the largest unit that measures all of them (Euclid)
                unit, share = share, unit % share
        point = key % (length // unit) * unit if length > 0 else 0
        found: Backend | None = None
        for backend in candidates:
            found = backend
            point -= backend.share()
            if point < 0:
                break
        return found


register("hash", Hash, "equal keys to the same backend: key mod n over the available ones", ("key", "bound"), ours=True)
