"""Keys that are not read for something else that their part says: they would be written in vain, and are refused.

`rules` says so of a file, and what is shown or compared of a configuration (effective.py, changes.py) leaves them out.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from steelyard.control.fault import Fault, Faults
from steelyard.core.spec import BreakerSpec, EjectionSpec, HealthCheckSpec, LocalSpec, RetrySpec

if TYPE_CHECKING:
    from steelyard.control.models import Listener, Pool

_OUT = "take it out"


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
            if "priority" not in route.model_fields_set or (pool is not None and pool.queue is not None):
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
    if isinstance(part, BreakerSpec):
        return _of_breaker(part)
    if isinstance(part, EjectionSpec):
        return _of_ejection(part)
    return _of_retry(part) if isinstance(part, RetrySpec) else {}


def _of_breaker(breaker: BreakerSpec) -> dict[str, tuple[str, str]]:
    if breaker.slow_call_s is not None:
        return {}
    found = {"slow_rate": ("is not read without slow_call", "add slow_call: 2s")}
    if breaker.error_rate is None:
        no_shares = "is not read without error_rate or slow_call", _OUT
        found |= dict.fromkeys(("min_requests", "window_s"), no_shares)
    return found


def _of_ejection(ejection: EjectionSpec) -> dict[str, tuple[str, str]]:
    if ejection.deviations is not None:
        return {}
    found = dict.fromkeys(("min_requests", "min_backends"), ("is not read with deviations: off", _OUT))
    if ejection.errors is None:
        found["window_s"] = "is not read with errors: off and deviations: off", _OUT
    return found


def _of_retry(retry: RetrySpec) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    if retry.budget is None:
        found["budget_floor"] = "is not read with budget: off", _OUT
    if retry.same_backend == 0 and retry.tries == 1:
        nothing = "is not read with tries: 1, which repeats nothing", "use tries: 2 or more, or take it out"
        found |= dict.fromkeys(("delay_s", "max_delay_s", "budget", "budget_floor"), nothing)
    elif retry.same_backend == 0 and retry.tries == 2:
        at_once = "is never waited: a second backend is asked at once", "use tries: 3 or more, or take it out"
        found |= dict.fromkeys(("delay_s", "max_delay_s"), at_once)
    return found
