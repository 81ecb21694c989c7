"""How listening sockets are made: one or many on an address, a unix one over a stale file, and what is said if not."""

import errno
import os
import select
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from steelyard.core.spec import ListenerSpec
from steelyard.errors import ListenError
from steelyard.proxy import bind as module
from steelyard.proxy.bind import Address, SocketFile, address_of, bind, more
from tests.real.datagrams import unused_port


def a_spec(host: str = "127.0.0.1", port: int = 0) -> ListenerSpec:
    return ListenerSpec("web", host, port, (), backlog=7)


def on_path(path: Path) -> ListenerSpec:
    return ListenerSpec("web", "", 0, (), backlog=7, path=str(path))


def refused(spec: ListenerSpec, share: int = 1) -> str:
    """What is said when it cannot be bound."""
    with pytest.raises(ListenError) as failed:
        bind(spec, share)
    assert "web" == failed.value.listener
    assert str(failed.value) == f"listeners.web.bind: {failed.value.what}"
    return failed.value.what


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    """Closes what a test enters into it."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def taken() -> Iterator[int]:
    """A port of 127.0.0.1 that somebody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock.getsockname()[1]


@pytest.mark.parametrize(("host", "text"), [("127.0.0.1", "127.0.0.1:80"), ("::1", "[::1]:80"), ("name", "name:80")])
def test_an_address_is_written_so_that_it_can_be_read_again(host: str, text: str) -> None:
    assert text == str(Address(host, 80))


def test_port_0_is_a_free_port() -> None:
    with bind(a_spec())[0] as sock:
        host, port = sock.getsockname()
        assert ("127.0.0.1", True) == (host, port > 0)
        assert not sock.getblocking()
        assert 1 == sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        assert 1 == sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


@pytest.mark.parametrize(("host", "only"), [("::", 0), ("::1", 1)])
def test_all_addresses_of_ipv6_are_all_of_ipv4_too_and_a_single_one_is_not(host: str, only: int) -> None:
    if not socket.has_ipv6:
        pytest.skip("needs IPv6")
    with bind(a_spec(host))[0] as sock:
        assert only == sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


def test_a_port_in_use_is_said_with_the_mend(taken: int) -> None:
    with pytest.raises(ListenError) as failed:
        bind(a_spec(port=taken))
    assert str(failed.value).startswith(f"listeners.web.bind: 127.0.0.1:{taken}: the port is in use; ")
    assert f"sport = :{taken}" in str(failed.value)


def test_an_address_of_another_machine_is_said_with_the_mend() -> None:
    with pytest.raises(ListenError, match=r"192\.0\.2\.1:80.*no such address; bind 0\.0\.0\.0"):
        bind(a_spec("192.0.2.1", 80))


def test_a_name_that_is_none_is_said_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(ListenError, match=r"nowhere:80: no such address .*; bind an IP address"):
        bind(a_spec("nowhere", 80))


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.EACCES, "CAP_NET_BIND_SERVICE"), (errno.EMFILE, r"cannot listen \(Too many open files\)")],
)
def test_other_failures_are_said_too_and_leave_no_socket_open(
    monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    closed = []

    class Refusing(socket.socket):
        def bind(self, address: object) -> None:
            raise OSError(number, "Too many open files")

        def close(self) -> None:
            closed.append(self)
            super().close()

    monkeypatch.setattr(socket, "socket", Refusing)
    with pytest.raises(ListenError, match=words):
        bind(a_spec(port=80))
    assert 1 == len(closed)


# Datagrams.


@pytest.mark.parametrize("share", [1, 3])
def test_sockets_of_datagrams_are_bound_and_listen_to_nobody_else_s_port(opened: ExitStack, share: int) -> None:
    port = unused_port()
    spec = replace(a_spec(port=port), protocol="udp")
    socks = [opened.enter_context(sock) for sock in bind(spec, share)]
    assert [socket.SOCK_DGRAM] * share == [sock.type for sock in socks]
    assert [False] * share == [sock.getblocking() for sock in socks]
    assert {0} == {sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) for sock in socks}
    assert f"ss -lunp sport = :{port}" in refused(spec, share)
    opened.enter_context(bind(a_spec(port=port))[0])  # of connections it is another port


def test_one_socket_of_datagrams_becomes_several(opened: ExitStack) -> None:
    (first,) = bind(replace(a_spec(), protocol="udp"))
    opened.enter_context(first)
    second = opened.enter_context(more(first, 7))
    assert (first.getsockname(), socket.SOCK_DGRAM) == (second.getsockname(), second.type)
    clients = [opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(64)]
    for client in clients:
        client.sendto(b"?", first.getsockname())
    heard = [0, 0]
    for at, sock in enumerate((first, second)):
        while select.select([sock], [], [], 0)[0]:
            sock.recv(10)
            heard[at] += 1
    assert 64 == sum(heard)
    assert all(heard)


# For several workers.


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_share_is_so_many_sockets_on_one_free_port(opened: ExitStack, host: str) -> None:
    socks = [opened.enter_context(sock) for sock in bind(a_spec(host), 3)]
    assert 3 == len({sock.fileno() for sock in socks})
    assert 1 == len({address_of(sock) for sock in socks})
    assert 0 < address_of(socks[0]).port
    for option in (socket.SO_REUSEPORT, socket.SO_ACCEPTCONN):
        assert [1, 1, 1] == [sock.getsockopt(socket.SOL_SOCKET, option) for sock in socks]
    assert [False] * 3 == [sock.getblocking() for sock in socks]


def test_one_socket_alone_is_not_shared(opened: ExitStack) -> None:
    sock = opened.enter_context(bind(a_spec())[0])
    assert 0 == sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)


def test_a_port_that_another_balancer_shares_is_in_use_all_the_same(opened: ExitStack) -> None:
    """Both would ask to share it, and both are of the same user: the kernel alone would say yes."""
    socks = [opened.enter_context(sock) for sock in bind(a_spec(), 2)]
    port = address_of(socks[0]).port
    for share in (1, 2):
        assert refused(a_spec(port=port), share).startswith(f"127.0.0.1:{port}: the port is in use; ")


def test_where_one_of_the_share_cannot_be_had_none_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[socket.socket] = []

    class Third(socket.socket):
        def bind(self, address: object) -> None:
            made.append(self)
            if len(made) == 3:  # the first only asks whether the port is free
                raise OSError(errno.EADDRINUSE, "Address already in use")
            super().bind(address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "socket", Third)
    assert "the port is in use" in refused(a_spec(), 4)
    assert [-1, -1, -1] == [sock.fileno() for sock in made]


@pytest.mark.parametrize("share", [1, 2])
def test_one_more_takes_its_share_of_the_connections(opened: ExitStack, share: int) -> None:
    """Also beside one that was meant to be alone."""
    socks = [opened.enter_context(sock) for sock in bind(replace(a_spec(), backlog=64), share)]
    socks.append(opened.enter_context(more(socks[0], 64)))
    address = address_of(socks[0])
    assert {address} == {address_of(sock) for sock in socks}
    for _ in range(64):  # one of three gets none once in 10 to the power of 11 runs
        opened.enter_context(socket.create_connection((address.host, address.port)))
    assert all(len(accepted(sock, opened)) for sock in socks)


def accepted(sock: socket.socket, opened: ExitStack) -> list[socket.socket]:
    """What waits at the socket. Connections of loopback are there when `connect` returns."""
    found: list[socket.socket] = []
    while True:
        try:
            found.append(opened.enter_context(sock.accept()[0]))
        except BlockingIOError:
            return found


def test_one_more_is_of_the_same_kind(opened: ExitStack) -> None:
    for host, only in (("::", 0), ("::1", 1)):
        first = opened.enter_context(bind(a_spec(host))[0])
        one = opened.enter_context(more(first, 7))
        assert only == one.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        assert (False, 1) == (one.getblocking(), one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


# On a path.


@pytest.mark.parametrize("share", [1, 3])
def test_a_unix_socket_is_one_for_all(opened: ExitStack, tmp_path: Path, share: int) -> None:
    path = tmp_path / "lb.sock"
    (sock,) = bind(on_path(path), share)
    opened.enter_context(sock)
    assert Address("", 0, str(path)) == address_of(sock)
    assert f"unix:{path}" == str(address_of(sock))
    assert (False, 1) == (sock.getblocking(), sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o755), (0o007, 0o770)])
def test_the_umask_says_who_may_connect(opened: ExitStack, tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        opened.enter_context(bind(on_path(tmp_path / "lb.sock"))[0])
    finally:
        os.umask(before)
    assert mode == stat.S_IMODE((tmp_path / "lb.sock").stat().st_mode)


def test_the_file_of_a_program_that_is_gone_is_no_hindrance(opened: ExitStack, tmp_path: Path) -> None:
    for _ in range(2):
        bind(on_path(tmp_path / "lb.sock"))[0].close()
    opened.enter_context(bind(on_path(tmp_path / "lb.sock"))[0])


@pytest.mark.parametrize("waiting", [0, 8])
def test_a_unix_socket_in_use_is_said_with_the_mend(opened: ExitStack, tmp_path: Path, waiting: int) -> None:
    """Also where so many wait for it that one more would have to wait as well."""
    path = tmp_path / "lb.sock"
    opened.enter_context(bind(on_path(path))[0])
    for _ in range(waiting):
        client = opened.enter_context(socket.socket(socket.AF_UNIX))
        client.connect(str(path))
    assert f"unix:{path}: the socket is in use; stop the other program (`ss -lxp` shows it) or bind another path" == (
        refused(on_path(path))
    )
    assert path.is_socket()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "lb.sock"
    path.write_text("letters")
    said = f"unix:{path}: there is a file at this path that is no socket; take it away, or bind another path"
    assert said == refused(on_path(path))
    assert "letters" == path.read_text()


@pytest.mark.parametrize(
    ("name", "words"),
    [("no/lb.sock", "there is no directory {}/no; make it"), ("file/lb.sock", "there is no directory {}/file; ")],
)
def test_a_directory_that_is_missing_is_named(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "file").touch()
    assert words.format(tmp_path) in refused(on_path(tmp_path / name))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            PermissionError(errno.EACCES, "Permission denied"),
            "this user may not (Permission denied); let it write to {}",
        ),
        (OSError(errno.ENOSPC, "No space left"), "cannot listen (No space left)"),
        (OSError("AF_UNIX path too long"), "cannot listen (AF_UNIX path too long)"),
    ],
)
def test_other_failures_of_a_path_are_said_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: OSError, words: str
) -> None:
    made: list[socket.socket] = []

    class Refusing(socket.socket):
        def bind(self, address: object) -> None:
            made.append(self)
            raise error

    monkeypatch.setattr(socket, "socket", Refusing)
    assert words.format(tmp_path) in refused(on_path(tmp_path / "lb.sock"))
    assert [-1] == [sock.fileno() for sock in made]


@pytest.mark.parametrize("spec", [a_spec(), on_path(Path("/lb.sock"))])
def test_a_socket_that_does_not_listen_is_closed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, spec: ListenerSpec
) -> None:
    made: list[socket.socket] = []

    class Mute(socket.socket):
        def listen(self, backlog: int = 0) -> None:
            made.append(self)
            raise OSError(errno.ENOBUFS, "No buffer space")

    monkeypatch.setattr(socket, "socket", Mute)
    monkeypatch.chdir(tmp_path)
    spec = spec if spec.path is None else on_path(tmp_path / "lb.sock")
    assert "cannot listen (No buffer space)" in refused(spec)
    assert [-1] == [sock.fileno() for sock in made]


def test_the_file_is_removed_by_who_made_it_unless_it_is_another_one_s_by_now(
    opened: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lb.sock"
    opened.enter_context(bind(on_path(path))[0])
    file = SocketFile(str(path))
    other = tmp_path / "other.sock"
    opened.enter_context(bind(on_path(other))[0])
    kept = path.rename(tmp_path / "kept.sock")
    file.remove()
    other.rename(path)
    file.remove()
    assert path.is_socket()
    path.unlink()
    kept.rename(path)
    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", lambda _: os.rmdir(tmp_path / "not there"))
        file.remove()  # what cannot be removed stays, and stops nobody
    assert path.is_socket()
    file.remove()
    assert not path.exists()
    file.remove()


def test_a_file_that_was_never_there_is_not_removed(tmp_path: Path) -> None:
    file = SocketFile(str(tmp_path / "lb.sock"))
    (tmp_path / "lb.sock").touch()
    file.remove()
    assert (tmp_path / "lb.sock").exists()


def test_no_event_loop_is_loaded_for_it_and_nothing_else_of_ours() -> None:
    """The process that holds the sockets loads this, and is to stay small."""
    said = "import sys; import steelyard.proxy.bind; print(*sorted(m for m in sys.modules if m.startswith(WORDS)))"
    code = f"WORDS = ('steelyard', 'asyncio', 'pydantic'); {said}"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    rooms = [
        "steelyard",
        "steelyard.core",
        "steelyard.core.spec",
        "steelyard.errors",
        "steelyard.proxy",
        module.__name__,
    ]
    assert sorted(rooms) == result.stdout.split()
