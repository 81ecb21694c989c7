"""Sockets are bound once and dealt out: every queue of connections has a worker, and outlives workers and programs."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from steelyard.core.spec import ListenerSpec
from steelyard.errors import ListenError
from steelyard.processes import sockets as module
from steelyard.processes.sockets import INHERITED, Sockets, words_of
from tests.real.datagrams import unused_port

HOST = "127.0.0.1"
pytestmark = pytest.mark.real


def listener(name: str = "web", port: int = 0, path: str | None = None, protocol: str = "http") -> dict[str, Any]:
    host = HOST if path is None else ""
    return words_of(ListenerSpec(name, host, port, (), path=path, protocol=protocol))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Sockets]]:
    """All that a test has made; their sockets are closed after it."""
    found: list[Sockets] = []
    monkeypatch.delenv(INHERITED, raising=False)
    yield found
    for one in found:
        one.close(files_too=True)
        for sock in [sock for held in one.inherited.values() for sock in held] + list(one.activated.values()):
            sock.close()


@pytest.fixture
def sockets(made: list[Sockets]) -> Sockets:
    made.append(Sockets())
    return made[0]


def successor(before: Sockets, made: list[Sockets], monkeypatch: pytest.MonkeyPatch) -> Sockets:
    """The Sockets of a program that was started on those of the one before."""
    environ, descriptors = before.hand_over()
    handed = json.loads(environ[INHERITED])
    assert sorted(descriptors) == sorted(fd for fds, *_ in handed.values() for fd in fds)
    doubled = {key: [[os.dup(fd) for fd in fds], *rest] for key, (fds, *rest) in handed.items()}
    monkeypatch.setenv(INHERITED, json.dumps(doubled))  # a process of its own would have the same numbers
    made.append(Sockets())
    assert INHERITED not in os.environ
    return made[-1]


def port_of(sockets: Sockets, key: str) -> int:
    return int(sockets.addresses()[key].rpartition(":")[2])


def listens(where: int | str) -> bool:
    with socket.socket(socket.AF_UNIX if isinstance(where, str) else socket.AF_INET) as caller:
        return caller.connect_ex(where if isinstance(where, str) else (HOST, where)) == 0


def dealt(sockets: Sockets, workers: int) -> list[list[int]]:
    """The descriptors of each worker."""
    return [[sock.fileno() for _, sock in sockets.of(worker, workers)] for worker in range(workers)]


KEY = f"web={HOST}:0"


def test_each_worker_has_a_socket_of_its_own_on_the_same_port(sockets: Sockets) -> None:
    sockets.bind([listener(), listener("api")], 3)
    assert {KEY, f"api={HOST}:0"} == sockets.keys()
    ports = [{sock.getsockname()[1] for sock in held} for held in sockets.held.values()]
    assert [1, 1] == [len(of_one) for of_one in ports]
    assert 6 == len({fd for of_one in dealt(sockets, 3) for fd in of_one})
    assert [2, 2, 2] == [len(of_one) for of_one in dealt(sockets, 3)]


def test_a_connection_that_waits_for_a_dead_worker_waits_for_its_successor(sockets: Sockets) -> None:
    sockets.bind([listener()], 2)
    callers = [socket.create_connection((HOST, port_of(sockets, KEY))) for _ in range(20)]
    accepted = 0
    for worker in range(2):
        ((_, sock),) = sockets.of(worker, 2)
        with sock.dup() as at_its_successor:
            at_its_successor.setblocking(False)
            try:
                while True:
                    at_its_successor.accept()[0].close()
                    accepted += 1
            except BlockingIOError:
                pass
    for caller in callers:
        caller.close()
    assert 20 == accepted


def test_what_is_bound_already_stays_as_it_is(sockets: Sockets) -> None:
    sockets.bind([listener()], 2)
    sockets.keep([listener()])
    before = dealt(sockets, 2)
    sockets.bind([listener(), listener("api")], 2)
    assert before == [of_one[:1] for of_one in dealt(sockets, 2)]


def test_a_new_worker_has_what_is_in_force_and_not_what_is_only_prepared(sockets: Sockets) -> None:
    sockets.bind([listener()], 1)
    sockets.keep([listener()])
    sockets.bind([listener(), listener("api")], 1)
    assert [KEY] == [key for key, _ in sockets.of(0, 1, new=False)]
    assert [KEY, f"api={HOST}:0"] == [key for key, _ in sockets.of(0, 1)]


def test_what_is_not_wanted_any_more_is_closed(sockets: Sockets) -> None:
    sockets.bind([listener(), listener("api")], 2)
    port = port_of(sockets, KEY)
    sockets.keep([listener("api")])
    assert ({f"api={HOST}:0"}, False) == (sockets.keys(), listens(port))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_port_from_which_sessions_of_our_own_answer_yet_can_be_had_again_but_not_a_strangers(
    sockets: Sockets, workers: int
) -> None:
    port = unused_port()
    words = listener(port=port, protocol="udp")
    for _ in range(2):
        sockets.bind([words], workers)
        going_on = [sock.dup() for number in range(workers) for _, sock in sockets.of(number, workers)]
        sockets.keep([])
        sockets.bind([words], workers)
        assert [port] * workers == [sock.getsockname()[1] for sock in sockets.held[f"udp:{HOST}:{port}"]]
        for sock in going_on:
            sock.close()
        sockets.keep([])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # as another balancer's would be
        stranger.bind((HOST, port))
        with pytest.raises(ListenError, match="the port is in use; stop the other program"):
            sockets.bind([words], workers)


def test_what_is_new_can_be_forgotten_and_the_rest_stays(sockets: Sockets) -> None:
    sockets.bind([listener()], 2)
    sockets.keep([listener()])
    sockets.bind([listener(), listener("api")], 2)
    ports = [port_of(sockets, KEY), port_of(sockets, f"api={HOST}:0")]
    sockets.forget_new()
    assert ({KEY}, [True, False]) == (sockets.keys(), [listens(port) for port in ports])


def test_where_one_cannot_be_had_those_that_were_new_are_gone_again(sockets: Sockets, tmp_path: Path) -> None:
    path = str(tmp_path / "a.sock")
    with socket.create_server((HOST, 0)) as taken:
        wanted = [listener(), listener("u", path=path), listener("taken", taken.getsockname()[1])]
        with pytest.raises(ListenError, match="in use"):
            sockets.bind(wanted, 2)
    assert (set(), False) == (sockets.keys(), os.path.exists(path))


def test_all_workers_accept_at_the_one_unix_socket(sockets: Sockets, tmp_path: Path) -> None:
    path = str(tmp_path / "a.sock")
    sockets.bind([listener(path=path)], 3)
    assert 1 == len({tuple(of_one) for of_one in dealt(sockets, 3)})
    sockets.keep([])
    assert not os.path.exists(path)


@pytest.mark.parametrize("files_too", [True, False])
def test_the_file_of_a_unix_socket_goes_unless_somebody_goes_on_with_it(
    files_too: bool, sockets: Sockets, tmp_path: Path
) -> None:
    path = str(tmp_path / "a.sock")
    sockets.bind([listener(path=path), listener()], 1)
    port = port_of(sockets, KEY)
    sockets.close(files_too)
    assert (files_too, False) == (not os.path.exists(path), listens(port))


# A new program on our sockets.


def test_a_successor_has_the_same_sockets(
    sockets: Sockets, made: list[Sockets], monkeypatch: pytest.MonkeyPatch
) -> None:
    sockets.bind([listener()], 2)
    port = port_of(sockets, KEY)
    after = successor(sockets, made, monkeypatch)
    after.bind([listener()], 2)
    after.keep([listener()])
    sockets.close(files_too=False)
    assert (port, True, 2) == (port_of(after, KEY), listens(port), len(after.held[KEY]))


def test_with_more_workers_it_makes_the_others(
    sockets: Sockets, made: list[Sockets], monkeypatch: pytest.MonkeyPatch
) -> None:
    sockets.bind([listener()], 1)
    after = successor(sockets, made, monkeypatch)
    after.bind([listener()], 3)
    assert {port_of(sockets, KEY)} == {sock.getsockname()[1] for sock in after.held[KEY]}
    assert 3 == len({fd for of_one in dealt(after, 3) for fd in of_one})


def test_with_fewer_workers_nobodys_queue_is_orphaned(
    sockets: Sockets, made: list[Sockets], monkeypatch: pytest.MonkeyPatch
) -> None:
    sockets.bind([listener()], 5)
    after = successor(sockets, made, monkeypatch)
    after.bind([listener()], 2)
    assert [3, 2] == [len(of_one) for of_one in dealt(after, 2)]
    assert 5 == len({fd for of_one in dealt(after, 2) for fd in of_one})


def test_what_its_configuration_does_not_have_is_closed_when_it_serves(
    sockets: Sockets, made: list[Sockets], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = str(tmp_path / "a.sock")
    sockets.bind([listener(), listener("api"), listener("u", path=path)], 1)
    after = successor(sockets, made, monkeypatch)
    after.bind([listener()], 1)
    after.keep([listener()])
    sockets.close(files_too=False)
    assert ({KEY}, {}, False) == (after.keys(), after.inherited, os.path.exists(path))


def test_one_that_does_not_come_up_leaves_the_file_of_our_unix_socket(
    sockets: Sockets, made: list[Sockets], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = str(tmp_path / "a.sock")
    sockets.bind([listener("u", path=path)], 1)
    sockets.keep([listener("u", path=path)])
    with socket.create_server((HOST, 0)) as taken:
        wanted = [listener("u", path=path), listener("taken", taken.getsockname()[1])]
        refused = successor(sockets, made, monkeypatch)
        with pytest.raises(ListenError, match="in use"):
            refused.bind(wanted, 1)
    stopped = successor(sockets, made, monkeypatch)
    stopped.bind(wanted[:1], 1)
    stopped.close(files_too=True)
    assert listens(path)


def test_one_that_serves_removes_the_file_in_the_end(
    sockets: Sockets, made: list[Sockets], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = str(tmp_path / "a.sock")
    sockets.bind([listener(path=path)], 2)
    after = successor(sockets, made, monkeypatch)
    after.bind([listener(path=path)], 2)
    after.keep([listener(path=path)])
    sockets.close(files_too=False)
    assert (True, {1}) == (listens(path), {len(of_one) for of_one in dealt(after, 2)})
    after.close(files_too=True)
    assert not os.path.exists(path)


# Sockets that systemd has bound.


@pytest.fixture
def activated(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, socket.socket]]:
    """By the name that systemd gives each; what a test puts here is handed over when it makes `Sockets`."""
    given: dict[str, socket.socket] = {}
    monkeypatch.setattr(module, "activated", lambda: [(name, os.dup(sock.fileno())) for name, sock in given.items()])
    yield given
    for sock in given.values():
        sock.close()


def systemds(path: str | None = None) -> socket.socket:
    return socket.create_server((HOST, 0)) if path is None else _unix(path)


def _unix(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(path)
    sock.listen()
    return sock


@pytest.mark.parametrize("name", ["web", "balancer.socket", ""])
def test_all_workers_share_one_that_systemd_has_bound(
    name: str, activated: dict[str, socket.socket], made: list[Sockets]
) -> None:
    """Found by the listener's name, or by its address."""
    activated[name] = systemds()
    port = activated[name].getsockname()[1]
    made.append(Sockets())
    made[0].bind([listener("web", port)], 3)
    assert ([port], 1) == (
        [sock.getsockname()[1] for sock in made[0].held[f"{HOST}:{port}"]],
        len({tuple(of_one) for of_one in dealt(made[0], 3)}),
    )
    assert [False] == [sock.getblocking() for _, sock in made[0].of(0, 3)]


def test_each_worker_has_a_socket_of_its_own_beside_systemd_s_for_datagrams(
    activated: dict[str, socket.socket], made: list[Sockets], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One for connections on the same port, in the same unit, is another listener's."""
    datagrams = activated["balancer.socket"] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    port = unused_port()
    datagrams.bind((HOST, port))
    activated["other.socket"] = socket.create_server((HOST, port))
    made.append(Sockets())
    made[0].bind([listener("dns", port, protocol="udp"), listener("web", port)], 2)
    of_udp, of_tcp = made[0].held[f"udp:{HOST}:{port}"], made[0].held[f"{HOST}:{port}"]
    assert ([socket.SOCK_DGRAM] * 2, [socket.SOCK_STREAM]) == ([s.type for s in of_udp], [s.type for s in of_tcp])
    first, second = dealt(made[0], 2)
    assert [of_tcp[0].fileno()] == sorted({*first} & {*second})

    def refuse(*_: object) -> None:
        raise OSError(98, "Address already in use")

    monkeypatch.setattr(module, "more", refuse)
    made.append(Sockets())
    with pytest.raises(ListenError, match=r"no socket for every worker .*ReusePort=yes .*workers: 1"):
        made[1].bind([listener("dns", port, protocol="udp")], 2)


def test_a_port_that_our_own_listener_of_connections_has_is_free_for_datagrams(sockets: Sockets) -> None:
    port = unused_port()
    sockets.bind([listener("web", port)], 2)
    sockets.bind([listener("dns", port, protocol="udp")], 2)
    assert 2 == len(sockets.held[f"udp:{HOST}:{port}"])
    sockets.keep([listener("dns", port, protocol="udp")])
    assert [f"udp:{HOST}:{port}"] == list(sockets.held)


def test_a_listener_of_systemd_s_can_go_and_come_back(activated: dict[str, socket.socket], made: list[Sockets]) -> None:
    activated["web"] = systemds()
    made.append(Sockets())
    for wanted in ([listener()], [], [listener()]):
        made[0].bind(wanted, 2)
        made[0].keep(wanted)
    assert activated["web"].getsockname()[1] == port_of(made[0], KEY)


def test_a_successor_shares_it_too_and_leaves_its_file(
    activated: dict[str, socket.socket], made: list[Sockets], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = str(tmp_path / "a.sock")
    activated["web"], activated["u"] = systemds(), systemds(path)
    wanted = [listener("web", activated["web"].getsockname()[1]), listener("u", path=path)]
    made.append(Sockets())
    made[0].bind(wanted, 2)
    handed_over = successor(made[0], made, monkeypatch)
    for sock in handed_over.activated.values():  # they come to the first program alone
        sock.close()
    handed_over.activated.clear()
    handed_over.bind(wanted, 2)
    handed_over.keep(wanted)
    assert [1, 1] == [len(held) for held in handed_over.held.values()]
    handed_over.close(files_too=True)
    assert listens(path)
