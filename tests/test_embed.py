"""embed.py: the balancer as an object in somebody's event loop."""

import asyncio
from pathlib import Path

import pytest

from steelyard import LoadBalancer
from steelyard.core.spec import ListenerSpec, RespondSpec, RouteSpec, Spec
from steelyard.errors import ConfigError, ListenError, SteelyardError

TEXT = "listeners: {web: {bind: '127.0.0.1:0', routes: [{respond: {body: OK}}]}}\npools: {}\n"
MAPPING = {"listeners": {"web": {"bind": "127.0.0.1:0", "routes": [{"respond": {"body": "OK"}}]}}, "pools": {}}


async def body_of(lb: LoadBalancer) -> bytes:
    reader, writer = await asyncio.open_connection(lb.address("web").host, lb.address("web").port)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer.partition(b"\r\n\r\n")[2]


async def test_a_mapping_a_file_and_a_specification_run_the_same(tmp_path: Path) -> None:
    file = tmp_path / "lb.yaml"
    file.write_text(TEXT)
    spec = Spec((ListenerSpec("web", "127.0.0.1", 0, (RouteSpec(respond=RespondSpec(body="OK")),)),), ())
    for config in (MAPPING, file, str(file), spec):
        async with LoadBalancer(config) as lb:
            assert b"OK" == await body_of(lb)


def test_a_wrong_configuration_is_said_before_anything_runs() -> None:
    with pytest.raises(ConfigError, match="did you mean listeners"):
        LoadBalancer({"listenres": {}, "pools": {}})


async def test_what_does_not_run_has_no_address() -> None:
    lb = LoadBalancer(MAPPING)
    with pytest.raises(SteelyardError, match="does not run"):
        lb.address("web")
    async with lb:
        with pytest.raises(KeyError):
            lb.address("wbe")
        with pytest.raises(KeyError):
            lb.pool("wbe")
        with pytest.raises(SteelyardError, match="runs already"):
            await lb.start()
    with pytest.raises(SteelyardError, match="does not run"):
        lb.pool("web")


async def test_what_has_happened_is_counted() -> None:
    async with LoadBalancer(MAPPING) as lb:
        await body_of(lb)
        await body_of(lb)
        counted = {name: count for name, count in lb.counters().items() if count}
    assert {"answered": 2} == counted
    with pytest.raises(SteelyardError, match="does not run"):
        lb.counters()


async def test_it_can_be_stopped_twice_and_started_again() -> None:
    lb = LoadBalancer(MAPPING)
    for _ in range(2):
        await lb.start()
        assert b"OK" == await body_of(lb)
        await lb.stop()
        await lb.stop()


async def test_when_one_address_cannot_be_had_none_is_left_listening() -> None:
    async with LoadBalancer(MAPPING) as lb:
        taken = lb.address("web")
        listeners = {
            "free": {**MAPPING["listeners"]["web"]},
            "taken": {**MAPPING["listeners"]["web"], "bind": str(taken)},
        }
        other = LoadBalancer({"listeners": listeners, "pools": {}})
        with pytest.raises(ListenError, match=f"listeners.taken.bind: {taken}: the port is in use"):
            await other.start()
        with pytest.raises(SteelyardError, match="does not run"):
            other.address("free")
        assert b"OK" == await body_of(lb)
