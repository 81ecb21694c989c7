"""What a worker's answer means: a value, or why there is none."""

import pickle
from typing import Any, Final, NamedTuple

from steelyard.backends import pool_wire as wire
from steelyard.backends.pool_worker import Raised
from steelyard.backends.results import NotPicklable, RemoteError, said

NOTE: Final = "In the worker:\n{}"


class Outcome(NamedTuple):
    """cause: why there is no value; None: there is one."""

    value: Any
    cause: BaseException | None


def read(kind: int, body: bytes) -> Outcome:
    """An answer's frame. Never raises: what cannot be unpickled here is a cause like others."""
    if kind == wire.VALUE:
        try:
            return Outcome(pickle.loads(body), None)
        except KeyboardInterrupt:
            raise
        except BaseException as exc:  # also one that would end the program: it is a value's, and not meant
            return Outcome(None, _caused(NotPicklable(f"its value cannot be unpickled here: {said(exc)}"), exc))
    raised: Raised = pickle.loads(body)
    if kind == wire.RAISED:
        return Outcome(None, _original(raised))
    if kind == wire.UNREADABLE:
        cause = NotPicklable(f"the worker cannot unpickle the task: {raised.kind}: {raised.text}")
    else:
        mend = "return what pickle can carry"
        cause = NotPicklable(f"its value, a {raised.kind}, cannot be pickled: {raised.text}; {mend}")
    cause.add_note(NOTE.format(raised.trace))
    return Outcome(None, cause)


def unsendable(task: object, exc: BaseException) -> NotPicklable:
    """A task that cannot be given to a worker."""
    mend = "submit what pickle can carry, such as a path in place of an open file"
    return _caused(NotPicklable(f"the task, a {type(task).__name__}, cannot be pickled: {said(exc)}; {mend}"), exc)


def _original(raised: Raised) -> BaseException:
    """The exception itself, or what stands for it; with the worker's traceback as a note."""
    note = NOTE.format(raised.trace)
    if raised.pickled is not None:
        try:
            exc = pickle.loads(raised.pickled)
            if isinstance(exc, BaseException):
                exc.add_note(note)
                return exc
        except KeyboardInterrupt:
            raise
        except BaseException:  # many take other arguments than they keep, and some take no note (a frozen dataclass)
            pass
    cause = RemoteError(f"{raised.kind}: {raised.text}")
    cause.add_note(note)
    return cause


def _caused(error: NotPicklable, exc: BaseException) -> NotPicklable:
    error.__cause__ = exc
    return error
