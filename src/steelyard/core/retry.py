"""When a failed try may be repeated, and how many repeats a pool can bear.

Safe to repeat: a try of which nothing has left us; or one that has, of a method that does no more harm twice
than once (RFC 9110 section 9.2.2). Always: the body must still be held whole, and nothing of an answer may have
gone to the client. The row of the failure in errors.py says the rest (a backend that is too slow may still be
at work, so a timeout is not repeated).

The budget keeps a failing pool from being asked three times as often as a healthy one. It is a balance of
tokens: every request pays in a share, every retry takes one out. So in any span the tries stay at or below
(1 + share) x requests, plus a small floor that lets a quiet pool retry at all. Envoy and Linkerd cap the
retries that run at one time (20 % of the active requests); that refuses lawful ones in the very instant when
one backend of three dies with all it had in flight, while a balance has been earned by the traffic before and
bounds a storm just as exactly. It is capped at what the last window earned, so that a quiet night saves up
nothing for the morning. No tick: the window is computed from `now`.
Source: Finagle `RetryBudget` (tokens), Envoy (20 %, at least 3); docs/design/003-retry-budget.md.
"""

from typing import Final

from steelyard.errors import Kind, Retry

IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})  # RFC 9110 section 9.2.2

WINDOW_S: Final = 10.0
TOKEN: Final = 1_000_000  # a retry; whole numbers, for sums of 0.2 drift


def may_retry(kind: Kind, method_idempotent: bool, body_held: bool, answer_begun: bool) -> bool:
    """Whether a try that failed in this way may be repeated without doing harm (the budget is asked apart).

    body_held: the request's whole body can be sent again; true of one without a body.
    answer_begun: a byte of an answer has gone to the client.
    """
    if answer_begun or not body_held:
        return False
    if kind.retry is Retry.ALWAYS:
        return True
    return kind.retry is Retry.IF_SAFE and method_idempotent


class RetryBudget:
    """What a pool's requests have earned in retries.

    share: retries earned by one request, or None to allow every retry. floor: retries free in every window.
    """

    def __init__(self, share: float | None, floor: int) -> None:
        self.share = share
        self.floor = floor
        self.limited = share is not None
        self.per_request = round(share * TOKEN) if share is not None else 0
        self.balance = 0
        self.earned = 0  # in this window
        self.floor_left = floor
        self.window_start = 0.0

    def deposit(self, now: float) -> int:
        """Pay in for one request (its first try). Returns 0."""
        if self.limited:
            self.roll(now)
            self.balance += self.per_request
            self.earned += self.per_request
        return 0

    def withdraw(self, now: float) -> bool:
        """Take out one retry; False when the pool cannot bear it."""
        if not self.limited:
            return True
        self.roll(now)
        if self.balance >= TOKEN:
            self.balance -= TOKEN
            return True
        if self.floor_left > 0:
            self.floor_left -= 1
            return True
        return False

    def roll(self, now: float) -> int:
        """Bring the window up to now. Returns 0."""
        passed_s = now - self.window_start
        if passed_s < WINDOW_S:
            return 0
        if passed_s < 2 * WINDOW_S:
            self.balance = min(self.balance, self.earned)
            self.window_start += WINDOW_S
        else:  # the last window saw nobody
            self.balance = 0
            self.window_start = now
        self.earned = 0
        self.floor_left = self.floor
        return 0
