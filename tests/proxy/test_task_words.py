"""proxy/task_words.py: what a task's client is told when it gets no answer."""

import pytest

from steelyard import errors
from steelyard.errors import KINDS, Kind
from steelyard.proxy.task_words import told

# In which a task can end, with nothing of an answer passed on, and whose sentence is made here.
ENDS = (
    *(errors.REQUEST_TIMEOUT, errors.CROWDED, errors.NONE_UP, errors.FULL, errors.BREAKER_OPEN, errors.CONNECT_FAILED),
    *(errors.CONNECT_TIMEOUT, errors.NO_FILES, errors.CLOSED_EARLY, errors.RESPONSE_TIMEOUT, errors.STOPPING),
)


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.word)
def test_there_is_one_line_for_every_kind(kind: Kind) -> None:
    line = told(kind, "a:80", "refused\nby {worker}", 3, 2.5)
    assert line.startswith(b"ERROR: ")
    assert line.endswith(b"\n")
    assert 1 == line.count(b"\n")


@pytest.mark.parametrize("kind", ENDS, ids=lambda kind: kind.word)
def test_a_line_says_what_is_wrong_and_what_to_do(kind: Kind) -> None:
    said, _, mend = told(kind, "a:80").decode().partition("; ")
    assert kind.word not in said
    assert mend.strip()


def test_a_line_says_with_whom_why_and_for_how_long() -> None:
    assert b"ERROR: no worker could be reached, 2 tried, the last one a:80: connection refused; start one, " in told(
        errors.CONNECT_FAILED, "a:80", "connection refused", 2
    )
    assert b"ERROR: worker a:80 did not answer within 0.5 s; " in told(errors.RESPONSE_TIMEOUT, "a:80", s=0.5)
