"""Keys that are not read for something else that their part says: they would be written in vain, and are refused.

`rules` says so of a file, and what is shown or compared of a configuration (effective.py, changes.py) leaves them out.
What is turned off by a word of its own (`budget: off`, `tries: 1`, `queue: off`) may keep the keys that shape it: who
turns it off in a hurry should be able to turn it on again.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from steelyard.control.fault import Fault, Faults
from steelyard.core.spec import BreakerSpec, HealthCheckSpec, LocalSpec

if TYPE_CHECKING:
    from steelyard.control.models import Listener, Pool


def unread_keys(part: Any) -> set[str]:
    """Fields that a part does not read, and that the file therefore may not have."""
    if isinstance(part, HealthCheckSpec):
        return set() if part.kind == "http" else {"path", "expect"}
    if isinstance(part, LocalSpec):
        return set() if part.run is None else {"task_timeout_s", "max_body_bytes"}
    return set(_reasons(part))


def faults(part: Any, given: Mapping[str, str]) -> list[Fault]:
    """One for each of these keys that the part does not read. given: field -> key of what the file has."""
    found = _reasons(part)
    return [Fault(*found[field], at=(key,)) for field, key in given.items() if field in found]


def priorities_are_read(listeners: "Mapping[str, Listener]", pools: "Mapping[str, Pool]") -> None:
    """Who has a priority may have to wait: its pool has a queue."""
    faults: list[Fault] = []
    for name, listener in listeners.items():
        for at, route in enumerate(listener.routes or ()):
            pool = pools.get(route.pool or "")
            if "priority" not in route.model_fields_set or (pool is not None and "queue" in pool.model_fields_set):
                continue
            where = ("listeners", name, "routes", at, "priority")
            if route.pool is None:
                faults.append(Fault("is not read with respond, which nobody waits for", "take it out", at=where))
            elif pool is not None:
                message = f"is read where requests wait, and pool {route.pool} has no queue"
                faults.append(Fault(message, "add a queue to the pool, or take it out", at=where))
    if faults:
        raise Faults(faults)


def _reasons(part: Any) -> dict[str, tuple[str, str]]:
    """Field -> why it is not read, and what to do about it."""
    if not isinstance(part, BreakerSpec) or part.slow_call_s is not None:
        return {}
    found = {"slow_rate": ("is not read without slow_call", "add slow_call: 2s")}
    if part.error_rate is None:
        no_shares = "is not read without error_rate or slow_call", "take it out"
        found |= dict.fromkeys(("min_requests", "window_s"), no_shares)
    return found
