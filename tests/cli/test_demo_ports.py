"""The demo's ports: each that cannot be had is named with its role, and the mend leads to ports that can."""

import errno
import re
import socket
from collections.abc import Iterator

import pytest

from steelyard.cli.demo_ports import free_above, refused, trouble


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock.getsockname()[1]


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_a_free_port_is_not_refused() -> None:
    assert refused(0) is None


def test_a_port_that_listens_on_localhost_by_ipv6_alone_is_taken_too() -> None:
    if not has_ipv6():
        return  # then nobody can take it that way
    with socket.socket(socket.AF_INET6) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(("::1", 0))
        sock.listen()
        assert "taken by another program" in str(refused(sock.getsockname()[1]))


def test_no_trouble_is_none() -> None:
    assert trouble("steelyard", 0, [0, 0, 0]) is None


def test_only_the_option_that_helps_is_offered(taken: int) -> None:
    said = trouble("steelyard", 0, [taken])
    assert said is not None
    assert f"port {taken}, for Server 1: taken by another program" in said
    assert "--port " not in said
    offered = re.search(r"steelyard demo --server-port (\d+)   or: make demo ARGS='--server-port \1'", said)
    assert offered is not None
    assert taken < int(offered[1])


class FakeSocket:
    """Refuses some ports, with an errno each."""

    refusals: dict[int, int]

    def __init__(self, family: int = socket.AF_INET) -> None:
        self.family = family

    def __enter__(self) -> "FakeSocket":
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def setsockopt(self, *option: object) -> None:
        pass

    def bind(self, address: tuple[str, int]) -> None:
        if self.family == socket.AF_INET6:
            raise OSError(errno.EADDRNOTAVAIL, "this machine has no IPv6")
        if (number := self.refusals.get(address[1])) is not None:
            raise OSError(number, "Permission denied")


@pytest.fixture
def refusals(monkeypatch: pytest.MonkeyPatch) -> dict[int, int]:
    FakeSocket.refusals = {}
    monkeypatch.setattr(socket, "socket", FakeSocket)
    return FakeSocket.refusals


def test_what_else_the_system_says_is_passed_on(refusals: dict[int, int]) -> None:
    refusals[80] = errno.EACCES
    assert "cannot be listened on (Permission denied)" == refused(80)
    assert refused(81) is None, "a machine without IPv6 has no trouble with it"


def test_free_ports_are_in_a_row_above_and_nobody_elses(refusals: dict[int, int]) -> None:
    refusals.update(dict.fromkeys([8004, 8008], errno.EADDRINUSE))
    assert 8009 == free_above(8002, 3, {8006})
    assert 1024 == free_above(80, 1, set()), "no port that needs rights"


def test_without_free_ports_above_any_will_do(refusals: dict[int, int]) -> None:
    assert 0 == free_above(65534, 3, set())


def test_all_trouble_is_said_with_one_mend(refusals: dict[int, int]) -> None:
    refusals.update(dict.fromkeys([8080, 8000, 8002], errno.EADDRINUSE))
    said = trouble("steelyard", 8080, [8000, 8001, 8002])
    assert [
        "port 8080, for the balancer: taken by another program (ss -ltnp 'sport = :8080' shows it)",
        "port 8000, for Server 1: taken by another program (ss -ltnp 'sport = :8000' shows it)",
        "port 8002, for Server 3: taken by another program (ss -ltnp 'sport = :8002' shows it)",
        "Move the demo: steelyard demo --port 8081 --server-port 8003"
        "   or: make demo ARGS='--port 8081 --server-port 8003'",
    ] == str(said).splitlines()
