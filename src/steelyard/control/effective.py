"""A checked configuration as the YAML of its file: everything that will run, with nothing left to a default.

`effective` loads again to an equal Spec, but for a secret that stood in the file itself: that is not shown, and what is
shown in its place can be checked but not run (sealed.py). `explained` is the same with a comment at each value that
has a default: what it is and why (core/spec.py). Keys come from models.py, so that none is written twice.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Final

from steelyard.control import entries, protocols, rules, sealed, written
from steelyard.control.models import (
    Backend,
    File,
    HealthCheck,
    Listener,
    ListenerTimeouts,
    Policy,
    Pool,
    PoolTimeouts,
    RateLimit,
    Retry,
    Route,
)
from steelyard.control.shapes import Shape, shape_at
from steelyard.control.unread import unread_keys
from steelyard.core.ratelimit import GLOBAL
from steelyard.core.spec import (
    HTTP,
    ListenerSpec,
    LocalSpec,
    PolicySpec,
    PoolSpec,
    RateLimitSpec,
    RouteSpec,
    Spec,
)

_INDENT = "  "
_NOTHING: Final[Mapping[str, set[str]]] = {}
_NOT_SHOWN = "  # never shown; written as ${NAME} it is not in the file either"


def effective(spec: Spec) -> str:
    """The whole configuration as YAML."""
    return "".join(f"{line}\n" for line in _file(spec, explain=False))


def explained(spec: Spec) -> str:
    """The whole configuration as YAML, with the reason for every default."""
    return "".join(f"{line}\n" for line in _file(spec, explain=True))


def _file(spec: Spec, explain: bool) -> Iterator[str]:
    yield "listeners:"
    for listener in spec.listeners:
        yield f"{_INDENT}{written.flow(listener.name)}:"
        yield from _indented(2, _listener(listener, explain))
    if spec.pools:
        yield "pools:"
    for pool in spec.pools:
        yield f"{_INDENT}{written.flow(pool.name)}:"
        yield from _indented(2, _pool(pool, explain))
    yield from _keys(File, spec, explain, leave={"listeners", "pools"})


def _listener(listener: ListenerSpec, explain: bool) -> Iterator[str]:
    yield f"bind: {written.scalar(listener.address)}"
    yield f"protocol: {listener.protocol}"
    if listener.protocol == HTTP:
        yield from _list("routes", [route_entry(route) for route in listener.routes], Route, explain)
    else:
        yield f"pool: {written.flow(listener.routes[0].pool)}"
    idle = protocols.idle_fields(listener.protocol, Listener.model_fields)
    leave = {"bind", "protocol", "routes", "pool", *idle}
    within = {"timeouts": protocols.idle_timeouts(listener.protocol, ListenerTimeouts.model_fields)}
    yield from _keys(Listener, listener, explain, leave, within)


def _pool(pool: PoolSpec, explain: bool) -> Iterator[str]:
    yield "policy:"
    yield from _indented(1, _keys(Policy, pool.policy, explain, leave=idle_options(pool.policy)))
    found = entries.entries(pool.backends)
    unread = _servers_alone() if all(entry.backend.local is None for entry in found) else set[str]()
    yield from _list("backends", [backend_entry(entry) for entry in found], Backend, explain, unread)
    if pool.health_check is None:
        yield "health_check: off"
    else:
        yield "health_check:"
        unread = unread_keys(pool.health_check)
        yield from _indented(1, _keys(HealthCheck, pool.health_check, explain, leave=unread))
    leave = {"policy", "backends", "health_check", *protocols.idle_of_pool(pool)}
    parts: dict[str, type[Shape]] = {"retry": Retry, "timeouts": PoolTimeouts}
    within = {name: protocols.idle_of_part(pool, name, shape.model_fields) for name, shape in parts.items()}
    leave |= {name for name, shape in parts.items() if within[name] == set(shape.model_fields)}
    yield from _keys(Pool, pool, explain, leave, within)


def route_entry(route: RouteSpec) -> dict[str, Any]:
    """A route's keys that are not as they are by default; what is absent matches everything."""
    entry = {
        Route.alias_of(field.name): written.plain(field.name, value)
        for field in dataclasses.fields(route)
        if (value := getattr(route, field.name)) != field.default and field.name not in ("respond", "rate_limit")
    }
    if route.rate_limit is not None:
        entry["rate_limit"] = rate_limit_entry(route.rate_limit)
    if route.respond is not None:
        entry["respond"] = dataclasses.asdict(route.respond)
    return entry


def rate_limit_entry(limit: RateLimitSpec) -> dict[str, Any]:
    """The keys of a rate limit, but for one that it does not read."""
    return {
        RateLimit.alias_of(name): written.plain(name, getattr(limit, name))
        for name in RateLimit.model_fields
        if name != "most_keys" or limit.key != GLOBAL
    }


def backend_entry(entry: entries.Entry) -> dict[str, Any]:
    """A server's keys, or those of processes that are started."""
    backend = entry.backend
    what = {"address": backend.address} if backend.local is None else _local(backend.local, entry.processes)
    return {
        **what,
        "weight": backend.weight,
        "max_connections": written.plain("max_connections", backend.max_connections),
        **({"backup": True} if backend.backup else {"tier": backend.tier}),
    }


def _local(local: LocalSpec, processes: int) -> dict[str, Any]:
    local = dataclasses.replace(local, processes=processes)
    names = [name for name in entries.OF_PROCESS if name not in unread_keys(local) and getattr(local, name) != ()]
    texts = {Backend.alias_of(name): written.plain(name, getattr(local, name)) for name in names}
    return {local.kind: local.command, **texts}


def _servers_alone() -> set[str]:
    """Fields of a backend that a pool without processes of its own does not have."""
    return {name for name in Backend.model_fields if name in entries.OF_PROCESS}


def idle_options(policy: PolicySpec) -> set[str]:
    """Options that the policy does not read, and that the file therefore may not have."""
    idle = {name for name in Policy.model_fields if name not in rules.read_by(policy)} - {"name"}
    return idle if policy.key is not None else idle | {"key"}


def _keys(
    shape: type[Shape], part: Any, explain: bool, leave: set[str], within: Mapping[str, set[str]] = _NOTHING
) -> Iterator[str]:
    """A line for each key of the shape, and the lines of what is nested in it. within: what is left out there."""
    reasons = _reasons(shape)
    for name in shape.model_fields:
        if name in leave:
            continue
        value = getattr(part, name)
        if dataclasses.is_dataclass(value):
            yield f"{shape.alias_of(name)}:"
            nested, unread = shape_at(shape, (shape.alias_of(name),)), unread_keys(value) | within.get(name, set())
            yield from _indented(1, _keys(nested, value, explain, unread))
            continue
        comment = ""
        if name == "secret":
            yield f'{shape.alias_of(name)}: "{sealed.shown(value)}"{_NOT_SHOWN if explain else ""}'
            continue
        text = written.flow(written.plain(name, value))
        if explain and name in reasons:
            default, why = reasons[name]
            comment = f"  # default{'' if default == text else ' ' + default}: {why}"
        yield f"{shape.alias_of(name)}: {text}{comment}"


def _list(
    key: str, listed: list[dict[str, Any]], shape: type[Shape], explain: bool, leave: set[str] | None = None
) -> Iterator[str]:
    """A list with one entry a line; the reasons stand once, above it, but for those of fields to leave out."""
    yield f"{key}:"
    if explain:
        for name, (default, why) in _reasons(shape).items():
            if name not in (leave or ()):
                yield f"{_INDENT}# {shape.alias_of(name)}, default {default}: {why}"
    for entry in listed:
        yield f"{_INDENT}- {written.flow(entry)}"


def _reasons(shape: type[Shape]) -> Mapping[str, tuple[str, str]]:
    """Field -> (default as written, why) of the shape's spec."""
    return {
        field.name: (written.flow(written.plain(field.name, field.default)), field.metadata["why"])
        for field in shape.spec_fields().values()
        if "why" in field.metadata
    }


def _indented(depth: int, lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield _INDENT * depth + line
