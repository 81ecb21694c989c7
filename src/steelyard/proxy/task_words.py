"""What a task's client is told in place of an answer: one sentence for each way in which a task can fail.

Each says what went wrong, with which worker, and what can be done about it; above all whether the task may have been
done all the same.
"""

from typing import Final

from steelyard import errors
from steelyard.errors import Kind
from steelyard.wire.task import MEND, error_line

_LATER: Final = "try again later"
_UNSURE: Final = "the task may have been done, so no other worker was asked"

# worker: who was asked last. why: the reason in the system's words. tried: how many were. s: a time that is over.
_SENTENCES: Final[dict[Kind, str]] = {
    errors.REQUEST_TIMEOUT: "no whole request came within {s:g} s; " + MEND,
    errors.CROWDED: "this address has too many connections open already; close one first",
    errors.NONE_UP: "no worker is up; start one, or " + _LATER,
    errors.FULL: "every worker is at its limit; " + _LATER,
    errors.BREAKER_OPEN: "the workers failed too often and are left alone for a while; " + _LATER,
    errors.CONNECT_FAILED: "no worker could be reached, {tried} tried, the last one {worker}: {why}; start one, or "
    + _LATER,
    errors.CONNECT_TIMEOUT: "no worker could be reached, {tried} tried, the last one {worker}: did not accept in time; "
    + _LATER,
    errors.NO_FILES: "the broker is out of file descriptors; " + _LATER,
    errors.CLOSED_EARLY: "worker {worker} closed without an answer; " + _UNSURE,
    errors.RESPONSE_TIMEOUT: "worker {worker} did not answer within {s:g} s; " + _UNSURE,
    errors.STOPPING: "the broker stopped before worker {worker} had answered; the task may have been done",
}


def told(kind: Kind, worker: str = "-", why: str = "", tried: int = 0, s: float = 0.0) -> bytes:
    """The line for a task that failed in this way."""
    sentence = _SENTENCES.get(kind)
    if sentence is None:
        return error_line(f"{kind.word}: {kind.text}")
    return error_line(sentence.format(worker=worker, why=why, tried=tried, s=s))
