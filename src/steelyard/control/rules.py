"""Checks over several values: that routes can be reached, backends can serve, and options belong together.

Each takes values that are right by themselves, raises `Fault` or `Faults` and returns what it was given, so
that models.py can hang it on the key that holds the values.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, Final, TypeVar

from steelyard.control import entries, plugins, units, unread
from steelyard.control.addresses import parse_bind
from steelyard.control.fault import Fault, Faults
from steelyard.control.hashed import LARGEST_TABLE, nearest_prime
from steelyard.core.policy import registered
from steelyard.core.ratelimit import GLOBAL
from steelyard.core.spec import (
    UDP,
    AdaptiveSpec,
    BreakerSpec,
    EjectionSpec,
    HealthCheckSpec,
    HedgeSpec,
    PolicySpec,
    RetrySpec,
    Spec,
    format_address,
)

if TYPE_CHECKING:
    from steelyard.control.models import AdaptiveLimit, Backend, Retry, Route

# A few hundred bytes each in the table that workers share: some hundreds of MB, when all are used.
MOST_BACKENDS: Final = 1_000_000

# What a hashing policy hashes when nothing is said (core/spec.py gives the reason).
DEFAULT_KEY: Final = "client_ip"

# Names go into log lines and metrics as they are.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")

T = TypeVar("T")


def exactly_one(one: str, value: object, other: str, other_value: object) -> None:
    """Of two keys that exclude each other one must be given."""
    if value is None and other_value is None:
        raise Fault(f"has neither {one} nor {other}", f"add {one}: or {other}:")
    if value is not None and other_value is not None:
        raise Fault(f"has both {one} and {other}", "keep one of the two")


def has_some(listeners: dict[str, T]) -> dict[str, T]:
    """There is a listener."""
    if not listeners:
        raise Fault("has no listener", "write web: {bind: 0.0.0.0:8080, pool: NAME}")
    return listeners


def between_parts(data: Any) -> list[Fault]:
    """Faults between listeners and pools: looked for in the file's own data, since none of the parts need be right."""
    parts = {kind: data.get(kind) for kind in ("listeners", "pools")} if isinstance(data, dict) else {}
    faults = [
        Fault("is not a name", "use letters, digits, '-', '_' and '.'", repr(name), (kind, name))
        for kind, named in parts.items()
        for name in (named if isinstance(named, dict) else ())
        if not _NAME.fullmatch(name)
    ]
    first: dict[tuple[bool, tuple[str, int] | str], str] = {}
    for name, listener in (parts.get("listeners") or {}).items() if isinstance(parts.get("listeners"), dict) else ():
        bind = _bind_of(listener)
        if bind is None:
            continue
        place = listener.get("protocol") == UDP, bind  # its ports are others than those of connections
        if place in first:
            message = f"is the address of listener {first[place]} too"
            mend = f"give each its own {'path' if isinstance(bind, str) else 'port'}"
            faults.append(Fault(message, mend, at=("listeners", name, "bind")))
        first.setdefault(place, name)
    return faults


def _bind_of(listener: Any) -> tuple[str, int] | str | None:
    """Where a listener is to be; None when that cannot be said, or when any free port will do."""
    written = listener.get("bind") if isinstance(listener, dict) else None
    if not isinstance(written, str):
        return None
    try:
        bind = parse_bind(written)
    except Fault:
        return None
    return bind if isinstance(bind, str) or bind[1] else None


def can_serve(backends: "tuple[Backend, ...]") -> "tuple[Backend, ...]":
    """There are backends, none is there twice, and one at least may be chosen."""
    if not backends:
        raise Fault("has no backend", "write [localhost:8000]")
    first: dict[object, int] = {}
    faults: list[Fault] = []
    for index, backend in enumerate(backends):
        same = entries.identity(backend)
        if same in first:
            local = backend.address is None
            message = (
                f"{entries.shown(backend) if local else _shown(backend.address)} is the same as backends[{first[same]}]"
            )
            mend = "more of it are had with processes" if local else "a larger share is given with weight"
            faults.append(Fault(message, mend, at=(index,)))
        first.setdefault(same, index)
    if all(backend.weight == 0 for backend in backends):
        faults.append(Fault("every backend has weight 0, so none gets a request", "give one of them weight 1"))
    if faults:
        raise Faults(faults)
    return backends


def _shown(address: tuple[str, int] | str) -> str:
    return format_address("", 0, address) if isinstance(address, str) else format_address(*address)


def room_for_all(spec: Spec, given: bool) -> None:
    """The shared table has room for every backend. given: the file says how large it is."""
    backends = sum(len(pool.backends) for pool in spec.pools)
    if backends > spec.max_backends:
        message = f"leaves room for {spec.max_backends} backends, and the pools have {backends}"
        mend = f"write max_backends: {backends}" if backends <= MOST_BACKENDS else f"{MOST_BACKENDS} are the most"
        raise Fault(message, mend, value="", at=("max_backends" if given else "pools",), key="max_backends")


def keys_to_tell_apart(key: str | None, keys: int | None) -> None:
    """Where all clients of a limit are one there is nobody to tell apart."""
    if key == GLOBAL and keys is not None:
        raise Fault(f"is not read with key: {GLOBAL}, where all are one", "take it out", at=("keys",))


def none_is_hidden(routes: "tuple[Route, ...]") -> "tuple[Route, ...]":
    """Every route is the first to match some request."""
    if not routes:
        raise Fault("has no route", "write - pool: NAME")
    faults: list[Fault] = []
    # Path and host -> routes, the earliest first: of thousands only those are compared that can take what it takes.
    earlier: dict[tuple[str | None, str | None], list[int]] = {}
    for index, route in enumerate(routes):
        places = product(_paths_over(route.path), _hosts_over(route.hosts))
        could = (at for place in places for at in earlier.get(place, ()))
        hiding = min((at for at in could if _covers(routes[at], route)), default=None)
        if hiding is not None:
            message = f"is never reached: routes[{hiding}] takes every request that this one would"
            faults.append(Fault(message, f"put it before routes[{hiding}], or take it out", at=(index,)))
        for host in route.hosts or (None,):
            earlier.setdefault((route.path, host), []).append(index)
    if faults:
        raise Faults(faults)
    return routes


def _covers(wide: "Route", narrow: "Route") -> bool:
    """Whether wide takes every request that narrow takes: each of its conditions follows from one of narrow's."""
    return (
        _path_covers(wide.path, narrow.path)
        and (not wide.hosts or all(any(_host_covers(w, n) for w in wide.hosts) for n in narrow.hosts or ("",)))
        and (not wide.methods or (bool(narrow.methods) and set(narrow.methods) <= set(wide.methods)))
        and all(_header_covers(pair, narrow.headers or ()) for pair in wide.headers or ())
        and _type_covers(wide.content_type, narrow.content_type)
    )


def _path_covers(wide: str | None, narrow: str | None) -> bool:
    if wide is None or wide == "/*":
        return True
    if narrow is None:
        return False
    return narrow == wide or (wide.endswith("*") and narrow.startswith(wide[:-1]))


def _paths_over(narrow: str | None) -> set[str | None]:
    """The paths of all routes that `_path_covers` could hold for."""
    return {None, "/*", narrow, *(f"{narrow[:end]}*" for end in range(len(narrow) + 1))} if narrow else {None, "/*"}


def _hosts_over(narrow: Sequence[str] | None) -> set[str | None]:
    """A host of each route that takes all of these; None is that of those that take any."""
    if not narrow:
        return {None}
    first = narrow[0]
    return {None, first, *(f"*{first[at:]}" for at, sign in enumerate(first) if sign == ".")}


def _host_covers(wide: str, narrow: str) -> bool:
    return wide == narrow or (wide.startswith("*.") and narrow.endswith(wide[1:]))


def _header_covers(wide: tuple[str, str], narrow: tuple[tuple[str, str], ...]) -> bool:
    return any(name == wide[0] and wide[1] in ("*", value) for name, value in narrow)


def _type_covers(wide: str | None, narrow: str | None) -> bool:
    if wide is None or wide == narrow:
        return True
    return narrow is not None and wide.endswith("/*") and narrow.startswith(wide[:-1])


def read_by(policy: PolicySpec) -> set[str]:
    """The fields of PolicySpec besides `name` that are read: by the policy, and by the fallback of a foreign one."""
    if policy.name in plugins.built_in():
        return set(registered(policy.name).options)
    return {*plugins.FOREIGN_OPTIONS, *registered(policy.fallback).options}


def hashes(policy: PolicySpec) -> bool:
    """Whether it needs a key: itself, or the fallback of a foreign one."""
    built_in = policy.name if policy.name in plugins.built_in() else policy.fallback
    return "key" in registered(built_in).options


def options_of_policy(policy: PolicySpec, given: Mapping[str, str]) -> None:
    """Options stand only with policies that read them. given: field -> key of what the file has."""
    read = read_by(policy) | {"name"}
    faults = [
        Fault(f"is not read by policy {policy.name}", f"take it out, or use {_readers(field)}", at=(key,))
        for field, key in given.items()
        if field not in read
    ]
    if faults:
        raise Faults(faults)


def _readers(field: str) -> str:
    """Who reads an option."""
    ours = [name for name in plugins.built_in() if field in registered(name).options]
    return f"policy {' or '.join(ours)}" if ours else "a policy of your own, module:name"


def table_holds_all(policy: PolicySpec, backends: "tuple[Backend, ...]", given: bool) -> None:
    """A policy with a table has room in it for every backend of a tier. given: the file says how large it is."""
    if "table_size" not in read_by(policy):
        return
    ranks: Counter[tuple[bool, int]] = Counter()
    for backend in backends:
        ranks[bool(backend.backup), backend.tier or 0] += backend.processes or 1
    largest = max(ranks.values())
    if largest > policy.table_size:
        message = f"{largest} backends do not fit into a table of {policy.table_size}"
        mend = f"use table_size: {nearest_prime(min(largest * 100, LARGEST_TABLE))}"
        raise Fault(message, mend, at=("policy", "table_size") if given else ("policy",))


def one_rank(backup: bool | None, tier: int | None) -> None:
    """A backend has a tier, or waits behind all tiers."""
    if backup and tier is not None:
        raise Fault("a backup comes after all tiers, and has none itself", "keep one of the two", at=("backup",))


def check_fits(check: HealthCheckSpec, given: frozenset[str]) -> None:
    """A check ends before the next one begins, and what it is told is read by its kind."""
    unread = [key for key in ("path", "expect") if key in given and check.kind != "http"]
    faults = [Fault(f"is not read by a check of kind {check.kind}", "add kind: http", at=(key,)) for key in unread]
    if check.timeout_s > check.interval_s:
        timeout, interval = units.format_duration(check.timeout_s), units.format_duration(check.interval_s)
        blamed = "timeout" if "timeout_s" in given else "interval"
        message = f"a check may take {timeout} but the next one comes after {interval}"
        faults.append(Fault(message, f"use a timeout of at most {interval}", at=(blamed,)))
    if faults:
        raise Faults(faults)


def ejection_fits(ejection: EjectionSpec, given: frozenset[str]) -> None:
    """There is a rule by which somebody is ejected, somebody may be, and penalties grow."""
    faults: list[Fault] = []
    if (ejection.errors, ejection.gateway_errors, ejection.deviations) == (None, None, None):
        faults.append(Fault("nothing leads to an ejection", "write ejection: off, or errors: 5"))
    if ejection.max_ejected <= 0.0:
        faults.append(Fault("would let nobody go", "write ejection: off, or 10%", at=("max_ejected",)))
    if ejection.max_penalty_s < ejection.penalty_s:
        penalty, most = units.format_duration(ejection.penalty_s), units.format_duration(ejection.max_penalty_s)
        blamed = "max_penalty" if "max_penalty_s" in given else "penalty"
        message = f"a first penalty of {penalty} is longer than the longest, {most}"
        faults.append(Fault(message, f"use a max_penalty of {penalty} or more", at=(blamed,)))
    if faults:
        raise Faults(faults)


def breaker_fits(breaker: BreakerSpec, given: Mapping[str, str]) -> None:
    """There is something that opens it, and what is given is read. given: field -> key."""
    faults = unread.faults(breaker, given)
    if (breaker.consecutive_failures, breaker.error_rate, breaker.slow_call_s) == (None, None, None):
        faults.append(Fault("nothing opens it", "take it out, or write consecutive_failures: 5"))
    for field, key in (("error_rate", "error_rate"), ("slow_rate", "slow_rate")):
        if getattr(breaker, field) == 0.0:
            faults.append(Fault("would open it at once", "use 50%", at=(key,)))
    if faults:
        raise Faults(faults)


def mark_down_has_a_check(retry: "Retry | None", unchecked: bool) -> None:
    """Only a check brings a backend up again that was marked down."""
    if retry is not None and retry.mark_down and unchecked:
        message = "a backend that is marked down is brought up by a check, and there is none"
        raise Fault(message, "take out health_check: off, or mark_down", at=("retry", "mark_down"))


def retry_fits(retry: RetrySpec, given: frozenset[str]) -> None:
    """Statuses that are no answer lead to another backend, and delays may grow."""
    faults: list[Fault] = []
    # A 503 may ask with Retry-After that its backend be left alone, whether or not another one is asked.
    if retry.tries == 1 and retry.on_status and 503 not in retry.on_status:
        message = "asks nobody else, as tries is 1"
        faults.append(Fault(message, "use tries: 2 or more, or take it out", at=("on_status",)))
    if retry.delay_s > retry.max_delay_s:
        delay, most = units.format_duration(retry.delay_s), units.format_duration(retry.max_delay_s)
        blamed = "max_delay" if "max_delay_s" in given else "delay"
        message = f"a first delay of {delay} is longer than the longest, {most}"
        faults.append(Fault(message, f"use a max_delay of {delay} or more", at=(blamed,)))
    if faults:
        raise Faults(faults)


def hedge_can_be_sent(hedge: HedgeSpec | None, retry: RetrySpec) -> None:
    """A hedge is a try."""
    if hedge is not None and retry.tries == 1:
        message = "leaves no try for the hedge"
        raise Fault(message, "use tries: 2 or more, or take hedge out", at=("retry", "tries"))


def ends_before(total_s: float | None, hedge: HedgeSpec | None, retry: RetrySpec) -> None:
    """What is to come while a request lasts comes before its time is over."""
    if total_s is None:
        return
    total = units.format_duration(total_s)
    faults: list[Fault] = []
    for seconds, at in (
        (hedge.after.seconds if hedge is not None else None, ("hedge", "after")),
        (retry.try_timeout_s, ("retry", "try_timeout")),
    ):
        if seconds is not None and seconds >= total_s:
            message = f"never comes: the whole exchange has {total}"
            faults.append(Fault(message, f"use less than {total}, or a longer timeouts: {{total}}", at=at))
    if faults:
        raise Faults(faults)


def one_of_many(max_connections: int | None, max_connections_per_client: int | None) -> None:
    """One client reaches its limit before all clients reach theirs."""
    if max_connections is None or max_connections_per_client is None:
        return
    if max_connections_per_client > max_connections:
        message = f"is never reached: max_connections is {max_connections}"
        raise Fault(message, f"use less than {max_connections}, or off", at=("max_connections_per_client",))


def limits_in_order(limit: AdaptiveSpec, least_given: bool) -> None:
    """An adaptive limit has room to move."""
    if limit.least > limit.most:
        message = f"the limit would have to be above {limit.least} and below {limit.most}"
        raise Fault(message, f"use min: {limit.most} or less", at=("min",) if least_given else ("max",))


def one_limit_at_most(max_in_flight: int | None, adaptive_limit: "AdaptiveLimit | None") -> None:
    """A pool's limit is given, or found."""
    if max_in_flight is not None and adaptive_limit is not None:
        mend = "keep one of the two; a bound of the adaptive limit is its max"
        raise Fault("the pool has a limit that is found as well", mend, at=("max_in_flight",))


def can_be_full(
    max_in_flight: int | None, adaptive_limit: "AdaptiveLimit | None", backends: "tuple[Backend, ...]"
) -> None:
    """Who waits in a queue waits for a place."""
    if max_in_flight is None and adaptive_limit is None and all(one.max_connections is None for one in backends):
        message = "nobody will ever wait: nothing limits the requests in flight"
        raise Fault(message, "add max_in_flight, adaptive_limit, or max_connections to the backends", at=("queue",))
