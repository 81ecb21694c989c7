"""The lines that say what serves: where each listener is, and where its requests go; and what came of a reload.

Who started us waits for the first ones on standard output, people and programs alike.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from steelyard.core.spec import BackendSpec, Spec
from steelyard.proxy.bind import key_of

# More names than this on the line that says what is running is a list nobody reads.
SHOWN_BACKENDS: Final = 8


def ready_lines(spec: Spec, addresses: Mapping[str, str]) -> list[str]:
    """One for each listener. addresses: by key, where it can really be reached."""
    lines = []
    for listener in spec.listeners:
        targets = list(dict.fromkeys(route.pool for route in listener.routes if route.pool is not None))
        pools = [pool for pool in spec.pools if pool.name in targets]
        shown = "; ".join(f"pool {pool.name} ({pool.policy.name}): {_shown(pool.backends)}" for pool in pools)
        address = addresses[key_of(listener)]
        where = address if address.startswith("unix:") else f"{listener.protocol}://{address}"
        lines.append(f"listening on {where} -> {shown or 'fixed answers'}")
    return lines


def reload_line(reload: Mapping[str, Any]) -> str:
    """What came of a reload, in a line for people."""
    count = f"{reload['changes']} change{'' if reload['changes'] == 1 else 's'}"
    pause = f"longest pause of a worker {reload['pause_s'] * 1000:.1f} ms"
    return f"configuration {reload['configuration']} is in force ({count}; {pause}) after {reload['took_s']:.2f} s"


def _shown(backends: Sequence[BackendSpec]) -> str:
    more = len(backends) - SHOWN_BACKENDS
    names = [one.address if one.local is None else one.local.name for one in backends[:SHOWN_BACKENDS]]
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")
