"""What pydantic found wrong -> problems with file and line, key, value and mend.

The first unknown-key or missing-key error that a reader sees must name the key as it is written in the file;
pydantic's own locations have parts that are not written there (the key of a shorthand, the index of a single
value), so a path is cut where the file ends.
"""

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from steelyard.control import unsaid, written
from steelyard.control.fault import Fault, Faults
from steelyard.control.foreign import described
from steelyard.control.lines import Page, Path
from steelyard.control.nearest import did_you_mean
from steelyard.control.readers import NO_VALUE
from steelyard.control.shapes import Shape, shape_at, shapes_below

_UNKNOWN = "unknown key"
# Of a key that stands in the wrong place: more of those in which it may stand are no help.
_MOST_PLACES = 2
_MAPPING = ("must be a mapping", "write its keys below it, indented")
_LIST = ("must be a list", "write [one, two], or one a line after '- '")
_WRONG_SHAPE = {"model_type": _MAPPING, "dict_type": _MAPPING, "tuple_type": _LIST}


def note(page: Page, error: ValidationError, shape: type[Shape]) -> None:
    """Add to the page what validating its data as `shape` found, except at places that are blamed already."""
    already = set(page.blamed)
    for found in error.errors(include_url=False):
        for loc, fault in _faults(found, shape):
            path = _written(page.data, loc)
            if path not in already:
                note_fault(page, fault, path, named=loc if found["type"] == "missing" else None)


def note_fault(page: Page, fault: Fault, path: Path, named: Path | None = None) -> None:
    """Add a fault of the value at path to the page; named: the key to name, when it is not there."""
    if named is None and fault.key is not None:
        named = (*path[:-1], fault.key)
    place = page.places.get(path)
    if unsaid.is_unsaid(path):
        shown = None
    elif (
        place is not None
        and place.raw is not None
        and (not written.UNSHOWN.isdisjoint(path) or fault.message == _UNKNOWN)
    ):
        shown = place.raw  # nothing of ours reads it, so it may be a secret
    else:
        shown = _value(page, path) if fault.value is None else fault.value
    page.add(path, fault.message, shown or None, fault.mend, named)


def _faults(found: Any, shape: type[Shape]) -> Iterator[tuple[Path, Fault]]:
    """(location, fault) pairs of one of pydantic's errors."""
    loc: Path = found["loc"]
    if found["type"] == "extra_forbidden":
        yield loc, Fault(_UNKNOWN, _where_it_belongs(str(loc[-1]), shape) or _meant(str(loc[-1]), shape, loc))
    elif found["type"] == "missing":
        yield loc, Fault("is missing", f"write {loc[-1]}: {shape_at(shape, loc[:-1]).example(str(loc[-1]))}", value="")
    elif found["type"] == "value_error":
        for fault in _own(found["ctx"]["error"]):
            yield loc + fault.at, fault
    elif found["input"] is None:
        yield loc, Fault(*NO_VALUE)
    elif found["type"] in _WRONG_SHAPE:
        yield loc, Fault(*_WRONG_SHAPE[found["type"]])
    else:
        yield loc, Fault("cannot be taken", found["msg"])


def _where_it_belongs(key: str, shape: type[Shape]) -> str | None:
    """Where a key may stand that stands where it may not; None where that is nowhere, or in many places."""
    known = [(place, below.keys()) for place, below in shapes_below(shape)]
    places = [place for place, keys in known if key in keys]
    return f"it belongs to {' and '.join(places)}" if 0 < len(places) <= _MOST_PLACES else None


def _meant(key: str, shape: type[Shape], loc: Path) -> str | None:
    return did_you_mean(key, shape_at(shape, loc[:-1]).keys())


def _own(error: ValueError) -> list[Fault]:
    """The faults that an error brings; any other ValueError is one that somebody else's code has let through."""
    if isinstance(error, Faults):
        return error.faults
    return [error] if isinstance(error, Fault) else [Fault(f"cannot be taken: {described(error)}")]


def _written(data: Any, loc: Path) -> Path:
    """The longest beginning of loc that the file has."""
    for depth, part in enumerate(loc):
        known = data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
        if part not in known:
            return loc[:depth]
        data = data[part]
    return loc


def _value(page: Page, path: Path) -> str | None:
    """The value at path as it was written; None for a whole mapping or list."""
    data = page.data
    for part in path:
        data = data[part]
    if data is None or isinstance(data, (dict, list)):
        return None
    text = str(data).lower() if isinstance(data, bool) else str(data)
    # In quotes what would end in nothing, or not stay on its line.
    shown = text if text and text == text.strip() and text.isprintable() else repr(text)
    place = page.places.get(path)
    return shown if place is None or place.raw is None else f"{shown} from {place.raw}"
