"""What one writes first: the backend whose answers came fastest. It has both failures that such policies are known for.

Starvation: one slow answer, and a healthy backend is never asked again, so that nobody finds out that it is well.
Black hole: a backend that fails at once answers fastest of all, and gets everything.

`steelyard simulate` shows both, beside the built-in policies that have neither (docs/policies.md):

    steelyard simulate -p naive:Fastest -p least_response_time -p peak_ewma --backends 5 --slow 50x:2@0-5
"""

from collections.abc import Sequence

from steelyard.core.backend import Backend
from steelyard.core.policy import Pick, Policy

NEW = 0.2  # how much the newest answer counts


class Fastest(Policy):
    """The smallest average time of answers x (requests in flight + 1)."""

    def rebuild(self, backends: Sequence[Backend]) -> None:
        super().rebuild(backends)
        self.average_s = dict.fromkeys(backends, 0.0)

    def pick(self, request: Pick) -> Backend | None:
        return min(
            self.candidates(request),
            key=lambda backend: (self.average_s[backend] * (backend.in_flight + 1), backend.in_flight),
            default=None,
        )

    def ended(self, request: Pick, backend: Backend, failed: bool, latency_s: float, now: float) -> None:
        if latency_s >= 0:
            before = self.average_s[backend]
            self.average_s[backend] = latency_s if before == 0.0 else before + NEW * (latency_s - before)
