"""How is a listening socket made? Bound, listening, non-blocking; and what is said when it cannot be had.

Nothing is imported here but the standard library and what has no imports itself: the process that only holds the
sockets for others loads this, and neither an event loop nor anything compiled.

Workers do not share a TCP or UDP socket: each has its own on the same address (SO_REUSEPORT), and the kernel deals new
connections, or clients, out among them. A unix socket knows no such thing: there is one, and all accept on it. The mode
of its file is what the umask leaves (0777 less 022: all may look, only we may connect); a directory of its own says it
better.
"""

import errno
import os
import socket
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from steelyard.core.spec import UDP, ListenerSpec, format_address
from steelyard.errors import ListenError

# Addresses that mean all of the machine's: no name to call a listener by.
WILDCARDS: Final = ("0.0.0.0", "::")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listener can be reached; its text is `host:port` or `unix:/path`.

    path: of a unix socket; the host is then empty and the port 0, as in a ListenerSpec.
    """

    host: str
    port: int
    path: str | None = None

    def __str__(self) -> str:
        return format_address(self.host, self.port, self.path)


def key_of(spec: ListenerSpec) -> str:
    """What makes two listeners of two configurations the same one: the address, whatever they are called.

    Where any free port will do, each name has one of its own. Datagrams have ports of their own.
    """
    address = f"udp:{spec.address}" if spec.protocol == UDP else spec.address
    return f"{spec.name}={address}" if spec.path is None and spec.port == 0 else address


def address_of(sock: socket.socket) -> Address:
    """Where this bound socket can be reached."""
    name = sock.getsockname()
    return Address("", 0, name) if sock.family == socket.AF_UNIX else Address(*name[:2])


def bind(spec: ListenerSpec, share: int = 1, beside: bool = False) -> list[socket.socket]:
    """The listener's sockets, one for each of `share` workers; a unix socket is one for all of them.

    Port 0 is one free port for all. beside: of UDP, our own sockets have the port yet (`let_beside`).
    Raises ListenError, which names the mend; then none is left open.
    """
    try:
        return [_unix_socket(spec, spec.path)] if spec.path is not None else _port_sockets(spec, share, beside)
    except socket.gaierror as exc:
        mend = f"no such address ({exc.strerror}); bind an IP address of this machine"
        raise ListenError(spec.name, f"{spec.address}: {mend}") from exc
    except OSError as exc:
        raise ListenError(spec.name, f"{spec.address}: {_mend(exc, spec)}") from exc


def let_beside(socks: Iterable[socket.socket]) -> set[int]:
    """Let others of ours have the port beside these, from which only answers go out any more. Returns their inodes."""
    inodes = set()
    for sock in socks:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        inodes.add(os.fstat(sock.fileno()).st_ino)
    return inodes


def are_open(inodes: set[int]) -> bool:
    """Whether any process has one of these UDP sockets yet. Source: proc(5), /proc/net/udp."""
    for table in ("udp", "udp6"):
        with suppress(OSError), open(f"/proc/net/{table}", encoding="ascii") as lines:
            next(lines)
            if any(int(line.split()[9]) in inodes for line in lines):
                return True
    return False


def more(sock: socket.socket, backlog: int) -> socket.socket:
    """One more socket on the address of a TCP or UDP socket that `bind` has made. Raises OSError.

    It takes its share of the connections from now on; those that wait at the others already stay theirs. Of UDP the
    clients are dealt out anew: most are another worker's from now on, where they begin a session.
    """
    # The first may have been the only one, and then does not share yet; Linux lets that be changed while it listens.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    v6only = sock.family == socket.AF_INET6 and bool(sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))
    made = _port_socket(sock.type, sock.family, sock.getsockname(), v6only, shared=True)
    return _listening(made, backlog)


def _port_sockets(spec: ListenerSpec, share: int, beside: bool) -> list[socket.socket]:
    wanted = socket.SOCK_DGRAM if spec.protocol == UDP else socket.SOCK_STREAM
    family, kind, _, _, address = socket.getaddrinfo(spec.host, spec.port, type=wanted, flags=socket.AI_PASSIVE)[0]
    v6only = spec.host != "::"  # [::] is every IPv4 address too
    if share == 1 and not beside:
        return [_listening(_port_socket(kind, family, address, v6only, shared=False), spec.backlog)]
    # Whoever shares a port is not told that another balancer of the same user has it: the two would serve by turns.
    # One that does not share is told.
    if not beside:
        _port_socket(kind, family, address, v6only, shared=False).close()
    made: list[socket.socket] = []
    try:
        for _ in range(share):
            sock = _port_socket(kind, family, address, v6only, shared=True)
            made.append(sock)
            _listening(sock, spec.backlog)
            address = sock.getsockname()  # where port 0 was asked for, the others take the one that the first got
    except OSError:
        for sock in made:
            sock.close()
        raise
    return made


def _port_socket(kind: int, family: int, address: object, v6only: bool, shared: bool) -> socket.socket:
    """A bound one, which does not listen yet."""
    sock = socket.socket(family, kind)
    try:
        if kind == socket.SOCK_STREAM:  # of UDP it would let anybody else have the port as well
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
        sock.bind(address)  # type: ignore[arg-type]
    except OSError:
        sock.close()
        raise
    return sock


def _unix_socket(spec: ListenerSpec, path: str) -> socket.socket:
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
    except OSError:
        sock.close()
        raise
    return _listening(sock, spec.backlog)


def _listening(sock: socket.socket, backlog: int) -> socket.socket:
    try:
        sock.setblocking(False)
        if sock.type == socket.SOCK_STREAM:
            sock.listen(backlog)
    except OSError:
        sock.close()
        raise
    return sock


def _remove_stale(path: str) -> None:
    """Remove the socket file of a program that is gone. Raises OSError where what is there is not such a one."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.setblocking(False)  # where the queue of a live one is full, it would make us wait
        try:
            caller.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:
            pass
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), path)


class SocketFile:
    """The file of a unix socket that this process has bound, to be removed by it and by nobody else."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.known = self._identity()

    def remove(self) -> None:
        """Remove it, unless another one stands in its place. While its socket listens still: nobody takes it for stale
        then and puts one of his own there."""
        if self.known is not None and self._identity() == self.known:
            with suppress(OSError):  # one that must stay is stale, and is removed at the next start
                os.unlink(self.path)

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = os.lstat(self.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino


def _mend(exc: OSError, spec: ListenerSpec) -> str:
    if spec.path is not None:
        return _mend_of_path(exc, spec.path)
    if exc.errno == errno.EADDRINUSE:
        shown = f"`ss -l{'u' if spec.protocol == UDP else 't'}np sport = :{spec.port}` shows it"
        return f"the port is in use; stop the other program ({shown}) or bind another one"
    if exc.errno == errno.EACCES:
        mend = "bind 8080, or run `setcap` on the interpreter"
        return f"port {spec.port} needs the capability CAP_NET_BIND_SERVICE; {mend}"
    if exc.errno == errno.EADDRNOTAVAIL:
        return "this machine has no such address; bind 0.0.0.0 for all of them"
    return f"cannot listen ({exc.strerror})"


def _mend_of_path(exc: OSError, path: str) -> str:
    directory = os.path.dirname(path)
    if exc.errno == errno.EADDRINUSE:
        return "the socket is in use; stop the other program (`ss -lxp` shows it) or bind another path"
    if exc.errno == errno.EEXIST:
        return "there is a file at this path that is no socket; take it away, or bind another path"
    if exc.errno in (errno.ENOENT, errno.ENOTDIR):
        return f"there is no directory {directory}; make it, or bind another path"
    if exc.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"this user may not ({exc.strerror}); let it write to {directory}, or bind another path"
    return f"cannot listen ({exc.strerror or exc})"
