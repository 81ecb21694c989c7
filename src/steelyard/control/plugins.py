"""Policies that are not built in: `module:name` of one's own, and those that installed packages offer.

A configuration names them; here they are imported, looked at, and put into the register under the name that was
written, once a process. The directory of the configuration file and the working directory are searched for the
module, after everything that is installed: a file that happens to lie there cannot stand in for a module of the
balancer's own. Importing a module runs it, also where a configuration is only checked.
Packages offer policies by entry points of the group `steelyard.policies`; those are looked at only when a
configuration names a policy that is not built in. Every error is a `Fault` that says what to write instead.
"""

import importlib
import inspect
import pkgutil
import re
import sys
import traceback
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple

import steelyard.core.policies  # noqa: F401 - registers the built-in ones
from steelyard.control.fault import Fault
from steelyard.control.nearest import did_you_mean
from steelyard.core.guard import Function
from steelyard.core.policy import Policy, create, names, register, registered
from steelyard.core.spec import PolicySpec
from steelyard.core.table import Table

GROUP: Final = "steelyard.policies"
# The fields of PolicySpec that are for every policy of one's own.
FOREIGN_OPTIONS: Final = ("key", "fallback", "time_limit_s", "options")

_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
# Whatever a module does while it is imported is its own; a person's Ctrl-C is not.
_FAILURES: Final = (Exception, SystemExit)

_origins: Final[dict[str, str]] = {}


class Offer(NamedTuple):
    """A policy that can be named. origin: where a foreign one comes from, else None. error: why it cannot be used."""

    name: str
    summary: str
    options: tuple[str, ...]
    origin: str | None = None
    error: str | None = None


def built_in() -> list[str]:
    """The names of our own policies, in the order of the alphabet."""
    return sorted(name for name in names() if registered(name).ours)


def find(name: str, beside: Path | None = None) -> None:
    """See to it that the register has a policy of this name; Fault where there is none, or none that can be used.

    beside: the directory of the configuration file that names it.
    """
    if name in names():
        return
    if ":" in name:
        module = _imported(name, beside)
        adopt(name, _attribute(module, name.partition(":")[2]), str(getattr(module, "__file__", None) or "built in"))
    else:
        point = _entry_point(name)
        adopt(name, _loaded(point), _package(point))


def adopt(name: str, made: Any, origin: str) -> None:
    """Register a function `pick(request, backends)` or a Policy subclass; Fault where it is neither.

    origin: where it comes from, for people.
    """
    if isinstance(made, Policy):
        raise Fault("is an object, and every pool needs one of its own", f"name its class, {type(made).__name__}")
    if not callable(made):
        raise Fault(f"is a {type(made).__name__}", "name a function pick(request, backends), or a subclass of Policy")
    summary = next(iter((getattr(made, "__doc__", None) or "").strip().splitlines()), "")
    if isinstance(made, type):
        if not issubclass(made, Policy):
            raise Fault("is a class, but none of steelyard.core.policy.Policy", f"write class {made.__name__}(Policy)")
        if made.pick is Policy.pick:
            raise Fault("is a Policy that does not say how to pick", "give it a method pick(self, request)")
        register(name, made, summary, FOREIGN_OPTIONS)
    else:
        _check_function(made)
        register(name, lambda spec, table, row: Function(spec, table, row, made), summary, FOREIGN_OPTIONS)
    _origins[name] = origin


def try_out(spec: PolicySpec) -> None:
    """Make a foreign policy once, as every worker will, so that what it says of its options is a Fault here."""
    if registered(spec.name).ours:
        return
    try:
        create(spec, Table(bytearray(Table.size_bytes(1, 1)), 1), 0)
    except Exception as exc:
        raise Fault(f"cannot be made: {_raised(exc)}", "mend it, or the options that it is given") from exc


def offers() -> list[Offer]:
    """All policies that can be named here: our own, then what installed packages offer, broken ones too."""
    ours = [Offer(name, registered(name).summary, registered(name).options) for name in built_in()]
    return ours + [_offer(point) for point in _points()]


def _offer(point: EntryPoint) -> Offer:
    error = f"{point.name!r} is the name of a built-in policy" if point.name in built_in() else None
    if error is None:
        try:
            find(point.name)
        except Fault as fault:
            error = fault.message
    if error is not None:
        return Offer(point.name, "", (), _package(point), error)
    found = registered(point.name)
    return Offer(point.name, found.summary, found.options, _origins[point.name])


def _points() -> list[EntryPoint]:
    return sorted(entry_points(group=GROUP), key=lambda point: (point.name, _package(point)))


def _entry_point(name: str) -> EntryPoint:
    points = _points()
    found = [point for point in points if point.name == name]
    if not found:
        raise Fault("unknown policy", did_you_mean(name, [*built_in(), *(point.name for point in points)]))
    if len(found) > 1:
        packages = " and ".join(_package(point) for point in found)
        raise Fault(f"is offered by {packages}", "uninstall one of them, or name it as module:name")
    return found[0]


def _loaded(point: EntryPoint) -> Any:
    try:
        return point.load()
    except _FAILURES as exc:
        message = f"cannot be loaded from {_package(point)}: {_raised(exc)}"
        raise Fault(message, f"mend {point.value}, or take the policy out") from exc


def _package(point: EntryPoint) -> str:
    return point.value if point.dist is None else f"{point.dist.name} {point.dist.version}"


def _imported(name: str, beside: Path | None) -> ModuleType:
    """The module of `module:name`."""
    module, _, attribute = name.partition(":")
    if not _MODULE.fullmatch(module) or not attribute.isidentifier():
        raise Fault("is no policy of one's own", "write module:name, such as mymodule:pick")
    places = [str(place.resolve()) for place in (beside, Path()) if place is not None]
    # At the end, and for good: a module may import its neighbours when it is asked for the first time.
    sys.path += [place for place in dict.fromkeys(places) if place not in sys.path]
    importlib.invalidate_caches()
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as exc:
        if exc.name is None or not f"{module}.".startswith(f"{exc.name}."):
            raise _not_imported(module, exc) from exc
        raise Fault(f"there is no module {exc.name}", _nearest_module(exc.name, places)) from exc
    except _FAILURES as exc:
        raise _not_imported(module, exc) from exc


def _not_imported(module: str, exc: BaseException) -> Fault:
    return Fault(f"module {module} cannot be imported: {_raised(exc)}", "mend the module")


def _nearest_module(name: str, places: list[str]) -> str:
    """The nearest name among the modules where it was looked for, besides what is installed."""
    package, _, last = name.rpartition(".")
    searched = list(getattr(sys.modules[package], "__path__", ())) if package else places
    found = did_you_mean(last, sorted(module.name for module in pkgutil.iter_modules(searched)))
    looked = f"looked in {' and '.join(dict.fromkeys(searched))}" if searched else f"{package} is no package"
    return looked if found is None else f"{found} {looked}" if found.endswith("?") else f"{looked} ({found})"


def _attribute(module: ModuleType, name: str) -> Any:
    try:
        return getattr(module, name)
    except AttributeError:
        own = [word for word, value in vars(module).items() if callable(value) and not word.startswith("_")]
        where = module.__name__ if module.__spec__ is None else module.__spec__.origin
        raise Fault(f"module {module.__name__} ({where}) has no {name}", did_you_mean(name, sorted(own))) from None


def _check_function(made: Any) -> None:
    if inspect.iscoroutinefunction(made) or inspect.isgeneratorfunction(made):
        raise Fault("does not answer at once", "write def pick(request, backends), without async and yield")
    try:
        signature = inspect.signature(made)
    except (TypeError, ValueError):  # some functions in C do not say what they take
        return
    try:
        signature.bind(None, [])
    except TypeError as exc:
        raise Fault(f"cannot be called with a request and its backends: {exc}", "write (request, backends)") from exc


def _raised(exc: BaseException) -> str:
    """An exception on one line, with the place in the user's file that it came from."""
    text = " ".join(f"{type(exc).__name__}: {exc}".removesuffix(": ").split())
    frame = traceback.extract_tb(exc.__traceback__)[-1]
    ours = frame.filename in (__file__, importlib.__file__) or frame.filename.startswith("<")
    return text if ours else f"{text} ({Path(frame.filename).name}, line {frame.lineno})"
