"""Whether something of somebody's own can be a policy: a function `pick(request, backends)`, or a class of Policy.

What would fail with every request is refused before the first: what cannot be called with what it will be given, and
what answers with a coroutine or a generator in place of a backend. The caller watches (foreign.py): looking at an
object runs its code too.
"""

import inspect
from typing import Any

from steelyard.control.fault import Fault
from steelyard.core.policy import Policy


def why_not(made: Any) -> Fault | None:
    """What is wrong with it as a policy. It is somebody's own, and may do anything when it is looked at."""
    if isinstance(made, Policy):
        return Fault("is an object, and every pool needs one of its own", f"name its class, {type(made).__name__}")
    if not callable(made):
        return Fault(f"is {a_type(made)}", "name a function pick(request, backends), or a subclass of Policy")
    if not isinstance(made, type):
        return _why_not_asked(made, (None, []), "(request, backends)", "a request and its backends")
    if not issubclass(made, Policy):
        return Fault("is a class, but none of steelyard.core.policy.Policy", f"write class {made.__name__}(Policy)")
    if made.pick is Policy.pick:
        return Fault("is a Policy that does not say how to pick", "give it a method pick(self, request)")
    if not callable(made.pick):
        return Fault(f"is a Policy whose pick is {a_type(made.pick)}", "give it a method pick(self, request)")
    bound = not inspect.isroutine(inspect.getattr_static(made, "pick")) or inspect.ismethod(made.pick)
    static = isinstance(inspect.getattr_static(made, "pick"), staticmethod)
    given = (None,) if bound or static else (None, None)
    return _why_not_asked(made.pick, given, "(self, request)", "a request")


def _why_not_asked(pick: Any, given: tuple[object, ...], takes: str, what: str) -> Fault | None:
    """Why it cannot be called with what is given, and answer at once. takes, what: the same in words."""
    forms = (pick, getattr(type(pick), "__call__", None))  # noqa: B004 - what it is, not whether it is
    if any(_is_late(form) for form in forms):
        return Fault("does not answer at once", f"write def pick{takes}, without async and yield")
    try:
        signature = inspect.signature(pick)
    except (TypeError, ValueError):  # some functions in C do not say what they take
        return None
    try:
        signature.bind(*given)
    except TypeError as exc:
        return Fault(f"cannot be called with {what}: {exc}", f"write {takes}")
    return None


def _is_late(form: Any) -> bool:
    """Whether a call of it gives what has to be waited for, or gone through."""
    kinds = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    return any(is_kind(form) for is_kind in kinds)


def summary_of(made: Any) -> str:
    """The first line of its docstring."""
    doc = getattr(made, "__doc__", None)
    return next(iter(doc.strip().splitlines()), "") if isinstance(doc, str) else ""


def a_type(made: object) -> str:
    """Its type, with its article."""
    name = type(made).__name__
    return f"{'an' if name[:1].lower() in tuple('aeiou') else 'a'} {name}"
