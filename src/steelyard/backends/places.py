"""Where each local backend listens, and what its owner is told of it.

A place is found once, right after a configuration was read, and is part of the specification from then on: the workers
dial it, the process is started for it, and a control process that goes on with a snapshot finds it there. The same
process of two configurations (the same pool, command, surroundings and index) keeps its place, and with it its row of
the table.

Ports are taken outside the range that the kernel gives to clients (ip(7), ip_local_port_range): else a client's own
connection might hold the port of a process that is being started anew. Reads /proc, tries to bind, waits for nothing.
"""

import os
import secrets
import socket
import sys
from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2s
from pathlib import Path
from typing import Final

from steelyard.backends.command import INDEX, PORT, SOCKET, filled, place_in, split
from steelyard.backends.wanted import Wanted
from steelyard.core.spec import UDP, BackendSpec, LocalSpec, PoolSpec, Spec
from steelyard.errors import ConfigError, Problem

HOST: Final = "127.0.0.1"
PORT_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
LOWEST_PORT: Final = 15000  # below are those that people choose for themselves
LONGEST_PATH: Final = 107  # bytes; unix(7)
FUNCTION_SERVER: Final = "steelyard.backends.callable_server"


def resolved(spec: Spec, before: Spec, directory: str) -> Spec:
    """The configuration with a place for each local backend. before: the one in force. directory: of unix sockets.

    Raises ConfigError where there is none left.
    """
    if not any(backend.local is not None for pool in spec.pools for backend in pool.backends):
        return spec
    known = {_identity(pool.name, one.local, _udp(pool)): one for pool in before.pools for one in _local(pool)}
    taken = {one.port for one in known.values()}
    pools = []
    for pool in spec.pools:
        udp = _udp(pool)
        backends = []
        for one in pool.backends:
            if one.local is not None:
                was = known.get(_identity(pool.name, one.local, udp))
                host, port, path = (
                    (was.host, was.port, was.path) if was else _place(pool.name, one.local, udp, directory, taken)
                )
                one = replace(one, host=host, port=port, path=path)
            backends.append(one)
        pools.append(replace(pool, backends=tuple(backends)))
    return replace(spec, pools=tuple(pools))


def keys(spec: Spec) -> dict[str, tuple[str, int]]:
    """Of a configuration with places: the key of each local backend -> its pool and where it stands in it."""
    return {
        key_of(pool.name, one, _udp(pool)): (pool.name, at)
        for pool in spec.pools
        for at, one in enumerate(pool.backends)
        if one.local is not None
    }


def key_of(pool: str, backend: BackendSpec, udp: bool) -> str:
    """What makes a local backend the same one through restarts and reloads."""
    assert backend.local is not None, f"{backend.address} is nobody's process"
    return f"{_identity(pool, backend.local, udp)}@{backend.address}"


def entry_of(key: str) -> str:
    """What all processes of one entry of a pool have in common."""
    return key.partition("@")[0].rpartition("/")[0]


def wanted(spec: Spec, beside: str) -> list[Wanted]:
    """What the owner is told of each local backend of a configuration with places. beside: the file's directory."""
    return [_wanted(pool, one, beside) for pool in spec.pools for one in _local(pool)]


def _wanted(pool: PoolSpec, backend: BackendSpec, beside: str) -> Wanted:
    local = backend.local
    assert local is not None, f"{backend.address} is nobody's process"
    directory = os.path.abspath(os.path.join(beside, local.directory or ""))
    values = {PORT: backend.port, SOCKET: backend.path, INDEX: local.index}
    return Wanted(
        key=key_of(pool.name, backend, _udp(pool)),
        name=local.name,
        where=f"{local.where}: {local.at}",
        value=local.command,
        argv=tuple(_argv(local, backend, directory, values)),
        directory=directory,
        environment={name: filled(text, values) for name, text in local.environment},
        host=backend.host,
        port=backend.port,
        path=backend.path,
        protocol=UDP if _udp(pool) else pool.protocol,
        core=local.index if local.cpus is not None else None,
        ready_timeout_s=local.ready_timeout_s,
        stop_timeout_s=local.stop_timeout_s,
    )


def _argv(local: LocalSpec, backend: BackendSpec, directory: str, values: Mapping[str, object]) -> list[str]:
    if local.run is not None:
        return [filled(word, values) for word in split(local.run)]
    limits = [] if local.task_timeout_s is None else ["--task-timeout", f"{local.task_timeout_s:g}"]
    limits += ["--max-body", str(local.max_body_bytes)]
    where = ["--socket", str(backend.path), "--name", local.name, *limits, "--directory", directory]
    return [sys.executable, "-P", "-m", FUNCTION_SERVER, "--function", local.command, *where]


def _local(pool: PoolSpec) -> list[BackendSpec]:
    return [one for one in pool.backends if one.local is not None]


def _udp(pool: PoolSpec) -> bool:
    """Whether datagrams are sent to this pool."""
    return UDP in pool.protocols


def _identity(pool: str, local: LocalSpec | None, udp: bool) -> str:
    """A name for the process: where another command, directory, environment or core would run, it is another one."""
    assert local is not None
    of_function = local.task_timeout_s, local.max_body_bytes
    parts = (local.run, local.function, local.directory, local.environment, local.cpus, of_function, udp)
    return f"{pool}/{blake2s(repr(parts).encode(), digest_size=4).hexdigest()}/{local.index}"


def _place(pool: str, local: LocalSpec, udp: bool, directory: str, taken: set[int]) -> tuple[str, int, str | None]:
    """Host, port and path of a process that is new; the port is added to those that are taken."""
    if local.run is None or place_in(local.run) == SOCKET:
        return "", 0, _path(directory, _identity(pool, local, udp), local)
    port = free_port(udp, taken)
    if port is None:
        message = f"there is no free port for it outside {PORT_RANGE}, where clients have theirs"
        raise ConfigError(
            [Problem(local.where, local.at, message, local.run, "use {socket}, or make that range smaller")]
        )
    taken.add(port)
    return HOST, port, None


def _path(directory: str, identity: str, local: LocalSpec) -> str:
    """`DIRECTORY/POOL-HASH-INDEX`; as much of the pool's name as there is room for."""
    pool, mark, index = identity.rsplit("/", 2)
    rest = f"-{mark}-{index}"
    room = LONGEST_PATH - len(os.fsencode(f"{directory}/{rest}"))
    if room < 0:
        message = f"the path of its socket would be longer than {LONGEST_PATH} bytes in {directory}"
        mend = "name a shorter directory in XDG_RUNTIME_DIR, or use {port}"
        raise ConfigError([Problem(local.where, local.at, message, local.command, mend)])
    return f"{directory}/{pool[:room]}{rest}"


def free_port(udp: bool, taken: set[int], port_range: Path = PORT_RANGE) -> int | None:
    """A port of this machine's own address that nobody has, and that no client will be given; None where none is left.

    The search begins by chance: another balancer that starts at the same time looks elsewhere.
    """
    low, high = map(int, port_range.read_text().split())
    candidates: list[int] = [*range(LOWEST_PORT, low), *range(high + 1, 65536)]
    if not candidates:
        return None
    first = secrets.randbelow(len(candidates))
    for port in candidates[first:] + candidates[:first]:
        if port not in taken and _is_free(port, udp):
            return port
    return None


def _is_free(port: int, udp: bool) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM) as sock:
        if not udp:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: who has left is no hindrance
        try:
            sock.bind((HOST, port))
        except OSError:
            return False
    return True
