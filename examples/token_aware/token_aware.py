"""A policy for model servers: the next request goes where the fewest tokens are still being worked on.

Two requests may differ by a factor of a thousand in what they cost, so that counting them says little.
"""

from collections import Counter

from steelyard.core.policy import Policy


def tokens_of(request):
    """What a request may cost: its prompt (four characters a token, near enough) and the answer that it asks for.

    Whatever a client may have written there.
    """
    prompt = request.get("body:messages.0.content") or ""
    answer = request.get("body:max_tokens") or ""
    return len(prompt) // 4 + (int(answer) if answer.isdecimal() and len(answer) < 7 else 256)


class FewestTokens(Policy):
    """The server with the fewest tokens outstanding, for its weight."""

    reads_body = True  # without it no body is waited for

    def __init__(self, spec, table, row):
        super().__init__(spec, table, row)
        self.tokens, self.costs = Counter(), {}

    def pick(self, request):
        # Ties, as when all are idle, go to the server that has had fewer requests.
        return min(
            self.candidates(request), key=lambda s: (self.tokens[s] / s.weight, s.requests / s.weight), default=None
        )

    def began(self, request, server):
        self.costs[request, server] = tokens_of(request)
        self.tokens[server] += self.costs[request, server]

    def ended(self, request, server, failed, latency_s, now):
        self.tokens[server] -= self.costs.pop((request, server))
