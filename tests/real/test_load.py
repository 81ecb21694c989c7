"""`steelyard run` in front of real web servers, under real load: nothing is lost, whatever dies. docs/cases.md E 55."""

import re
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import pytest

from tests.processes.balancer import wrk
from tests.real.client import HOST, Client
from tests.real.programs import nginx, output, served, steelyard_run, three_nginx
from tests.real.support import ON_UVLOOP, free_ports, until

FILE: Final = """
listeners:
  web: {{bind: "127.0.0.1:0", pool: web}}
pools:
  web:
    backends: [{backends}]
    health_check: {{interval: 200ms, timeout: 200ms}}
"""
# wrk's own limit for an answer, 2 s, says more of a busy machine than of a balancer.
PATIENT: Final = ("--timeout", "60s")
# wrk and ab say nothing of these when there were none.
TROUBLE: Final = re.compile(r"Socket errors.*|Non-2xx.*|Failed requests: +[1-9].*")
# The retry budget is earned by traffic, 20 % of the requests. When each of three servers has had so many, the pool can
# bear 120 retries; a server that dies costs no more than the 64 requests that wrk has in flight.
EARNED: Final = 200

pytestmark = ON_UVLOOP


def written(home: Path, ports: list[int]) -> str:
    path = home / "balancer.yaml"
    path.write_text(FILE.format(backends=", ".join(f"{HOST}:{port}" for port in ports)))
    return str(path)


async def names(port: int, count: int) -> list[str]:
    """Who answered so many requests of one connection."""
    client = await Client.open(port)
    said = []
    for _ in range(count):
        answer = await client.ask()
        assert 200 == answer.status
        said.append(answer.body.decode().strip())
    client.close()
    return said


@pytest.mark.needs("nginx", "curl")
async def test_five_thousand_requests_in_a_row_on_one_connection(tmp_path: Path) -> None:
    """Every one is a 200, though nginx closes each of its connections after 100 requests."""
    async with (
        three_nginx(tmp_path, per_connection=100) as ports,
        steelyard_run(*[f"{HOST}:{port}" for port in ports], "-l", f"{HOST}:0") as (_, port),
    ):
        command = (
            "curl",
            "-s",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code} %{num_connects}\n",
            f"http://{HOST}:{port}/[1-5000]",
        )
        lines = (await output(*command)).split("\n")[:-1]
        assert ["200 1"] + ["200 0"] * 4999 == lines


@pytest.mark.needs("nginx", "wrk")
async def test_64_clients_at_once_get_no_error_and_each_server_its_share(tmp_path: Path) -> None:
    """wrk with keep-alive, then round robin goes on as if nothing had been."""
    async with (
        three_nginx(tmp_path) as ports,
        steelyard_run(*[f"{HOST}:{port}" for port in ports], "-l", f"{HOST}:0") as (ran, port),
    ):
        said = await output("wrk", *PATIENT, "-t1", "-c64", "-d2s", f"http://{HOST}:{port}/")
        assert [] == TROUBLE.findall(said)
        assert {"a": 5, "b": 5, "c": 5} == {
            name: count for name in "abc" if (count := (await names(port, 15)).count(name))
        }
        assert "" == ran.complained


@pytest.mark.needs("nginx", "ab")
@pytest.mark.parametrize("keep", [["-k"], []])
async def test_http_1_0_clients_get_no_error(tmp_path: Path, keep: list[str]) -> None:
    """ab speaks HTTP/1.0, with a connection for each request or with keep-alive."""
    async with (
        three_nginx(tmp_path) as ports,
        steelyard_run(*[f"{HOST}:{port}" for port in ports], "-l", f"{HOST}:0") as (_, port),
    ):
        said = await output("ab", "-q", "-n", "3000", "-c", "16", *keep, f"http://{HOST}:{port}/")
        assert [] == TROUBLE.findall(said)
        assert re.search(r"Complete requests: +3000\n", said)
        kept = re.search(r"Keep-Alive requests: +(\d+)\n", said)
        assert (3000 if keep else None) == (int(kept[1]) if kept else None)


@pytest.mark.needs("nginx", "wrk")
async def test_nobody_notices_that_one_of_three_servers_is_killed(tmp_path: Path) -> None:
    """kill -9 under load: no error, no status but 200; and it gets its share again when it is back."""
    ports = free_ports(3)
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(nginx(tmp_path / name, name, ports[n])) for n, name in enumerate("abc")
        ]
        ran, port = await stack.enter_async_context(steelyard_run("-c", written(tmp_path, ports)))
        async with wrk(port):
            await served(ports[0], EARNED)
            servers[1].kill()
            await until(lambda: f"http://{HOST}:{ports[1]} [down]" in ran.complained)
            assert {"a", "c"} == set(await names(port, 6))
            await stack.enter_async_context(nginx(tmp_path / "again", "b", ports[1]))
            await until(lambda: f"http://{HOST}:{ports[1]} [up]" in ran.complained)
            await served(ports[1], EARNED)
        assert [5, 5, 5] == [(await names(port, 15)).count(name) for name in "abc"]


@pytest.mark.needs("nginx", "wrk")
@pytest.mark.slow
async def test_servers_that_die_in_turn_cost_no_request(tmp_path: Path) -> None:
    """The same, again and again, always with one of three left at least."""
    ports = free_ports(3)
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(nginx(tmp_path / f"{n}", "x", port)) for n, port in enumerate(ports)]
        ran, port = await stack.enter_async_context(steelyard_run("-c", written(tmp_path, ports)))
        async with wrk(port):
            await served(ports[0], EARNED)
            for turn in range(9):
                which = turn % 3
                ups, downs = (ran.complained.count(f":{ports[which]} [{state}]") for state in ("up", "down"))
                servers[which].kill()
                await until(lambda which=which, downs=downs: ran.complained.count(f":{ports[which]} [down]") > downs)  # type: ignore[misc]
                servers[which] = await stack.enter_async_context(nginx(tmp_path / f"{turn}-again", "x", ports[which]))
                await until(lambda which=which, ups=ups: ran.complained.count(f":{ports[which]} [up]") > ups)  # type: ignore[misc]
                await served(ports[which], EARNED)
