"""Hash: equal keys go to the same backend: key mod n over the n that may be taken, in the pool's order.

When one goes, nearly all keys move (a ring moves only the ones it had). Requests without a key (the header is
absent) are spread by chance: they share nothing that would be worth keeping together.
"""

from steelyard.core.backend import Backend
from steelyard.core.policy import Pick, Policy, register


class Hash(Policy):
    """`hash`: one look at every backend a pick."""

    def pick(self, request: Pick) -> Backend | None:
        """The key's backend."""
        candidates = self.candidates(request)
        count = len(candidates)
        if count == 0:
            return None
        if request.key == 0:
            return candidates[request.below(count)]
        return candidates[request.key % count]


register("hash", Hash, "equal keys to the same backend: key mod n over the available ones", ("key",), ours=True)
