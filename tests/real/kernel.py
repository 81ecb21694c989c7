"""What the kernel knows of connections, by /proc/net/tcp: what lies in their buffers, and whose they are."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path


def in_kernel(*ports: int) -> int:
    """Bytes that lie in the buffers of all connections to or from these ports, at either end."""
    total = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, remote, _, queues = line.split()[1:5]
        if {int(local.partition(":")[2], 16), int(remote.partition(":")[2], 16)} & set(ports):
            total += sum(int(size, 16) for size in queues.split(":"))
    return total


def owner(pids: Iterable[int], port: int, client_port: int) -> int:
    """Which of these processes has accepted the connection from a client's port on this one."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if (port, client_port) == tuple(int(end.partition(":")[2], 16) for end in fields[1:3]):
            (pid,) = [pid for pid in pids if f"socket:[{fields[9]}]" in _descriptors(pid)]
            return pid
    raise AssertionError(f"no connection from {client_port} on {port}")


def _descriptors(pid: int) -> Iterator[str]:
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # closed since
            yield str(link.readlink())
