"""worker.py: what the parts do together that none does alone. All else is in tests/real."""

import asyncio
import logging
from pathlib import Path
from typing import Any, cast

import pytest

from steelyard import LoadBalancer
from steelyard.control import config
from steelyard.control.ledger import table_bytes
from steelyard.core.guard import Guarded
from steelyard.core.spec import BackendSpec, ListenerSpec, PolicySpec, PoolSpec, RouteSpec, Spec
from steelyard.core.table import Table
from steelyard.errors import ConfigError
from steelyard.observe.accesslog import Record
from steelyard.proxy.listener import Listener
from steelyard.worker import DRAIN_POLL_S, Worker
from tests.control.own import own_policies

ANSWERED = {"listeners": {"web": {"bind": "127.0.0.1:0", "routes": [{"respond": {"body": "hello"}}]}}, "pools": {}}


async def test_a_callback_for_records_that_raises_costs_no_answer() -> None:
    said: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))

    def on_record(record: Record) -> None:
        raise ValueError(record.word)

    async with LoadBalancer(ANSWERED, on_record=on_record) as lb:
        reader, writer = await asyncio.open_connection(lb.address("web").host, lb.address("web").port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nnonsense\r\n\r\n")
        answer = await reader.read()
        writer.close()
    assert b"hello" in answer
    assert b"HTTP/1.1 400 " in answer
    assert ["", "bad_request"] == [str(context["exception"]).replace("-", "") for context in said]


def one_pool(policy: PolicySpec) -> Spec:
    """Made by hand: nobody has loaded what it names."""
    pool = PoolSpec("app", (BackendSpec("127.0.0.1", 1),), policy, health_check=None)
    return Spec((ListenerSpec("web", "127.0.0.1", 0, (RouteSpec(pool="app"),)),), (pool,))


async def test_a_policy_of_one_s_own_is_loaded_watched_and_its_fault_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    with own_policies(tmp_path) as own:
        own.write("worker_own.py", "def pick(request, backends):\n    raise ValueError('100%s')\n")
        async with LoadBalancer(one_pool(PolicySpec("worker_own:pick", fallback="random"))) as lb:
            policy = lb.pool("app").policy
            assert isinstance(policy, Guarded)
            reader, writer = await asyncio.open_connection(lb.address("web").host, lb.address("web").port)
            with caplog.at_level(logging.WARNING, "steelyard"):
                writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                answer = await reader.read()
            writer.close()
    assert b" 502 " in answer.partition(b"\r\n")[0]  # the one backend was asked, by the fallback's choice
    said = "policy worker_own:pick raised ValueError: 100%s; random answers in its place"
    assert said in [record.getMessage() for record in caplog.records]


async def test_a_policy_that_cannot_be_had_is_an_error_before_anything_listens() -> None:
    lb = LoadBalancer(one_pool(PolicySpec("worker_nowhere:pick")))
    with pytest.raises(ConfigError, match=r"pools\.app\.policy\.name: there is no module worker_nowhere"):
        await lb.start()


async def test_a_built_in_policy_is_not_watched() -> None:
    async with LoadBalancer(config.from_arguments(["127.0.0.1:1"], "127.0.0.1:0")) as lb:
        assert not isinstance(lb.pool("web").policy, Guarded)


class Accepting:
    """A listener whose socket had just given a client to the event loop when it was told to stop."""

    def __init__(self) -> None:
        self.now = 0
        self.served = 0
        self.dropped_after: list[int] = []

    def stop_accepting(self) -> None:
        asyncio.get_running_loop().call_soon(self._come)

    def _come(self) -> None:
        self.now = 1
        asyncio.get_running_loop().call_later(2 * DRAIN_POLL_S, self._go)

    def _go(self) -> None:
        self.now, self.served = 0, 1

    def clients(self) -> int:
        return self.now

    def drop(self) -> None:
        self.dropped_after.append(self.served)


async def test_a_drain_waits_for_who_is_accepted_in_its_first_round() -> None:
    """Such a client is not counted yet when the drain begins, and was lost."""
    worker = Worker(Table(bytearray(table_bytes(10, 1)), 10, 1, 0))
    listener = Accepting()
    worker.listeners["web"] = cast(Listener, listener)
    await worker.stop(5.0)
    assert [1] == listener.dropped_after
