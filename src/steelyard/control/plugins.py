"""Policies that are not built in: `module:name` of one's own, and those that installed packages offer.

A configuration names them; here they are imported, looked at, and put into the register under the name that was
written, once a process. The directory of the configuration file and the working directory are searched for the
module, after everything that is installed: a file that happens to lie there cannot stand in for a module of the
balancer's own. Importing a module runs it, also where a configuration is only checked.
Packages offer policies by entry points of the group `steelyard.policies`; those are looked at only when a
configuration names a policy that is not built in. Every error is a `Fault` that says what to write instead.
"""

import importlib
import pkgutil
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import steelyard.core.policies  # noqa: F401 - registers the built-in ones
from steelyard.control.eligible import a_type, summary_of, why_not
from steelyard.control.fault import Fault
from steelyard.control.foreign import described, watched
from steelyard.control.nearest import did_you_mean
from steelyard.core.guard import Function
from steelyard.core.policy import Policy, create, names, register, registered
from steelyard.core.spec import PolicySpec
from steelyard.core.table import Table

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

GROUP: Final = "steelyard.policies"
# The fields of PolicySpec that are for every policy of one's own.
FOREIGN_OPTIONS: Final = ("key", "fallback", "time_limit_s", "options")

_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
# Shorter ones stand in any sentence by chance.
_SECRET_LENGTH: Final = 4
_NOTHING: Final = object()
_MEND_MODULE: Final = "mend the module"
_MEND_IT: Final = "mend it, or the options that it is given"

_origins: Final[dict[str, str]] = {}
# Names that modules have put into the register themselves, past all that is looked at here.
_posing: Final[set[str]] = set()


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
    if name in names() and name not in _posing:
        return
    try:
        if ":" in name:
            module = _imported(name, beside)
            made, origin = _attribute(module, name), _file(module) or "built in"
        else:
            point = _entry_point(name)
            made, origin = _loaded(point), _package(point)
    finally:  # also of a module that failed afterwards
        if name in names():
            _posing.add(name)
    if name in _posing:
        raise Fault("its module has registered it, past the checks", "take register() out: naming it is enough")
    adopt(name, made, origin)


def adopt(name: str, made: Any, origin: str) -> None:
    """Register a function `pick(request, backends)` or a Policy subclass; Fault where it is neither.

    origin: where it comes from, for people.
    """
    with watched("cannot be looked at", "name a function pick(request, backends), or a subclass of Policy"):
        fault = why_not(made)
        summary = "" if fault is not None else summary_of(made)
    if fault is not None:
        raise fault
    if isinstance(made, type):
        register(name, made, summary, FOREIGN_OPTIONS)
    else:
        register(name, lambda spec, table, row: Function(spec, table, row, made), summary, FOREIGN_OPTIONS)
    _origins[name] = origin


def try_out(spec: PolicySpec) -> None:
    """Make a foreign policy once, as every worker will, so that what it says of its options is a Fault here."""
    if registered(spec.name).ours:
        return
    try:
        with watched("cannot be made", _MEND_IT):
            made: object = create(spec, Table(bytearray(Table.size_bytes(1, 1)), 1), 0)
            wrong = None if isinstance(made, Policy) else f"becomes {a_type(made)}, and no Policy"
    except Fault as fault:
        raise Fault(_unresolved(fault.message, spec), fault.mend) from fault.__cause__
    if wrong is not None:
        raise Fault(wrong, "let its __new__ return one of its own")
    with watched("cannot say whether it reads bodies", "set reads_body to True or False"):
        bool(cast("Policy", made).reads_body)


def _unresolved(text: str, spec: PolicySpec) -> str:
    """What a policy says of itself, with the names of variables in place of what they hold: that may be a secret."""
    raw: dict[str, str] = getattr(spec.options, "raw", {})
    for name, value in spec.options:
        if name in raw and len(value) >= _SECRET_LENGTH:
            text = text.replace(value, raw[name])
    return text


def offers() -> list[Offer]:
    """All policies that can be named here: our own, then what installed packages offer, broken ones too."""
    ours = [Offer(name, registered(name).summary, registered(name).options) for name in built_in()]
    points, broken = _points()
    return ours + [_offer(point) for point in points] + broken


def _offer(point: "EntryPoint") -> Offer:
    error = f"{point.name!r} is the name of a built-in policy" if point.name in built_in() else None
    if error is None:
        try:
            find(point.name)
        except Fault as fault:
            error = fault.message
    if error is not None:
        return Offer(point.name, "", (), _package(point), error)
    found = registered(point.name)
    return Offer(point.name, found.summary, found.options, _origins.get(point.name, _package(point)))


def entry_points(group: str) -> "Iterable[EntryPoint]":
    """What all installed packages offer of this group; to load the reader of that takes a while."""
    from importlib.metadata import entry_points

    return entry_points(group=group)


def distributions() -> "Iterable[Distribution]":
    """All installed packages."""
    from importlib.metadata import distributions

    return distributions()


def _points() -> "tuple[list[EntryPoint], list[Offer]]":
    """What installed packages offer, and an Offer with its error for each package of which that cannot be read."""
    points: list[EntryPoint] = []
    broken: list[Offer] = []
    try:
        points += entry_points(group=GROUP)
    except Exception:  # one package's file is broken, and all are read at once: look for it
        for package in distributions():
            try:
                points += package.entry_points.select(group=GROUP)
            except Exception as exc:
                named = _named(package)
                error = f"entry_points.txt of {named} cannot be read ({described(exc)}); install it anew"
                broken.append(Offer("?", "", (), named, error))
    return sorted(points, key=lambda point: (point.name, _package(point))), broken


def _entry_point(name: str) -> "EntryPoint":
    points, broken = _points()
    found = [point for point in points if point.name == name]
    if not found:
        if broken:
            raise Fault(f"unknown policy, and {broken[0].error}")
        raise Fault("unknown policy", did_you_mean(name, [*built_in(), *(point.name for point in points)]))
    if len(found) > 1:
        packages = " and ".join(_package(point) for point in found)
        raise Fault(f"is offered by {packages}", "uninstall one of them, or name it as module:name")
    return found[0]


def _loaded(point: "EntryPoint") -> Any:
    with watched(f"cannot be loaded from {_package(point)}", f"mend {point.value}, or take the policy out"):
        return point.load()


def _package(point: "EntryPoint") -> str:
    return point.value if point.dist is None else _named(point.dist)


def _named(package: "Distribution") -> str:
    """Name and version; where its METADATA is broken or gone, the place it is installed in."""
    try:
        if package.name and package.version:
            return f"{package.name} {package.version}"
    except Exception:  # each Python has its own way to fail here
        pass
    return f"a package in {package.locate_file('')}"


def _imported(name: str, beside: Path | None) -> Any:
    """The module of `module:name`, or whatever it has put in its place."""
    module, _, attribute = name.partition(":")
    if not _MODULE.fullmatch(module) or not attribute.isidentifier():
        raise Fault("is no policy of one's own", "write module:name, such as mymodule:pick")
    places = [str(place.resolve()) for place in (beside, Path()) if place is not None]
    # At the end, and for good: a module may import its neighbours when it is asked for the first time.
    sys.path += [place for place in dict.fromkeys(places) if place not in sys.path]
    importlib.invalidate_caches()
    missing = None
    with watched(f"module {module} cannot be imported", _MEND_MODULE):
        try:
            return importlib.import_module(module)
        except ModuleNotFoundError as exc:
            missing = exc.name
            if missing is None or not f"{module}.".startswith(f"{missing}.") or missing in sys.modules:
                raise
    raise Fault(f"there is no module {missing}", _nearest_module(missing, places))


def _nearest_module(name: str, places: list[str]) -> str:
    """The nearest name among the modules where it was looked for, besides what is installed."""
    package, _, last = name.rpartition(".")
    searched = list(getattr(sys.modules.get(package), "__path__", ())) if package else places
    found = did_you_mean(last, sorted(module.name for module in pkgutil.iter_modules(searched)))
    looked = f"looked in {' and '.join(dict.fromkeys(searched))}" if searched else f"{package} is no package"
    return looked if found is None else f"{found} {looked}" if found.endswith("?") else f"{looked} ({found})"


def _attribute(module: Any, name: str) -> Any:
    """What `module:name` names in the module."""
    path, _, attribute = name.partition(":")
    with watched(f"module {path} does not hand out {attribute}", _MEND_MODULE):
        found = getattr(module, attribute, _NOTHING)
    if found is not _NOTHING:
        return found
    if not isinstance(module, ModuleType):
        raise Fault(f"module {path} has put {a_type(module)} in its place, without {attribute}", _MEND_MODULE)
    own = sorted(word for word, value in vars(module).items() if callable(value) and not word.startswith("_"))
    if _file(module) is None and "__path__" in vars(module):
        directories = [str(place) for place in vars(module)["__path__"]]
        inside = [found.name for found in pkgutil.iter_modules(directories)]
        message = f"{path} is a directory without __init__.py ({' and '.join(directories)})"
        mend = f"name a module in it, {path}.{inside[0] if inside else 'module'}:{attribute}"
        raise Fault(message, mend)
    raise Fault(f"module {path} ({_file(module) or 'built in'}) has no {attribute}", did_you_mean(attribute, own))


def _file(module: Any) -> str | None:
    """Where a module was read from; a module's own `__getattr__` is not asked."""
    file = vars(module).get("__file__") if isinstance(module, ModuleType) else None
    return file if isinstance(file, str) else None
