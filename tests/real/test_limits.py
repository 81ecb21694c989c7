"""Limits at the front door on real sockets: docs/limits.md, and docs/cases.md H 72, D 41."""

import asyncio
import os
import resource
import signal
import socket
from pathlib import Path
from time import monotonic
from typing import Any, Final

import pytest

from tests.processes.balancer import Balancer, balancing, cpu_s, eventually, write
from tests.real.backends import backend, echo_name
from tests.real.client import HOST, PATIENCE_S, Client, request
from tests.real.support import ON_UVLOOP, one_pool, running, until

RATE: Final = 100
BURST: Final = 50
FULL_S: Final = BURST / RATE  # what was saved up for so long is a burst, and more is not
ENOUGH: Final = 300


def limited(*ports: int, **limit: Any) -> dict[str, Any]:
    """One route with a limit of 100/s and a burst of 50 for all clients, and more for its listener."""
    rate_limit = {"rate": f"{RATE}/s", "burst": BURST, "key": "global", **limit}
    return one_pool(*ports, listener={"routes": [{"pool": "web", "rate_limit": rate_limit}]})


class Pressing:
    """Clients that ask all the time, as fast as they are answered, until they were refused ENOUGH times as well.

    at_least_s, at_most_s: what may lie between the first request that is judged and the last one that is refused, or
    that is judged at all. On a quiet machine both are how long it is pressed; what a busy one holds up at its ends is
    no time of the limit's, nor is that in which nobody asked and nothing more could be saved up.
    """

    def __init__(self) -> None:
        self.admitted = 0
        self.refused = 0
        self.others: list[bytes] = []
        self.began = monotonic()
        self.first_answer = self.last_answer = self.last_refused = self.at_least_s = 0.0

    @property
    def at_most_s(self) -> float:
        return self.last_answer - self.began

    async def press(self, port: int, until_s: float) -> None:
        reader, writer = await asyncio.open_connection(HOST, port)
        while (asked := monotonic()) < until_s or (self.refused < ENOUGH and asked < self.began + PATIENCE_S):
            writer.write(request("GET", "/"))
            head = await reader.readuntil(b"\r\n\r\n")
            self.last_answer = monotonic()
            self.first_answer = self.first_answer or self.last_answer
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            status = head[9:12]
            if status == b"200":
                self.admitted += 1
            elif status == b"429" and b"retry-after: 1\r\n" in head.lower():
                self.refused += 1
                since = self.last_refused or self.first_answer
                if asked > since:
                    self.at_least_s += min(asked - since, FULL_S)
                    self.last_refused = asked
                await asyncio.sleep(0.005)
            else:
                self.others.append(head)
        writer.close()


async def press(port: int, seconds: float) -> Pressing:
    """Eight connections that ask far more often than they may, for so long at least."""
    pressing = Pressing()
    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(pressing.press(port, pressing.began + seconds))
    return pressing


@ON_UVLOOP
@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 3])
async def test_under_ten_times_the_load_the_accepted_are_those_of_the_exact_count(tmp_path: Path, workers: int) -> None:
    async with (
        backend(echo_name, "a") as behind,
        balancing(tmp_path, {**limited(behind.port), "workers": workers}) as lb,
    ):
        pressing = await press(lb.port, 3.0)
        assert [] == pressing.others
        least, most = (BURST + RATE * seconds for seconds in (pressing.at_least_s, pressing.at_most_s))
        assert least * 0.98 <= pressing.admitted <= most * 1.02
        assert pressing.refused >= ENOUGH
        (listener,) = (await lb.status())["listeners"].values()
        (limit,) = listener["limits"]
        assert (pressing.refused, 0, "*") == (limit["limited"], limit["over"], limit["route"])


@ON_UVLOOP
async def test_a_reload_keeps_a_limit_and_another_rate_begins_anew(tmp_path: Path) -> None:
    async with (
        backend(echo_name, "a") as behind,
        balancing(tmp_path, {**limited(behind.port, rate="1/h", burst=1), "workers": 2}) as lb,
    ):

        async def status() -> int:
            client = await Client.open(lb.port)
            answer = await client.ask()
            client.close()
            return answer.status

        port = lb.port
        assert [200, 429] == [await status() for _ in range(2)]
        same = {**limited(behind.port, rate="1/h", burst=1), "workers": 2, "drain_timeout": "7s"}
        write(lb.file, same)
        assert (await lb.ask("reload"))["changes"]
        assert (port, 429, 2) == (lb.port, await status(), await count(lb))
        write(lb.file, {**limited(behind.port, rate="2/h", burst=1), "workers": 2})
        assert (await lb.ask("reload"))["changes"]
        assert [200, 429] == [await status() for _ in range(2)]
        assert 1 == await count(lb)


async def count(lb: Balancer) -> int:
    """How many requests were limited."""
    (listener,) = (await lb.status())["listeners"].values()
    return int(listener["limits"][0]["limited"])


@pytest.mark.parametrize("most", [3, 20])
async def test_at_the_limit_the_others_wait_and_nobody_is_refused(most: int) -> None:
    """20: the loop accepts by itself at first."""
    config = one_pool(1, listener={"routes": [{"respond": {}}], "max_connections": most, "backlog": 8})
    async with running(config) as lb:
        worker = lb.balancer._running()
        clients = [await asyncio.open_connection(HOST, lb.port) for _ in range(8 + most)]
        for left in range(len(clients), 0, -1):
            await until(lambda left=left: worker.clients() == min(most, left), f"of {left}")  # type: ignore[misc]
            reader, writer = clients[len(clients) - left]
            writer.write(request("GET", "/", "Connection: close"))
            assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
            writer.close()


@ON_UVLOOP
async def test_places_go_round_among_workers_and_nobody_is_refused(tmp_path: Path) -> None:
    config = one_pool(1, listener={"routes": [{"respond": {}}], "max_connections": 4, "backlog": 64})
    async with balancing(tmp_path, {**config, "workers": 3}) as lb:
        most = 0

        async def one() -> bytes:
            nonlocal most
            reader, writer = await asyncio.open_connection(HOST, lb.port)
            writer.write(request("GET", "/"))
            head = await reader.readuntil(b"\r\n\r\n")
            (listener,) = (await lb.status())["listeners"].values()
            most = max(most, listener["connections"])
            writer.close()
            return head[9:12]

        async with asyncio.timeout(60):
            assert [b"200"] * 40 == await asyncio.gather(*[one() for _ in range(40)])
        assert 0 < most <= 4 + 2  # several that take the last place at once

        async def nobody() -> bool:
            return all(one["connections"] == 0 for one in (await lb.status())["listeners"].values())

        await eventually(nobody, "all connections are closed")


@ON_UVLOOP
async def test_one_client_cannot_have_them_all(tmp_path: Path) -> None:
    config = one_pool(1, listener={"routes": [{"respond": {}}], "max_connections_per_client": 3})
    async with balancing(tmp_path, {**config, "workers": 2}) as lb:
        kept = [await Client.open(lb.port) for _ in range(3)]
        assert [200, 200, 200] == [(await client.ask()).status for client in kept]
        reader, writer = await asyncio.open_connection(HOST, lb.port)
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 429 ")
        assert b"Connection: close\r\n" in answer
        writer.close()
        kept.pop().close()

        async def again() -> bool:
            client = await Client.open(lb.port)
            try:
                return (await client.ask()).status == 200
            except (OSError, EOFError, asyncio.IncompleteReadError):
                return False
            finally:
                client.close()

        await eventually(again, "who leaves makes room")
        for client in kept:
            client.close()


@ON_UVLOOP
async def test_whose_connections_a_workers_death_has_ended_may_open_as_many_again(tmp_path: Path) -> None:
    config = one_pool(1, listener={"routes": [{"respond": {}}], "max_connections_per_client": 3})
    async with balancing(tmp_path, {**config, "workers": 1}) as lb:
        lost = [await Client.open(lb.port) for _ in range(3)]
        assert [200, 200, 200] == [(await client.ask()).status for client in lost]
        (worker,) = await lb.workers()
        os.kill(worker, signal.SIGKILL)

        async def replaced() -> bool:
            return await lb.workers() not in ([], [worker])

        await eventually(replaced, "another worker")
        kept = [await Client.open(lb.port) for _ in range(3)]
        assert [200, 200, 200] == [(await client.ask()).status for client in kept]
        for client in (*lost, *kept):
            client.close()


@ON_UVLOOP
async def test_without_descriptors_clients_wait_and_nothing_spins(tmp_path: Path) -> None:
    config = one_pool(1, listener={"routes": [{"respond": {}}], "max_connections": 50, "backlog": 64})
    async with balancing(tmp_path, {**config, "workers": 1}) as lb:
        (worker,) = await lb.workers()
        hard = resource.prlimit(worker, resource.RLIMIT_NOFILE)[1]
        used = max(int(name) for name in os.listdir(f"/proc/{worker}/fd")) + 1
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (used + 5, hard))
        clients = [await Client.open(lb.port) for _ in range(20)]
        await until(lambda: "out of file descriptors" in lb.program.complained)
        before = cpu_s(worker)
        await asyncio.sleep(1.0)
        assert cpu_s(worker) - before < 0.5
        for client in clients:  # each when its turn has come
            client.send(request("GET", "/", "Connection: close"))
            assert 200 == (await client.answer()).status
            client.close()
        assert 1 == lb.program.complained.count("out of file descriptors")


async def test_a_body_of_a_byte_a_second_is_given_up() -> None:
    async def script(talk: Any) -> None:
        await talk.head()
        await talk.ended()

    async with backend(script) as behind:
        listener = {"timeouts": {"body": "500ms"}, "min_body_rate": "1KiB/s"}
        async with running(one_pool(behind.port, listener=listener)) as lb:
            client = await lb.client()
            client.send(request("POST", "/", "Content-Length: 100000"))
            answered = asyncio.ensure_future(client.answer())
            while not answered.done():
                client.send(b"x")
                await asyncio.wait([answered], timeout=0.1)
            assert 408 == (await answered).status


async def test_who_is_cut_off_for_want_of_room_is_still_in_the_queue_of_the_kernel() -> None:
    """Its connection is open, as far as it knows, and what it asks is answered when its turn comes."""
    config = one_pool(1, listener={"routes": [{"respond": {"body": "hello"}}], "max_connections": 1})
    async with running(config) as lb:
        first = await lb.client()
        assert 200 == (await first.ask()).status
        with socket.create_connection((HOST, lb.port), PATIENCE_S) as waiting:
            waiting.sendall(request("GET", "/"))
            waiting.setblocking(False)
            await asyncio.sleep(0.2)
            with pytest.raises(BlockingIOError):
                waiting.recv(1)
            first.close()
            loop = asyncio.get_running_loop()
            assert (await asyncio.wait_for(loop.sock_recv(waiting, 100), PATIENCE_S)).startswith(b"HTTP/1.1 200 ")
