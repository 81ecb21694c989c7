"""What a listener's protocol means for the rest of the file: which keys it reads, and which its pool's.

All but http know no requests: they have one pool, and no routes; what is said of heads, bodies, paths or cookies would
do nothing, and is refused. A pool reads what any listener reads that leads to it; one that nobody leads to is one of
http. Rules over one listener hang on it in models.py, those over listeners and pools on the whole file.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from steelyard.control import entries
from steelyard.control.fault import Fault, Faults
from steelyard.core.spec import HTTP, PROTOCOLS, TASK, TCP, UDP, PoolSpec

if TYPE_CHECKING:
    from steelyard.control.models import Listener, Pool, Retry

_EVERY: Final = frozenset({"bind", "protocol", "pool"})
_OF_CROWDS: Final = frozenset({"max_connections", "max_connections_per_client"})
_CONNECTED: Final = _OF_CROWDS | {"backlog"}
_SESSIONS: Final = frozenset({"session_timeout_s", "answers", "max_sessions"})
# The fields of a listener that each reads; http reads all but those of sessions.
_OF_LISTENER: Final = {TCP: _EVERY | _CONNECTED, TASK: _EVERY | _CONNECTED | {"timeouts"}, UDP: _EVERY | _SESSIONS}
_OF_CLIENT: Final = frozenset({"head_s", "write_s"})  # of a task listener's timeouts
# The fields of a pool that need requests and answers.
_HTTP_ALONE: Final = frozenset({"sticky", "hedge", "queue", "max_idle"})
_OF_RETRY: Final = frozenset({"tries", "budget", "budget_floor", "mark_down"})
_BUDGET: Final = frozenset(
    {"budget", "budget_floor"}
)  # not where tasks lead: their connects are free (Pool.bears_retry)
_OF_TIMEOUTS: Final = {TCP: {"connect_s", "tunnel_s"}, TASK: {"connect_s", "response_s"}, UDP: set[str]()}
# Whose servers need not bear a connection that asks nothing: what a plain check is.
_UNCHECKED: Final = (TASK, UDP)
CLIENT: Final = "client_ip"
# Addresses of all of the machine's, and names of this machine.
_EVERYWHERE: Final = ("0.0.0.0", "::")
_HERE: Final = ("127.0.0.1", "::1", "localhost", *_EVERYWHERE)


def idle_fields(protocol: str, names: Iterable[str]) -> set[str]:
    """Those of these fields of a listener that one of this protocol does not read."""
    names = set(names)
    return names & _SESSIONS if protocol == HTTP else names - _OF_LISTENER[protocol]


def idle_timeouts(protocol: str, names: Iterable[str]) -> set[str]:
    """The same of its timeouts."""
    return set(names) - _OF_CLIENT if protocol == TASK else set()


def listener_fits(listener: "Listener") -> None:
    """A listener has what its protocol reads, and nothing else."""
    protocol = listener.protocol or HTTP
    if protocol != HTTP and listener.routes is not None:
        message = f"are of http alone; listeners of {protocol} know no requests"
        raise Fault(message, "write pool: NAME in place of routes", "", ("routes",))
    faults = [
        Fault(f"is not read by listeners of {protocol}", _take_out(name, protocol), at=(listener.alias_of(name),))
        for name in type(listener).model_fields
        if name in idle_fields(protocol, listener.model_fields_set)
    ]
    if protocol == TASK and listener.timeouts is not None:
        timeouts = listener.timeouts
        faults += [
            Fault("is not read by listeners of task", "take it out", at=("timeouts", timeouts.alias_of(name)))
            for name in type(timeouts).model_fields
            if name in idle_timeouts(protocol, timeouts.model_fields_set)
        ]
    if protocol == UDP and isinstance(listener.bind, str):
        faults.append(Fault("is a path, and datagrams go to a port", "write 0.0.0.0:5353", at=("bind",)))
    if faults:
        raise Faults(faults)


def _take_out(name: str, protocol: str) -> str:
    if protocol == UDP and name in _OF_CROWDS:
        return "write max_sessions, which limits the sessions of all clients"
    if name == "timeouts" and protocol == UDP:
        return "take it out; a session's time is session_timeout"
    if name == "timeouts":
        return "take it out; a connection's times are its pool's timeouts: {connect, tunnel}"
    return f"take it out, or use protocol: {UDP}" if name in _SESSIONS else f"take it out, or use protocol: {HTTP}"


def users(listeners: "Mapping[str, Listener]") -> dict[str, set[str]]:
    """By pool, what the listeners speak that lead to it."""
    found: dict[str, set[str]] = {}
    for listener in listeners.values():
        routes = listener.routes or ()
        for name in [listener.pool, *(route.pool for route in routes)]:
            if name is not None:
                found.setdefault(name, set()).add(listener.protocol or HTTP)
    return found


def in_order(spoken: Collection[str]) -> tuple[str, ...]:
    """What is spoken to a pool, what its backends are called by first; http where nobody leads to it."""
    return tuple(protocol for protocol in PROTOCOLS if protocol in spoken) or (HTTP,)


def is_checked(spoken: Iterable[str]) -> bool:
    """Whether its backends are checked where the file says nothing of that."""
    return not any(protocol in _UNCHECKED for protocol in spoken)


def pools_fit(listeners: "Mapping[str, Listener]", pools: "Mapping[str, Pool]") -> None:
    """Each pool has what the listeners read that lead to it, and nothing else."""
    faults = _loops(listeners, pools)
    for name, spoken in users(listeners).items():
        pool = pools.get(name)
        if pool is None:
            continue
        said = " and ".join(sorted(spoken))
        if HTTP not in spoken:
            faults += [
                Fault(f"is not read by listeners of {said}", "take it out", at=("pools", name, *where))
                for where in _unread(pool, spoken)
            ]
        if UDP in spoken:
            faults += [
                Fault("is a unix socket, and datagrams go to a port", "write host:port", at=("pools", name, "backends"))
                for backend in pool.backends
                if isinstance(backend.address, str)
            ][:1]
        faults += entries.pool_fits(name, pool.backends, spoken)
        retry: Retry | None = pool.retry if "retry" in pool.model_fields_set else None
        checked = "health_check" in pool.model_fields_set or is_checked(spoken)
        if retry is not None and retry.mark_down and not checked:
            message = f"is undone by a check alone, and a pool of {said} has none unless one is written"
            faults.append(Fault(message, "add a health_check", at=("pools", name, "retry", "mark_down")))
    if faults:
        raise Faults(faults)


def _loops(listeners: "Mapping[str, Listener]", pools: "Mapping[str, Pool]") -> list[Fault]:
    """Listeners that are backends of their own pool: one client would be passed round until nothing is left.

    HTTP is told by `Via` (508), and may be.
    """
    return [
        Fault(f"is listener {name} itself", "write where the server is", at=("pools", listener.pool, "backends", at))
        for name, listener in listeners.items()
        if (listener.protocol or HTTP) != HTTP and listener.pool in pools
        for at, backend in enumerate(pools[listener.pool].backends)
        if _same(listener.bind, backend.address)
    ]


def _same(bind: tuple[str, int] | str, address: tuple[str, int] | str | None) -> bool:
    """Whether who connects there comes to who listens here. None: of a backend that is started here."""
    if address is None or isinstance(bind, str) or isinstance(address, str):
        return bind == address
    return bind[1] == address[1] and (bind[0] == address[0] or (bind[0] in _EVERYWHERE and address[0] in _HERE))


def _unread(pool: "Pool", spoken: set[str]) -> list[tuple[str, ...]]:
    """The keys of a pool that nobody reads, none of whose listeners speaks http."""
    found: list[tuple[str, ...]] = [
        (pool.alias_of(name),) for name in type(pool).model_fields if name in _HTTP_ALONE & pool.model_fields_set
    ]
    if "policy" in pool.model_fields_set and pool.policy.key not in (None, CLIENT):
        found.append(("policy", "key"))
    if "policy" in pool.model_fields_set and pool.policy.spec().probe.path is not None:
        found.append(("policy", "probe", "path"))  # what is sent there is HTTP
    read = {"retry": _retry_read(spoken), "timeouts": _timeouts_read(spoken)}
    for key, part, fields in [(key, getattr(pool, key), fields) for key, fields in read.items()]:
        if key in pool.model_fields_set:
            idle = part.model_fields_set - fields
            found += [(key, part.alias_of(name)) for name in type(part).model_fields if name in idle]
    return found


def _retry_read(spoken: Collection[str]) -> frozenset[str]:
    return _OF_RETRY - _BUDGET if TASK in spoken else _OF_RETRY


def _timeouts_read(spoken: Iterable[str]) -> set[str]:
    return set[str]().union(*(_OF_TIMEOUTS[protocol] for protocol in spoken))


def idle_of_pool(pool: PoolSpec) -> set[str]:
    """Fields of a pool that are not shown, as its file may not have them."""
    return set() if HTTP in pool.protocols else set(_HTTP_ALONE)


def idle_of_part(pool: PoolSpec, name: str, fields: Iterable[str]) -> set[str]:
    """The same of its `retry` and `timeouts`."""
    if HTTP in pool.protocols:
        return set()
    return set(fields) - (_retry_read(pool.protocols) if name == "retry" else _timeouts_read(pool.protocols))
