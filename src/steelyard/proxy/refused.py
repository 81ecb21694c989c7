"""What becomes of a datagram that a backend, or our own machine, has refused.

A refusal costs neither side anything and comes at once (ICMP), and a datagram waits for nobody: so another backend is
asked without a pause, also a third one, as far as the pool's retries go.
"""

from errno import EADDRNOTAVAIL, EAGAIN, EMFILE, EMSGSIZE, ENFILE, ENOBUFS, ENOMEM
from typing import Final

from steelyard.core.backend import Backend
from steelyard.errors import NO_FILES, OVERLOADED, Kind
from steelyard.observe.counters import RETRIES_REFUSED, Counters
from steelyard.proxy.call import Call
from steelyard.proxy.connections import PoolConnections

# A datagram that cannot leave us says nothing of the backend: it is too long, or the machine has no room for it now.
LOCAL: Final = (EAGAIN, EMSGSIZE, ENOBUFS, ENOMEM)
# No port for a socket is EAGAIN to Linux.
_NO_SOCKET: Final = {
    EMFILE: NO_FILES,
    ENFILE: NO_FILES,
    ENOBUFS: OVERLOADED,
    ENOMEM: OVERLOADED,
    EAGAIN: OVERLOADED,
    EADDRNOTAVAIL: OVERLOADED,
}


def no_socket(exc: OSError) -> Kind | None:
    """What it is called that our machine has no socket for another backend; None where it is that backend's failure."""
    return _NO_SOCKET.get(exc.errno or 0)


def hold_against(connections: PoolConnections, backend: Backend, detail: str, now: float) -> None:
    """Let the pool know that nobody is there."""
    pool = connections.pool
    changed = pool.connect_failed(backend, now)
    if connections.mark_down:
        changed = pool.mark_down(backend, now) or changed
    if changed:
        connections.on_change(pool, backend, False, detail)


def acquire_other(
    connections: PoolConnections,
    request: Call,
    backend: Backend,
    kind: Kind,
    now: float,
    counters: Counters,
) -> Backend | None:
    """Another backend for a session that this one has refused, acquired; None when there is none to be had."""
    if request.tried is None:
        request.tried = []
    if not request.has_tried(backend):
        request.tried.append(backend)
    request.now = now
    if not connections.pool.has_other(request):
        return None
    if not connections.pool.bears_retry(kind, now):
        counters.add(RETRIES_REFUSED)
        return None
    chosen = connections.pool.acquire(request)
    if not isinstance(chosen, Backend):
        connections.pool.spared_retry(kind)
        return None
    if connections.probes is not None:
        connections.probes.wake(now)
    return chosen
