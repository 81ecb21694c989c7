"""Where a running balancer can be spoken to: a unix socket of its own, by which the commands find it.

    $RUNTIME_DIRECTORY, /run/steelyard (root), $XDG_RUNTIME_DIR/steelyard, else /tmp/steelyard-UID

has one socket a running supervisor, called after its process id. The directory is its user's alone (mode 0700), and
that is the whole of the access control: who may look into it may command. What one has left there that was killed is
removed by the next one that starts. Standard library alone.
"""

import logging
import os
import re
import secrets
import socket
import stat
from collections.abc import Mapping
from contextlib import suppress
from errno import EAGAIN, ECONNREFUSED, ENOENT
from pathlib import Path
from typing import Final

from steelyard.errors import SteelyardError

# A process id and what is its; the largest one of Linux has seven digits (proc(5), pid_max).
_OURS: Final = re.compile(r"([1-9]\d{0,6})\.(?:sock|local)", re.ASCII)

_log = logging.getLogger("steelyard")


class NoRuntime(SteelyardError):
    """There is no place for the socket, or no balancer (or more than one) that could be meant; says how to mend it."""


def directory(environ: Mapping[str, str] = os.environ) -> Path:
    """Where this user's sockets are."""
    if given := environ.get("RUNTIME_DIRECTORY"):  # of a systemd unit; there may be several
        return Path(given.partition(":")[0])
    if os.geteuid() == 0:
        return Path("/run/steelyard")
    if given := environ.get("XDG_RUNTIME_DIR"):
        return Path(given, "steelyard")
    return Path(f"/tmp/steelyard-{os.geteuid()}")


def path_of(pid: int) -> Path:
    """The socket of one supervisor."""
    return directory() / f"{pid}.sock"


def place_of_locals(pid: int, user: int | None = None) -> str:
    """A directory for the unix sockets of local backends, which nobody has made yet.

    user: who they are, where that is not this user, who alone may look into the other one: then it is one beside all.
    """
    if user in (None, os.geteuid()) and _is_ours(directory()):
        return str(directory() / f"{pid}.local")
    return f"/tmp/steelyard-{pid}-{secrets.token_hex(8)}"


def listen() -> socket.socket:
    """Our own socket, listening. Raises NoRuntime."""
    place = directory()
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_ours(place):
            raise NoRuntime(f"{place} is not a directory that only this user may write to; remove it, or chmod 700 it")
        _remove_what_is_left(place)
        path = path_of(os.getpid())
        path.unlink(missing_ok=True)  # of one with our number that did not end well
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(str(path))
        path.chmod(0o600)
        sock.listen(16)
    except OSError as exc:
        mend = "name a directory that can be written in XDG_RUNTIME_DIR"
        raise NoRuntime(f"no socket for commands at {place}: {exc.strerror or exc}; {mend}") from exc
    sock.setblocking(False)
    return sock


def listen_if_possible() -> socket.socket | None:
    """The same; where there is no place for it (a container that may write nowhere) that is said, and None."""
    try:
        return listen()
    except NoRuntime as exc:
        _log.warning("%s; signals work all the same", exc)
        return None


def remove() -> None:
    """Take our own socket away."""
    with suppress(OSError):
        path_of(os.getpid()).unlink()


def find(pid: int | None = None) -> int:
    """The supervisor that is meant: this one, or the only one there is. Raises NoRuntime."""
    running = alive()
    if pid is not None:
        if pid not in running:
            raise NoRuntime(f"no balancer of this user has the process id {pid}; running: {_listed(running)}")
        return pid
    if len(running) != 1:
        what = "no balancer of this user is running" if not running else f"several balancers run: {_listed(running)}"
        mend = "start one with steelyard run" if not running else "name one with --pid"
        raise NoRuntime(f"{what} (looked in {directory()}); {mend}")
    return running[0]


def alive() -> list[int]:
    """The process ids of all supervisors of this user whose socket answers."""
    if not _is_ours(directory()):
        return []
    paths = [path for path in directory().glob("*.sock") if _OURS.fullmatch(path.name)]
    return sorted(int(path.stem) for path in paths if _connected(path) in (0, EAGAIN))  # "again": too busy to accept


def _connected(path: Path) -> int:
    """What comes of connecting to this socket: 0, or an error's number; -1 where it cannot even be tried."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
            caller.setblocking(False)
            return caller.connect_ex(str(path))
    except OSError:  # its path is too long, or there is no descriptor
        return -1


def _remove_what_is_left(place: Path) -> None:
    """Remove sockets, and directories of local backends, of balancers that are no more."""
    for name in os.listdir(place):
        if found := _OURS.fullmatch(name):
            with suppress(OSError):  # what cannot be removed is in nobody's way
                _remove_if_left(place / name, int(found[1]))


def _remove_if_left(path: Path, pid: int) -> None:
    """Remove this one, unless its balancer lives. Raises OSError where something of it has to stay."""
    if path.suffix == ".sock":
        if _is_gone(path.parent, pid):
            path.unlink()
        return
    # Opened before it is asked whether that one is gone: whoever takes up its number later makes a directory anew
    # (`listen` removes the old one), and what is removed here is in the old one. Links are not followed.
    opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if _is_gone(path.parent, pid):
            for name in os.listdir(opened):
                os.unlink(name, dir_fd=opened)
            path.rmdir()
    finally:
        os.close(opened)


def _is_gone(place: Path, pid: int) -> bool:
    """Whether the balancer of this number is no more: it has no process, and nobody listens at its socket.

    One that drains after an upgrade has no socket any more, and one in another container no process that we see. Where
    the number is our own, it was another one's.
    """
    if _connected(place / f"{pid}.sock") not in (ECONNREFUSED, ENOENT):
        return False
    if pid == os.getpid():
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


def _is_ours(place: Path) -> bool:
    """Whether it is a directory that nobody else may put something into."""
    try:
        found = place.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022


def _listed(running: list[int]) -> str:
    return ", ".join(map(str, running)) or "none"
