"""Entries of a pool that stand for processes of this machine: how their keys are read, and what they become.

`{run: COMMAND, processes: 2}` is two backends, one a process; effective.py and changes.py see them as one entry again.
"""

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from steelyard.backends.command import SOCKET, BadCommand, place_in, placeholders, split
from steelyard.control import sealed
from steelyard.control.fault import Fault, Faults
from steelyard.control.readers import as_text, line
from steelyard.control.unshown import Texts
from steelyard.core.spec import HTTP, UDP, BackendSpec, LocalSpec, PoolSpec

if TYPE_CHECKING:
    from steelyard.control.lines import Page
    from steelyard.control.models import Backend

MOST_PROCESSES: Final = 1024
# The fields of an entry that are read with a process alone, and with a function alone.
OF_PROCESS: Final = (
    "processes",
    "directory",
    "environment",
    "cpus",
    "ready_timeout_s",
    "stop_timeout_s",
    "recycle_after",
    "task_timeout_s",
    "max_body_bytes",
)
_OF_FUNCTION: Final = ("task_timeout_s", "max_body_bytes")
_KINDS: Final = ("address", "run", "function")

_FUNCTION = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def command(value: Any) -> str:
    """A command that says where its process is to listen."""
    text = line(value)
    _as_fault(lambda: (split(text), place_in(text)))
    return text


def function(value: Any) -> str:
    """`package.module:function`. It is imported by its own process, and not here."""
    text = as_text(value)
    if not _FUNCTION.fullmatch(text):
        raise Fault("is not a function of a module", "write package.module:function")
    return text


def directory(value: Any) -> str | None:
    """A path; None for that of the file."""
    found = os.path.normpath(line(value))
    return None if found == "." else found


def environment(value: Any) -> Texts:
    """Names and texts, which still know what of them came from the environment."""
    pairs = sealed.options(value)
    faults: list[Fault] = []
    for name, text in pairs:
        if not _VARIABLE.fullmatch(name):
            faults.append(Fault("is not the name of a variable", "use letters, digits and '_'", "", (name,)))
        try:
            placeholders(text)
        except BadCommand as exc:
            faults.append(Fault(exc.message, exc.mend, "", (name,)))
        if "\0" in text:
            faults.append(Fault("has a zero byte, which no variable can hold", "take it out", "", (name,)))
    if faults:
        raise Faults(faults)
    return pairs


def _as_fault(read: Callable[[], object]) -> None:
    try:
        read()
    except BadCommand as exc:
        raise Fault(exc.message, exc.mend) from None


def fits(entry: "Backend") -> None:
    """An entry is one of a server, a command and a function, and has what that reads."""
    given = [name for name in _KINDS if name in entry.model_fields_set]
    if not given:
        raise Fault("has no address", "write address: localhost:8000, or run: or callable: for processes of your own")
    keys = [entry.alias_of(name) for name in given]
    if len(given) > 1:
        raise Fault(f"has {' and '.join(keys)}", "keep one of them", at=(keys[1],))
    faults = [
        Fault("is not read with address", "take it out, or write run: or callable:", at=(entry.alias_of(name),))
        for name in OF_PROCESS
        if given == ["address"] and name in entry.model_fields_set
    ]
    faults += [
        Fault(
            "is not read with run",
            "take it out; a server that is run has limits of its own",
            at=(entry.alias_of(name),),
        )
        for name in _OF_FUNCTION
        if given == ["run"] and name in entry.model_fields_set
    ]
    if faults:
        raise Faults(faults)


def identity(entry: "Backend") -> object:
    """What makes two entries of a pool the same: an address, or what would run twice."""
    if "address" in entry.model_fields_set:
        return entry.address
    of_function = entry.task_timeout_s, entry.max_body_bytes
    return entry.run, entry.function, entry.directory, entry.environment, entry.cpus, of_function


def shown(entry: "Backend") -> str:
    """As it is called in an error."""
    return f"run: {entry.run}" if "run" in entry.model_fields_set else f"callable: {entry.function}"


def can_be_recycled(entries: "Sequence[Backend]") -> None:
    """While a process is started anew somebody else serves."""
    if sum(entry.processes or 1 for entry in entries) > 1:
        return
    if entries[0].recycle_after is not None:
        message = "would leave nobody to serve while its only process is started anew"
        raise Fault(message, "add processes: 2", at=("backends", 0, "recycle_after"))


def pool_fits(name: str, entries: "Sequence[Backend]", spoken: set[str]) -> list[Fault]:
    """The processes of a pool can be spoken to as its listeners do."""
    faults: list[Fault] = []
    others = " and ".join(sorted(spoken - {HTTP}))
    for at, entry in enumerate(entries):
        if others and "function" in entry.model_fields_set:
            message = f"speaks HTTP, and a listener of {others} leads here"
            mend = "use run: with a server that speaks it, or protocol: http"
            faults.append(Fault(message, mend, at=("pools", name, "backends", at, "callable")))
        elif UDP in spoken and "run" in entry.model_fields_set and place_in(entry.run) == SOCKET:
            message = "takes a unix socket, and datagrams go to a port"
            faults.append(Fault(message, "use {port}", at=("pools", name, "backends", at, "run")))
    return faults


def made(backend: BackendSpec, local: LocalSpec) -> tuple[BackendSpec, ...]:
    """One backend for each process of an entry."""
    return tuple(replace(backend, local=replace(local, index=i)) for i in range(local.processes))


def named(pool: str, backends: Iterable[BackendSpec]) -> tuple[BackendSpec, ...]:
    """Each process has a name: the pool's, and a number within it."""
    found: list[BackendSpec] = []
    number = 0
    for backend in backends:
        if backend.local is not None:
            at = f"pools.{pool}.backends"
            backend = replace(backend, local=replace(backend.local, name=f"{pool}/{number}", at=at))
            number += 1
        found.append(backend)
    return tuple(found)


def located(pool: PoolSpec, page: "Page", dotted: Callable[[tuple[str | int, ...]], str]) -> PoolSpec:
    """The pool's processes know where they were written."""
    if all(backend.local is None for backend in pool.backends):
        return pool
    found: list[BackendSpec] = []
    entry = -1
    for backend in pool.backends:
        local = backend.local
        if local is None or local.index == 0:
            entry += 1
        if local is not None:
            path = ("pools", pool.name, "backends", entry, local.kind)
            backend = replace(backend, local=replace(local, where=page.where(path), at=dotted(path)))
        found.append(backend)
    return replace(pool, backends=tuple(found))


class Entry(NamedTuple):
    """One entry of a pool as it was written: its first backend, and how many there are of it."""

    backend: BackendSpec
    processes: int


def entries(backends: Iterable[BackendSpec]) -> list[Entry]:
    """Those that a pool's backends were made of."""
    found: list[Entry] = []
    for backend in backends:
        if found and backend.local is not None and _goes_on(found[-1], backend):
            found[-1] = Entry(found[-1].backend, found[-1].processes + 1)
        else:
            found.append(Entry(backend, 1))
    return found


def _goes_on(entry: Entry, backend: BackendSpec) -> bool:
    first = entry.backend
    if first.local is None or backend.local is None or backend.local.index != entry.processes:
        return False
    same = replace(backend, host=first.host, port=first.port, path=first.path, local=first.local) == first
    return same and replace(backend.local, index=0) == first.local
