"""Listeners on unix sockets: served like any other, and their files go when they do. curl is the client."""

import asyncio
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from steelyard.core.spec import ListenerSpec
from steelyard.embed import LoadBalancer
from steelyard.errors import ListenError
from steelyard.proxy.bind import bind
from tests.real.backends import backend
from tests.real.programs import interrupt, output, program
from tests.real.support import one_pool, until


def on_path(path: Path, *ports: int) -> dict[str, Any]:
    return one_pool(*ports, listener={"bind": f"unix:{path}"})


async def asked(path: Path, *options: str) -> str:
    """What curl gets: the body, and the status behind it."""
    return await output("curl", "-s", "-w", " %{http_code}\n", "--unix-socket", str(path), *options, "http://site/x")


@pytest.mark.needs("curl")
async def test_requests_come_in_by_a_path(tmp_path: Path) -> None:
    """HTTP/1.1 and 1.0, with a body, kept and not; the file is gone when the balancer is."""
    path = tmp_path / "lb.sock"
    records: list[str] = []
    async with backend() as behind:
        balancer = LoadBalancer(on_path(path, behind.port), on_record=lambda record: records.append(record.client))
        async with balancer:
            assert f"unix:{path}" == str(balancer.address("web"))
            assert "one 200\n" == await asked(path)
            assert "one 200\n" == await asked(path, "--data", "a" * 100_000)
            assert "one 200\n" == await asked(path, "--http1.0", "-H", "Host:")
            assert "one 200\none 200\n" == await asked(path, "http://site/y")
            await until(lambda: len(records) == 5)
        assert not path.exists()
        first, _, nameless, *_ = behind.requests
    assert ("site", "unix:", "unix:") == (first.get("host"), first.get("x-forwarded-for"), first.get("x-real-ip"))
    assert "localhost" == nameless.get("host")
    assert ["unix:"] * 5 == records


async def test_a_path_in_use_is_said_and_the_one_who_has_it_goes_on(tmp_path: Path) -> None:
    """And a stale file, of a balancer that was killed, is no hindrance."""
    path = tmp_path / "lb.sock"
    (stale,) = bind(ListenerSpec("web", "", 0, (), path=str(path)))
    stale.close()
    async with backend() as behind, LoadBalancer(on_path(path, behind.port)):
        with pytest.raises(ListenError, match=r"listeners\.web\.bind: unix:.*/lb\.sock: the socket is in use; "):
            await LoadBalancer(on_path(path, behind.port)).start()
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.close()
        await writer.wait_closed()


async def test_when_another_listener_cannot_be_had_the_file_goes_again(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = on_path(tmp_path / "lb.sock", 1)
        config["listeners"]["other"] = {"bind": f"127.0.0.1:{taken.getsockname()[1]}", "pool": "web"}
        with pytest.raises(ListenError, match=r"listeners\.other\.bind: "):
            await LoadBalancer(config).start()
    assert not (tmp_path / "lb.sock").exists()


async def test_a_program_says_the_path_that_it_listens_on(tmp_path: Path) -> None:
    """`steelyard run --listen unix:/path`."""
    path = tmp_path / "lb.sock"
    async with program(sys.executable, "-m", "steelyard", "run", "127.0.0.1:1", "--listen", f"unix:{path}") as ran:
        await until(lambda: ran.said or ran.process.returncode is not None)
        assert ran.said.startswith(f"listening on unix:{path} -> pool web (round_robin): 127.0.0.1:1\n")
        interrupt(ran)
        assert 0 == await ran.ended()
    assert not path.exists()
