"""How long a backend keeps an idle connection open, learnt from when it closed ours; ours are kept for less.

The commonest complaint about proxies is a 502 because a kept connection was closed just as it was used again. To look
before each use makes that rare, to be done with the connection before the backend is makes it rarer still. Two ways to
know:

- it says so: `Keep-Alive: timeout=5` (RFC 2068 section 19.7.1; not in RFC 9112, but Node, Apache and others send it);
- it does so: it closed a connection after some time of idleness, and another one, at another moment, after the same
  time. Once is no sign: a server that restarts closes all it has, whatever their age.

What was learnt is forgotten after FORGET_S, since nothing would ever show that the backend has become more patient.
"""

from math import inf
from typing import Final

ALIKE: Final = 0.1  # how far two ages may differ, as a share
ALIKE_S: Final = 0.25  # or in seconds, whichever is more: servers look at their connections now and then
SHORTEST_S: Final = 0.5  # who closes sooner than this does not keep connections at all, and asks for none to be kept
MARGIN: Final = 0.1  # how much sooner than the backend we close, as a share
MARGIN_S: Final = 0.5  # and in seconds at least: a request that is on its way then arrives in time
FORGET_S: Final = 600.0


class IdleLimit:
    """One backend's. All times are seconds, `now` monotonic."""

    def __init__(self) -> None:
        self.learnt_s = inf
        self.learnt_at = 0.0
        self.seen_s = inf
        self.seen_at = -inf

    def closed(self, age_s: float, now: float) -> bool:
        """The backend closed a connection that had been idle for so long. True when that taught us something."""
        if age_s < SHORTEST_S:
            return False
        alike = abs(age_s - self.seen_s) <= max(ALIKE_S, ALIKE * age_s)
        # Closed at one moment they may all be of one age, and only have ended with the server.
        if alike and now - self.seen_at < age_s / 2:
            return False
        confirmed, self.seen_s, self.seen_at = (min(age_s, self.seen_s) if alike else inf), age_s, now
        return confirmed < self.limit_s(now) and self._learn(confirmed, now)

    def told(self, value: bytes, now: float) -> bool:
        """The backend sent this Keep-Alive field. True when it says something that we did not know."""
        for part in value.split(b","):
            name, _, seconds = part.strip().partition(b"=")
            if name.strip().lower() == b"timeout" and seconds.isdigit() and 0 < len(seconds) < 7:
                limit_s = max(float(int(seconds)), SHORTEST_S)
                news = limit_s != self.limit_s(now)
                self._learn(limit_s, now)
                return news
        return False

    def _learn(self, limit_s: float, now: float) -> bool:
        self.learnt_s = limit_s
        self.learnt_at = now
        return True

    def limit_s(self, now: float) -> float:
        """How long it keeps them, as far as we know; inf when we do not."""
        if now - self.learnt_at > FORGET_S:
            self.learnt_s = inf
        return self.learnt_s

    def keep_s(self, at_most_s: float, now: float) -> float:
        """How long to keep ours: at_most_s, or less."""
        limit_s = self.limit_s(now)
        if limit_s == inf:
            return at_most_s
        return min(at_most_s, max(limit_s / 2, limit_s - max(MARGIN_S, MARGIN * limit_s)))
