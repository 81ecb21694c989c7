"""Whether somebody listens is asked without waiting."""

import errno
import os
import socket
from pathlib import Path

import pytest

from steelyard.backends.knock import LISTENING, UDP_AFTER_S, Knock, is_taken
from tests.backends.fakes import a_wanted
from tests.real.support import free_port

HOST = "127.0.0.1"
pytestmark = pytest.mark.real


def test_a_port_is_asked_until_somebody_listens() -> None:
    port = free_port()
    knock = Knock(a_wanted(port=port))
    assert not knock.answered(1.0)
    with socket.create_server((HOST, port)) as server:
        assert any(knock.answered(1.0) for _ in range(1000))
        server.accept()[0].close()
    knock.close()


def test_a_unix_socket_is_asked_until_somebody_listens(tmp_path: Path) -> None:
    path = str(tmp_path / "sock")
    knock = Knock(a_wanted(path=path, host="", port=0))
    assert not knock.answered(1.0)  # there is none
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        assert not knock.answered(1.0)
        server.listen(0)
        assert all(knock.answered(1.0) for _ in range(10))  # a queue that is full is somebody's, too
    assert not knock.answered(1.0)
    knock.close()


def test_without_a_descriptor_to_ask_with_nobody_is_there_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(socket, "socket", cannot)
    assert not Knock(a_wanted()).answered(1.0)


def test_a_port_for_datagrams_is_bound_or_not() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HOST, 0))
        port = sock.getsockname()[1]
        knock = Knock(a_wanted(port=port, protocol="udp"))
        assert (True, False) == (knock.answered(UDP_AFTER_S), knock.answered(UDP_AFTER_S - 0.01))
    assert not knock.answered(UDP_AFTER_S)


def test_a_kernel_without_ipv6_has_one_list_less(tmp_path: Path) -> None:
    assert not is_taken(1, LISTENING, [tmp_path / "tcp6"])


def test_a_server_that_need_not_bear_a_silent_connection_gets_none() -> None:
    port = free_port()
    knock = Knock(a_wanted(port=port, protocol="task"))
    assert not knock.answered(1.0)
    with socket.create_server((HOST, port)) as server:
        assert knock.answered(1.0)
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
