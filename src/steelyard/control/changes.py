"""What differs between two configurations, part by part, in the words of the file.

Listeners and pools are found again by their names and backends by their addresses or commands, so the order in which
those stand counts only where it does something: a pool's backends. Routes are an ordered list without names, and are
compared as lines of text are. Everything else goes field by field through the table of models.py, so a key that is
added there is compared from then on. What is not read (the `path` of a tcp check) is in no file, and no change.

A value that came from the environment may be a secret: a change of one says that it changed, and nothing more.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from functools import cache
from typing import Any, Final, Literal, NamedTuple, TypeVar

from steelyard.control import effective, sealed, written
from steelyard.control.entries import Entry, entries
from steelyard.control.models import Backend, File, Listener, Pool
from steelyard.control.shapes import Shape, shape_at
from steelyard.control.unread import unread_keys
from steelyard.control.unshown import Filled
from steelyard.core.spec import (
    BackendSpec,
    ListenerSpec,
    LocalSpec,
    PolicySpec,
    PoolSpec,
    RouteSpec,
    Spec,
)

# Settled before the first request: processes, shared memory and privileges are not made anew under traffic.
NOT_BY_RELOAD: Final = frozenset({"workers", "max_backends", "user", "pid_file"})
# Of an order that changed, as many addresses are said as show where.
_SHOWN: Final = 3

Part = TypeVar("Part", ListenerSpec, PoolSpec)


class Change(NamedTuple):
    """One difference. key: dotted as in the file, such as `pools.web.backends[localhost:8001].weight`.

    A route is known by its place in the list (from 0): of the old file where it was removed, else of the new one.
    before, after: as written in the file; None where there was or will be nothing, and on both sides of a change of
    what may be a secret.
    """

    kind: Literal["added", "removed", "changed"]
    key: str
    before: str | None
    after: str | None

    @property
    def reload(self) -> bool:
        """Whether a reload applies it; else it takes a restart."""
        return self.key not in NOT_BY_RELOAD


def changes(old: Spec, new: Spec) -> list[Change]:
    """All differences, in the order of the file; none for configurations that do the same."""
    return [
        *_by_name("listeners", old.listeners, new.listeners, _bind, _listener),
        *_by_name("pools", old.pools, new.pools, _outline, _pool),
        *_fields(File, "", old, new, leave=("listeners", "pools")),
    ]


def _by_name(
    key: str,
    old: Sequence[Part],
    new: Sequence[Part],
    shown: Callable[[Part], str],
    between: Callable[[str, Part, Part], Iterator[Change]],
) -> Iterator[Change]:
    """What was added or removed whole is one change; shown: what is said of it."""
    was = {part.name: part for part in old}
    now = {part.name: part for part in new}
    for name, part in was.items():
        if name not in now:
            yield Change("removed", f"{key}.{name}", shown(part), None)
        elif part != now[name]:
            yield from between(f"{key}.{name}.", part, now[name])
    for name, part in now.items():
        if name not in was:
            yield Change("added", f"{key}.{name}", None, shown(part))


def _bind(listener: ListenerSpec) -> str:
    return written.scalar(listener.address)


def _outline(pool: PoolSpec) -> str:
    count = len(pool.backends)
    return f"{written.scalar(pool.policy.name)}, {count} backend{'' if count == 1 else 's'}"


def _listener(key: str, old: ListenerSpec, new: ListenerSpec) -> Iterator[Change]:
    if old.address != new.address:
        yield Change("changed", f"{key}bind", _bind(old), _bind(new))
    yield from _routes(f"{key}routes", old.routes, new.routes)
    yield from _fields(Listener, key, old, new, leave=("routes",))


def _routes(key: str, old: Sequence[RouteSpec], new: Sequence[RouteSpec]) -> Iterator[Change]:
    """As lines of text: one put in before the others changes none of them; one that moved is removed and added."""
    for what, first, end, new_first, new_end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if what == "equal":
            continue
        both = min(end - first, new_end - new_first)
        for i in range(both):
            was, now = old[first + i], new[new_first + i]
            yield Change("changed", f"{key}[{new_first + i}]", _route(was), _route(now))
        for i in range(first + both, end):
            yield Change("removed", f"{key}[{i}]", _route(old[i]), None)
        for i in range(new_first + both, new_end):
            yield Change("added", f"{key}[{i}]", None, _route(new[i]))


def _route(route: RouteSpec) -> str:
    return written.flow(effective.route_entry(route))


def _pool(key: str, old: PoolSpec, new: PoolSpec) -> Iterator[Change]:
    yield from _backends(f"{key}backends", old.backends, new.backends)
    yield from _fields(Pool, key, old, new, leave=("backends",))


def _backends(key: str, old: Sequence[BackendSpec], new: Sequence[BackendSpec]) -> Iterator[Change]:
    """A server is found again by its address, processes by their command."""
    was, now = _by_what(old), _by_what(new)
    for address, entry in was.items():
        if address not in now:
            yield Change("removed", f"{key}[{address}]", _entry(entry), None)
        else:
            yield from _entry_fields(f"{key}[{address}].", entry, now[address])
    for address, entry in now.items():
        if address not in was:
            yield Change("added", f"{key}[{address}]", None, _entry(entry))
    stayed = [address for address in was if address in now]
    order = [address for address in now if address in was]
    if stayed != order:  # whose turn it is, and whose a key is by `hash`, goes by their places
        at = next(i for i, address in enumerate(stayed) if address != order[i])
        yield Change("changed", key, _stretch(stayed, at), _stretch(order, at))


def _by_what(backends: Sequence[BackendSpec]) -> dict[str, Entry]:
    """Entries by what they are called here; a command that is there twice, as in two directories, has a number."""
    found: dict[str, Entry] = {}
    times: Counter[str] = Counter()
    for entry in entries(backends):
        local = entry.backend.local
        called = entry.backend.address if local is None else f"{local.kind} {local.command}"
        times[called] += 1
        found[called if times[called] == 1 else f"{called} #{times[called]}"] = entry
    return found


def _entry(entry: Entry) -> str:
    """As short as it can be written: the address alone, or with what is not the default."""
    backend, local = entry.backend, entry.backend.local
    plain = BackendSpec(backend.host, backend.port, path=backend.path, local=local)
    said = _not_default(_names(Backend), backend, plain)
    if local is None:
        return written.flow({"address": backend.address, **said} if said else backend.address)
    theirs = _not_default(_names(Backend, LocalSpec), local, LocalSpec(local.run, local.function, local.index))
    processes = {"processes": entry.processes} if entry.processes > 1 else {}
    return written.flow({local.kind: local.command, **processes, **theirs, **said})


def _not_default(names: Iterable[str], part: Any, plain: Any) -> dict[str, Any]:
    return {
        Backend.alias_of(name): _plain(name, getattr(part, name))
        for name in names
        if name != "processes" and getattr(part, name) != getattr(plain, name)
    }


def _entry_fields(key: str, old: Entry, new: Entry) -> Iterator[Change]:
    yield from _fields(Backend, key, old.backend, new.backend)
    if old.backend.local is None or new.backend.local is None:
        return
    if old.processes != new.processes:
        yield Change("changed", f"{key}processes", str(old.processes), str(new.processes))
    for name in _names(Backend, LocalSpec):
        before, after = getattr(old.backend.local, name), getattr(new.backend.local, name)
        if name != "processes" and before != after:
            yield from _values(Backend, name, key + Backend.alias_of(name), before, after)


def _stretch(addresses: list[str], at: int) -> str:
    """The addresses from there on, as far as they are shown."""
    shown = [written.scalar(address) for address in addresses[at : at + _SHOWN]]
    before = ["..."] if at > 0 else []
    behind = ["..."] if at + _SHOWN < len(addresses) else []
    return f"[{', '.join([*before, *shown, *behind])}]"


def _fields(shape: type[Shape], key: str, old: Any, new: Any, leave: tuple[str, ...] = ()) -> Iterator[Change]:
    """Two of the same part, field by field; one that only one of them reads was added or removed."""
    if old == new:
        return
    was, now = _unread(old), _unread(new)
    for name in _names(shape):
        if name in leave or (name in was and name in now):
            continue
        here = key + shape.alias_of(name)
        before, after = getattr(old, name), getattr(new, name)
        if name in was:
            yield Change("added", here, None, _text(shape, name, after))
        elif name in now:
            yield Change("removed", here, _text(shape, name, before), None)
        elif before != after:
            yield from _values(shape, name, here, before, after)


def _values(shape: type[Shape], name: str, key: str, before: Any, after: Any) -> Iterator[Change]:
    """Two values of one field that are not equal."""
    if name == "secret":
        yield Change("changed", key, None, None)
    elif name in written.UNSHOWN:
        yield from _options(key, before, after)
    elif dataclasses.is_dataclass(before) and dataclasses.is_dataclass(after):
        yield from _fields(shape_at(shape, (shape.alias_of(name),)), f"{key}.", before, after)
    else:
        yield Change("changed", key, _text(shape, name, before), _text(shape, name, after))


def _options(key: str, old: Any, new: Any) -> Iterator[Change]:
    """The options of a policy of one's own, or variables of processes, by their names."""
    was, now = _plain("options", old), _plain("options", new)
    before, after = dict(old), dict(new)
    for name in {**before, **after}:
        here = f"{key}.{written.scalar(name)}"
        if name not in after:
            yield Change("removed", here, written.flow(was[name]), None)
        elif name not in before:
            yield Change("added", here, None, written.flow(now[name]))
        elif before[name] != after[name]:
            hidden = isinstance(was[name], Filled) or isinstance(now[name], Filled)
            said = (None, None) if hidden else (written.flow(was[name]), written.flow(now[name]))
            yield Change("changed", here, *said)


def _unread(part: Any) -> set[str]:
    """Fields that say nothing here, as something else that the part says has made them idle."""
    if isinstance(part, PolicySpec):
        return effective.idle_options(part)
    return unread_keys(part)


@cache
def _names(shape: type[Shape], spec_type: type | None = None) -> tuple[str, ...]:
    """The fields of the spec that have a key of their own, in the order of the file."""
    fields = {field.name for field in dataclasses.fields(spec_type or shape.spec_type)}
    return tuple(name for name in shape.model_fields if name in fields)


def _text(shape: type[Shape], name: str, value: Any) -> str:
    """The value as it is written in the file, on one line."""
    return written.flow(_nested(shape, name, value))


def _nested(shape: type[Shape], name: str, value: Any) -> Any:
    if not dataclasses.is_dataclass(value):
        return _plain(name, value)
    inner, unread = shape_at(shape, (shape.alias_of(name),)), _unread(value)
    return {
        inner.alias_of(field): _nested(inner, field, getattr(value, field))
        for field in _names(inner)
        if field not in unread
    }


def _plain(name: str, value: Any) -> Any:
    """`written.plain`, with the name of a variable, or nothing, in place of what may be a secret."""
    if name == "secret":
        return Filled(value, sealed.shown(value))
    plain = written.plain(name, value)
    if name not in written.UNSHOWN:
        return plain
    return {
        option: Filled(text, sealed.shown(text)) if isinstance(text, Filled) else text for option, text in plain.items()
    }
