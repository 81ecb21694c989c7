"""Each local backend has a place of its own, which is the same in the next configuration."""

import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from steelyard.backends.places import (
    HOST,
    LONGEST_PATH,
    LOWEST_PORT,
    PORT_RANGE,
    entry_of,
    free_port,
    keys,
    resolved,
    wanted,
)
from steelyard.core.spec import BackendSpec, LocalSpec, PoolSpec, Spec
from steelyard.errors import ConfigError

NOTHING = Spec((), ())
PLACE = "/run/steelyard/1.local"


def entry(processes: int, run: str | None = "serve {port}", **local: Any) -> list[BackendSpec]:
    """What an entry of a pool becomes."""
    return [
        BackendSpec(
            "", 0, local=LocalSpec(run, local.get("function"), i, **{k: v for k, v in local.items() if k != "function"})
        )
        for i in range(processes)
    ]


def a_spec(*backends: BackendSpec, pool: str = "web") -> Spec:
    return Spec((), (PoolSpec(pool, backends),))


def addresses(spec: Spec) -> list[str]:
    return [backend.address for pool in spec.pools for backend in pool.backends]


def test_ports_are_outside_the_range_of_clients_and_no_two_are_the_same() -> None:
    low, high = map(int, PORT_RANGE.read_text().split())
    found = resolved(a_spec(*entry(20)), NOTHING, PLACE).pools[0].backends
    ports = [backend.port for backend in found]
    assert ({HOST}, 20) == ({backend.host for backend in found}, len(set(ports)))
    assert all(LOWEST_PORT <= port < low or port > high for port in ports)


def test_the_same_process_keeps_its_place_whatever_else_changes() -> None:
    first = resolved(a_spec(*entry(2), BackendSpec("localhost", 8000), *entry(1, "other {socket}")), NOTHING, PLACE)
    heavier = [
        replace(backend, weight=3, tier=1) for backend in entry(4, ready_timeout_s=1.0, recycle_after=9, name="x")
    ]
    second = resolved(a_spec(*entry(1, "other {socket}"), *heavier), first, PLACE)
    assert [addresses(first)[3], *addresses(first)[:2]] == addresses(second)[:3]
    assert list(keys(first))[:2] == list(keys(second))[1:3]
    assert 5 == len(set(addresses(second)))


@pytest.mark.parametrize(
    "other",
    [
        {"run": "serve -v {port}"},
        {"directory": "app"},
        {"environment": (("A", "b"),)},
        {"cpus": "auto"},
    ],
)
def test_another_process_gets_another_key(other: dict[str, Any]) -> None:
    first = resolved(a_spec(*entry(1)), NOTHING, PLACE)
    second = resolved(a_spec(*entry(1, **other)), first, PLACE)
    assert keys(first).keys().isdisjoint(keys(second))


def test_a_configuration_without_local_backends_is_as_it_was() -> None:
    spec = a_spec(BackendSpec("localhost", 8000))
    assert spec is resolved(spec, NOTHING, PLACE)
    assert ({}, []) == (keys(spec), wanted(spec, "/etc"))


def test_the_path_of_a_socket_says_whose_it_is() -> None:
    (path,) = [
        backend.path for backend in resolved(a_spec(*entry(1, "serve {socket}")), NOTHING, PLACE).pools[0].backends
    ]
    assert path is not None
    assert path.startswith(f"{PLACE}/web-")
    assert path.endswith("-0")


def test_a_long_path_is_cut_and_one_that_cannot_be_is_refused() -> None:
    spec = a_spec(*entry(2, None, function="a:b", where="app.yaml:7", at="pools.x.backends[0].callable"), pool="x" * 90)
    (first, second) = (backend.path or "" for backend in resolved(spec, NOTHING, PLACE).pools[0].backends)
    assert ([LONGEST_PATH] * 2, True) == ([len(first), len(second)], first != second)
    with pytest.raises(
        ConfigError, match=r"app.yaml:7: pools.x.backends\[0\].callable: the path of its socket would be"
    ):
        resolved(spec, NOTHING, "/" + "y" * 100)


def test_all_processes_of_an_entry_are_known_for_it() -> None:
    found = resolved(a_spec(*entry(2, "serve {socket}"), *entry(1, "other {socket}")), NOTHING, "/a/b@c")
    one, two, three = map(entry_of, keys(found))
    assert (True, True) == (one == two, one != three)


def test_the_owner_is_told_all_it_needs(tmp_path: Path) -> None:
    backends = entry(
        2,
        "serve --port {port} '{index} of 2'",
        directory="app",
        environment=(("WHO", "number {index}"),),
        cpus="auto",
        name="web/1",
        where="app.yaml:7",
        at="pools.web.backends[0].run",
    )
    spec = resolved(a_spec(*backends), NOTHING, PLACE)
    one = wanted(spec, str(tmp_path))[1]
    port = spec.pools[0].backends[1].port
    assert ("serve", "--port", str(port), "1 of 2") == one.argv
    assert (str(tmp_path / "app"), {"WHO": "number 1"}, 1) == (one.directory, one.environment, one.core)
    assert ("web/1", "app.yaml:7: pools.web.backends[0].run", "http") == (one.name, one.where, one.protocol)
    assert f"{HOST}:{port}" == one.address
    assert one == type(one).of(one.words())


def test_a_function_is_served_by_a_program_of_ours(tmp_path: Path) -> None:
    spec = resolved(a_spec(*entry(1, None, function="work:double", name="images/0")), NOTHING, PLACE)
    (one,) = wanted(spec, str(tmp_path))
    words = [sys.executable, "-P", "-m", "steelyard.backends.callable_server", "--function", "work:double"]
    place = [
        "--socket",
        one.path,
        "--name",
        "images/0",
        "--task-timeout",
        "60",
        "--max-body",
        "67108864",
        "--directory",
        str(tmp_path),
    ]
    assert (*words, *place) == one.argv
    assert None is one.core


def test_a_function_without_a_limit_of_time_is_not_given_one() -> None:
    spec = resolved(a_spec(*entry(1, None, function="work:double", task_timeout_s=None)), NOTHING, PLACE)
    assert "--task-timeout" not in wanted(spec, "/")[0].argv


def test_a_port_that_somebody_has_is_not_free(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "range").write_text(f"{LOWEST_PORT}\t{port - 1}\n")  # clients have all below
        assert port != free_port(False, set(), tmp_path / "range")
    (tmp_path / "range").write_text("1\t65535\n")
    assert free_port(False, set(), tmp_path / "range") is None


def test_where_no_port_is_left_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steelyard.backends.places.free_port", lambda udp, taken: None)
    with pytest.raises(ConfigError, match=r"there is no free port .* \(got serve {port}\); use {socket}"):
        resolved(a_spec(*entry(1)), NOTHING, PLACE)
