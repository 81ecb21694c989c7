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

from collections.abc import Callable
from typing import Final

from steelyard.core import table as cells
from steelyard.core.table import Table
from steelyard.errors import Kind, Retry

SAFE: Final = frozenset(
    {"GET", "HEAD", "OPTIONS", "TRACE"}
)  # RFC 9110 section 9.2.1: they ask for nothing but an answer
IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})  # RFC 9110 section 9.2.2

WINDOW_S: Final = 10.0
WINDOW_MS: Final = 10_000
TOKEN: Final = 1_000_000  # a retry; whole numbers, for sums of 0.2 drift
JITTER_STEPS: Final = 1000
FLOOR: Final = cells.FLOOR
FLOOR_SHIFT: Final = 20  # below it how many were used, above it since when, in monotonic milliseconds
FLOOR_BITS: Final = (1 << FLOOR_SHIFT) - 1
EARNED: Final = -1


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


def backoff_s(delay_s: float, max_delay_s: float, number: int, below: Callable[[int], int]) -> float:
    """How long to wait before a retry: doubles from delay_s on, and up to half as long again by chance, so that those
    who failed at one moment do not come again at one moment.

    number: of waits before this one. below: n -> a random whole number in [0, n).
    Source: Brooker, Exponential Backoff And Jitter (AWS, 2015): "equal jitter", which never comes back at once.
    """
    least = min(max_delay_s, delay_s * 2.0 ** min(number, 60))
    return least + least / 2 * below(JITTER_STEPS) / JITTER_STEPS


class RetryBudget:
    """What a pool's requests have earned in retries.

    share: retries earned by one request, or None to allow every retry. floor: retries free in every window.
    table, row: where those that were used are counted, for all workers; what was earned is each worker's own.
    latest_of: the window whose free ones the latest retry was of, as its beginning in milliseconds; EARNED for none.
    """

    def __init__(self, share: float | None, floor: int, table: Table, row: int) -> None:
        self.table = table
        self.row = row
        self.share = share
        self.floor = floor
        self.limited = share is not None
        self.per_request = round(share * TOKEN) if share is not None else 0
        self.balance = 0
        self.earned = 0  # in this window
        self.window_start = 0.0
        self.latest_of = EARNED

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
            self.latest_of = EARNED
            return True
        return self.use_floor(now)

    def put_back(self) -> int:
        """The retry that was taken out just now is not made after all. Returns 0."""
        if not self.limited:
            return 0
        if self.latest_of == EARNED:
            self.balance += TOKEN
            return 0
        while True:
            cell = self.table.get(self.row, FLOOR)
            # In a window that another worker has begun since, it was not taken.
            if cell >> FLOOR_SHIFT != self.latest_of or self.table.swap(self.row, FLOOR, cell, cell - 1):
                return 0

    def use_floor(self, now: float) -> bool:
        """Take one of the free ones; False when they are used up, by whomever. The window begins with the first one."""
        now_ms = int(now * 1000)
        while True:
            cell = self.table.get(self.row, FLOOR)
            began_ms = cell >> FLOOR_SHIFT
            used = cell & FLOOR_BITS
            if cell == 0 or now_ms - began_ms >= WINDOW_MS:
                began_ms = now_ms
                used = 0
            if used >= self.floor:
                return False
            if self.table.swap(self.row, FLOOR, cell, began_ms << FLOOR_SHIFT | used + 1):
                self.latest_of = began_ms
                return True

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
        return 0
