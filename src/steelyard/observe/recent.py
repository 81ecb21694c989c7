"""The latest requests and where each went, for who asks where they would go now (`steelyard diff`).

To remember one costs three stores into lists of a fixed length; what there is to say about it is asked of the request
itself, and only when somebody wants to know. Of a request its head is kept, and nothing of its body.
"""

from steelyard.core.policy import Pick


class Recent:
    """So many requests, the oldest overwritten first."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.requests: list[Pick | None] = [None] * size
        self.pools: list[str] = [""] * size
        self.backends: list[str] = [""] * size
        self.listeners: list[str] = [""] * size
        self.at = 0

    def add(self, request: Pick, listener: str, pool: str, backend: str) -> int:
        """Remember one that has ended. pool, backend: `-` for none. Returns 0."""
        at = self.at
        request.tried = None  # or it would keep backends alive that are gone
        self.requests[at] = request
        self.listeners[at] = listener
        self.pools[at] = pool
        self.backends[at] = backend
        at += 1
        self.at = 0 if at == self.size else at
        return 0

    def latest(self) -> list[tuple[Pick, str, str, str]]:
        """(request, listener, pool, backend), the oldest first."""
        found = []
        for at in [*range(self.at, self.size), *range(self.at)]:
            request = self.requests[at]
            if request is not None:
                found.append((request, self.listeners[at], self.pools[at], self.backends[at]))
        return found
