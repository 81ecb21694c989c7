"""answers.py: from frames to values and causes."""

import pickle
from typing import Any

from steelyard.backends import pool_wire as wire
from steelyard.backends.answers import Outcome, read, unsendable
from steelyard.backends.pool_worker import work as do_work
from steelyard.backends.results import CANNOT_SAY, NotPicklable, RemoteError
from tests.backends import work


def told(task: Any) -> Outcome:
    return read(*do_work(work.do, pickle.dumps(task)))


def test_a_value_is_a_value_also_when_it_is_none_or_an_exception() -> None:
    assert Outcome(None, None) == told(("echo", None))
    value, cause = told(("echo", ValueError("a value")))
    assert (ValueError, None) == (type(value), cause)


def test_what_was_raised_is_the_cause_and_has_the_workers_traceback_as_a_note() -> None:
    _, cause = told(("raise", "a reason"))
    assert (ValueError, "a reason") == (type(cause), str(cause))
    assert cause is not None
    (note,) = cause.__notes__
    assert note.startswith("In the worker:\nTraceback")


def test_what_cannot_be_carried_is_told_of() -> None:
    for task, text in (
        (("raise_odd",), "Odd: one and two"),
        (("raise_unspeakable",), "Unspeakable: (and no text"),
        (("raise_noteless",), "Noteless: "),
        (("raise_ending",), "Ending: "),
        (("raise_own_words",), "Own: own words"),
    ):
        _, cause = told(task)
        assert isinstance(cause, RemoteError)
        assert str(cause).startswith(text)
        assert "In the worker" in cause.__notes__[0]


def test_a_value_that_cannot_be_pickled_has_a_mend() -> None:
    _, cause = told(("socket",))
    assert isinstance(cause, NotPicklable)
    assert str(cause).startswith("its value, a lock, cannot be pickled: ")
    assert str(cause).endswith("; return what pickle can carry")


def test_a_value_that_cannot_be_unpickled_is_a_failure_like_others() -> None:
    kind, body = do_work(work.do, pickle.dumps(("unloadable",)))
    _, cause = read(kind, body)
    assert isinstance(cause, NotPicklable)
    assert "its value cannot be unpickled here: RuntimeError: not here" == str(cause)


def test_a_value_whose_unpickling_would_end_the_program_does_not() -> None:
    _, cause = told(("ending",))
    assert isinstance(cause, NotPicklable)
    assert "its value cannot be unpickled here: SystemExit: 3" == str(cause)


def test_what_cannot_be_carried_for_a_reason_without_words_is_said_all_the_same() -> None:
    _, cause = told(("unloadable_unspeakably",))
    assert f"its value cannot be unpickled here: Unspeakable: {CANNOT_SAY}" == str(cause)
    error = unsendable(work.Unpicklable(), work.Unspeakable())
    assert f"cannot be pickled: Unspeakable: {CANNOT_SAY}; submit what" in str(error)


def test_a_task_that_the_worker_cannot_read_is_said() -> None:
    _, cause = read(*do_work(work.plus_one, b"no pickle"))
    assert isinstance(cause, NotPicklable)
    assert str(cause).startswith("the worker cannot unpickle the task: UnpicklingError: ")
    assert wire.UNREADABLE == do_work(work.plus_one, b"no pickle")[0]


def test_a_task_that_cannot_be_sent_has_a_mend() -> None:
    error = unsendable(work.Unpicklable(), TypeError("no pickle of it"))
    assert str(error).startswith("the task, a Unpicklable, cannot be pickled: TypeError: no pickle of it; submit what")
