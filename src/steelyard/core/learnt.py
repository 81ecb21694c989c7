"""What the answers of one backend have taught: how long it takes, and how often it fails.

Decaying sums, not a running value: an answer counts 1 when it comes and 1/e after `decay_s`, however many others come.
Nothing ticks: what is left is computed from `now` when it is asked for. To the sums comes one answer that nobody gave,
as quick as the mean of all backends and a good one. So a backend of which nothing is known is like the others, and one
that has not answered for long becomes like them again: no answer is held against it for ever.
Failures are counted but not timed: a server that fails at once is not a fast one.
`Peak` beside it is Finagle's cost: it rises to a slow answer at once, and comes down with decay_s.
Source: Finagle `PeakEwma` (weights from time); the answer that nobody gave is additive smoothing (Laplace).
"""

from math import exp, inf
from typing import Final

from steelyard.core.backend import Backend

COMPILED: Final = not __file__.endswith(".py")

LEAST_S: Final = 1e-6  # what a clock calls 0 s; with a time of 0 the requests in flight would not count
GUESS_S: Final = 1.0  # the mean before the first answer: any time does, since all are alike


def fade(age_s: float, decay_s: float) -> float:
    """What is left of something after so long: 1 at once, 1/e after decay_s."""
    if age_s <= 0.0:
        return 1.0
    if COMPILED:  # pragma: no cover (coverage sees only the interpreted run)
        return c_exp(-age_s / decay_s)  # type: ignore[name-defined,no-any-return] # noqa: F821 (learnt.pxd)
    return exp(-age_s / decay_s)


class Learnt:
    """Of one backend, or (backend None) of all together. decay_s: above 0; see `fade`.

    answers, good, total_s: how many there were, how many of them were good, and how long those took: as of `at`.
    """

    def __init__(self, backend: Backend | None, decay_s: float) -> None:
        self.blank(backend, decay_s)

    def blank(self, backend: Backend | None, decay_s: float) -> int:
        """Know nothing. Subclasses call it in place of super().__init__(). Returns 0."""
        self.backend = backend
        self.decay_s = decay_s
        self.answers = 0.0
        self.good = 0.0
        self.total_s = 0.0
        self.at = -inf
        return 0

    def add(self, failed: bool, latency_s: float, mean_s: float, now: float) -> int:
        """An answer came, or failed to. latency_s: of a good one. mean_s: of all backends. Returns 0."""
        left = fade(now - self.at, self.decay_s)
        self.answers = self.answers * left + 1.0
        self.good *= left
        self.total_s *= left
        if not failed:
            self.good += 1.0
            self.total_s += max(latency_s, LEAST_S)
        self.at = max(now, self.at)
        return 0

    def mean_s(self) -> float:
        """The mean time of the good answers; where there were none, a guess."""
        return self.total_s / self.good if self.good > 0.0 else GUESS_S

    def response_s(self, mean_s: float, now: float) -> float:
        """How long an answer may be expected to take. mean_s: of all backends."""
        left = fade(now - self.at, self.decay_s)
        return (self.total_s * left + mean_s) / (self.good * left + 1.0)

    def success(self, now: float) -> float:
        """The share of good answers, above 0 and at most 1."""
        left = fade(now - self.at, self.decay_s)
        return (self.good * left + 1.0) / (self.answers * left + 1.0)

    def cost_s(self, mean_s: float, now: float) -> float:
        """The expected time until there is a good answer: response_s / success. mean_s: of all backends."""
        left = fade(now - self.at, self.decay_s)
        good = self.good * left + 1.0
        return (self.total_s * left + mean_s) * (self.answers * left + 1.0) / (good * good)


class Peak(Learnt):
    """The same for one backend, with a cost that a slow answer raises at once. peak_s: that cost, as of `at`.

    Unlike Finagle's it fades to the mean of all and not to nothing, and begins there: what looks free of cost would be
    given all there is until it answers.
    """

    def __init__(self, backend: Backend | None, decay_s: float) -> None:
        self.blank(backend, decay_s)
        self.peak_s = 0.0

    def add(self, failed: bool, latency_s: float, mean_s: float, now: float) -> int:
        """Take an answer in. A failure costs no less than the mean, however quick it was."""
        taken_s = max(latency_s, mean_s if failed else LEAST_S)
        left = fade(now - self.at, self.decay_s)
        self.peak_s = taken_s if taken_s > self.peak_s else self.peak_s * left + taken_s * (1.0 - left)
        self.answers = self.answers * left + 1.0
        self.good = self.good * left + (0.0 if failed else 1.0)
        self.at = max(now, self.at)
        return 0

    def cost_s(self, mean_s: float, now: float) -> float:
        """The cost now, over the share of good answers."""
        left = fade(now - self.at, self.decay_s)
        peak_s = self.peak_s * left + mean_s * (1.0 - left)
        return peak_s * (self.answers * left + 1.0) / (self.good * left + 1.0)
