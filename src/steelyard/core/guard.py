"""Somebody else's policy, watched: its bugs cost quality, never traffic.

What a foreign policy answers is taken when it came in time and names a backend that may be picked. When it raises,
overruns its time limit, or names one that may not, the pool's fallback policy answers in its place; that is
counted, and said at most once a minute. One that overran OVERRUNS times in a row is not asked for a while, since
every overrun has held up the whole loop; it is still told what begins and ends. None is no fault: it means "no
opinion".

A time limit cannot interrupt a Python function; it can only stop asking. The clock comes in from outside.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from steelyard.core.backend import Backend
from steelyard.core.policy import Pick, Policy, create, registered
from steelyard.core.spec import PolicySpec
from steelyard.core.table import Table

REPORT_EVERY_S: Final = 60.0
OVERRUNS: Final = 3  # one may be the machine's fault, three in a row are the policy's
SWITCHED_OFF_S: Final = 30.0
LONGEST_REPORT: Final = 200  # characters of an exception's own text, which may be a client's

PickFunction = Callable[[Pick, list[Backend]], Backend | None]


class Outside(NamedTuple):
    """What the core has not: clock, in seconds, and report, which takes a sentence for the log."""

    clock: Callable[[], float]
    report: Callable[[str], None]


class Function(Policy):
    """A plain function `pick(request, backends)` as a policy; backends: those that may be picked, never none."""

    def __init__(self, spec: PolicySpec, table: Table, row: int, function: PickFunction) -> None:
        super().__init__(spec, table, row)
        self.function = function
        self.reads_body = bool(getattr(function, "reads_body", False))

    def pick(self, request: Pick) -> Backend | None:
        """What the function says."""
        candidates = self.candidates(request)
        return self.function(request, candidates) if candidates else None


class Guarded(Policy):
    """A foreign policy with the fallback that answers for it.

    faults: how often the fallback had to answer for its faults. off_until: when it is asked again.
    """

    def __init__(self, spec: PolicySpec, table: Table, row: int, outside: Outside) -> None:
        super().__init__(spec, table, row)
        self.outside = outside
        self.inner = create(spec, table, row)
        self.reads_body = self.inner.reads_body
        self.fallback = create(replace(spec, name=spec.fallback), table, row)
        self.limit_s = spec.time_limit_s
        self.faults = 0
        self.overruns_in_a_row = 0
        self.off_until = 0.0
        self.members: set[Backend] = set()
        self.now = 0.0  # as far as we were told: `rebuild` is not
        self.said_at = -REPORT_EVERY_S
        self.unsaid = 0

    def rebuild(self, backends: Sequence[Backend]) -> None:
        """Tell both who exists."""
        super().rebuild(backends)
        self.members = set(backends)
        self.fallback.rebuild(backends)
        self.tell("rebuild", self.now, lambda: self.inner.rebuild(backends))

    def pick(self, request: Pick) -> Backend | None:
        """The policy's choice, or else the fallback's."""
        self.now = max(self.now, request.now)
        found = self.ask(request) if request.now >= self.off_until else None
        return self.fallback.pick(request) if found is None else found

    def ask(self, request: Pick) -> Backend | None:
        """The policy's choice; None when it has none, or none that can be taken."""
        began = self.outside.clock()
        found: object = None
        raised = ""
        try:
            found = self.inner.pick(request)
        except BaseException as exc:  # also exit(): a policy does not mean the balancer
            raised = f"raised {_described(exc)}"
        took_s = self.outside.clock() - began
        if took_s > self.limit_s:  # also one that raised in the end, as what waits for a server of its own does
            self.overrun(took_s, raised, request.now)
            return None
        self.overruns_in_a_row = 0
        if raised:
            self.fault(raised, request.now)
            return None
        if found is None:
            return None
        if type(found) is not Backend:
            self.fault(f"picked a {type(found).__name__}, which is no backend", request.now)
            return None
        if found not in self.members or not request.may_take(found):
            self.fault(f"picked {found!r}, which may not be picked now", request.now)
            return None
        return found

    def began(self, request: Pick, backend: Backend) -> None:
        """Tell both."""
        self.fallback.began(request, backend)
        self.tell("began", request.now, lambda: self.inner.began(request, backend))

    def ended(self, request: Pick, backend: Backend, failed: bool, latency_s: float, now: float) -> None:
        """Tell both."""
        self.fallback.ended(request, backend, failed, latency_s, now)
        self.tell("ended", now, lambda: self.inner.ended(request, backend, failed, latency_s, now))

    def tell(self, where: str, now: float, call: Callable[[], None]) -> None:
        """Tell it what happened, also while it is not asked, or it would believe what is over.

        where: for the report.
        """
        began = self.outside.clock()
        try:
            call()
        except BaseException as exc:  # also exit(): a policy does not mean the balancer
            self.fault(f"raised {_described(exc)} in {where}", now)
        took_s = self.outside.clock() - began
        if took_s > self.limit_s:
            self.fault(f"{self.took(took_s)} in {where}", now)

    def overrun(self, took_s: float, raised: str, now: float) -> None:
        """It took too long, once more. raised: what it did then, if that."""
        self.overruns_in_a_row += 1
        message = self.took(took_s)
        if raised:
            message += f" and {raised}"
        if self.overruns_in_a_row == OVERRUNS:
            self.overruns_in_a_row = 0
            self.off_until = now + SWITCHED_OFF_S
            message += f", {OVERRUNS} times in a row: not asked for {SWITCHED_OFF_S:g} s"
        self.fault(message, now)

    def took(self, took_s: float) -> str:
        """How long it took, in words."""
        return f"took {took_s * 1000:.1f} ms of {self.limit_s * 1000:g} ms"

    def fault(self, message: str, now: float) -> None:
        """Count it, and say it unless one was said within the minute."""
        self.faults += 1
        if now < self.said_at + REPORT_EVERY_S:
            self.unsaid += 1
            return
        more = f" ({self.unsaid} more since the last report)" if self.unsaid else ""
        self.outside.report(f"policy {self.spec.name} {message}; {self.spec.fallback} answers in its place{more}")
        self.said_at = now
        self.unsaid = 0


def make(spec: PolicySpec, table: Table, row: int, outside: Outside | None) -> Policy:
    """The policy that a specification names; a foreign one is watched, unless there is no outside to watch it with."""
    if outside is None or registered(spec.name).ours:
        return create(spec, table, row)
    return Guarded(spec, table, row, outside)


def parts(policy: Policy) -> tuple[Policy, ...]:
    """The policies that choose: the one itself, or the watched one and its fallback."""
    return (policy.inner, policy.fallback) if isinstance(policy, Guarded) else (policy,)


def _described(exc: BaseException) -> str:
    """In one line that nobody can forge: its text may have come from a client, and may itself be broken."""
    try:
        text = str(exc)
    except BaseException:
        text = "(and no text of it can be had)"
    line = "".join([mark if mark.isprintable() else "?" for mark in text[:LONGEST_REPORT]])
    return f"{type(exc).__name__}: {line}" if line else type(exc).__name__
