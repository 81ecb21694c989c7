"""worker.py: what the parts do together that none does alone. All else is in tests/real."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from steelyard import LoadBalancer
from steelyard.control import config
from steelyard.control.ledger import Ledger, table_bytes, table_rows
from steelyard.core.backend import Backend
from steelyard.core.guard import Guarded
from steelyard.core.policy import Pick
from steelyard.core.pool import Refusal
from steelyard.core.rows import Rows
from steelyard.core.spec import BackendSpec, ListenerSpec, PolicySpec, PoolSpec, RespondSpec, RouteSpec, Spec
from steelyard.core.table import IN_FLIGHT, Table
from steelyard.errors import NONE_UP, ConfigError
from steelyard.observe.accesslog import AccessLog, Record
from steelyard.proxy.bind import bind, key_of
from steelyard.proxy.listener import Listener
from steelyard.worker import DRAIN_POLL_S, Change, Paces, Worker
from tests.control.own import own_policies
from tests.fakes_core import no_chance
from tests.real.support import until

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


async def test_who_is_ejected_is_said_in_one_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    spec = one_pool(PolicySpec())
    backends = (BackendSpec("127.0.0.1", 1), BackendSpec("127.0.0.1", 2))
    async with LoadBalancer(replace(spec, pools=(replace(spec.pools[0], backends=backends),))) as lb:
        pool = lb.pool("app")
        with caplog.at_level(logging.INFO, "steelyard"):
            for _ in range(10):
                request = Pick(lambda n: 0, now=100.0)
                found = cast("Backend", pool.acquire(request))
                pool.release(request, found, found.port == 1, 100.0, 0.1)
    assert ["http://127.0.0.1:1 [ejected for 30 s] (pool app): 5 errors in a row"] == caplog.messages


async def test_a_policy_that_cannot_be_had_is_an_error_before_anything_listens() -> None:
    lb = LoadBalancer(one_pool(PolicySpec("worker_nowhere:pick")))
    with pytest.raises(ConfigError, match=r"pools\.app\.policy\.name: there is no module worker_nowhere"):
        await lb.start()


async def test_a_built_in_policy_is_not_watched() -> None:
    async with LoadBalancer(config.from_arguments(["127.0.0.1:1"], "127.0.0.1:0")) as lb:
        assert not isinstance(lb.pool("web").policy, Guarded)


# Configurations: prepare, switch, abandon.


class Stage:
    """A worker and what a balancer that is embedded does for it."""

    def __init__(self) -> None:
        rows = table_rows(20)
        self.ledger = Ledger(Table(bytearray(Table.size_bytes(rows, 1)), rows))
        self.records: list[Record] = []
        self.worker = Worker(self.ledger.table, self.records.append, recent=4)

    async def prepare(self, spec: Spec) -> Change:
        return await self.worker.prepare(spec, self.ledger.plan(spec))

    async def take(self, spec: Spec) -> Change:
        """Put it into force."""
        change = await self.prepare(spec)
        await self.worker.switch(change, {})
        self.ledger.settle(spec, change.rows)
        return change


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    yield made
    await made.worker.stop(0.0)


def a_spec(*pools: str, listeners: Mapping[str, str] | None = None, **settings: Any) -> Spec:
    """Listeners, each with the pool it leads to (of those, all are there), and what else there is in the file."""
    of_listeners = {"web": pools[0]} if listeners is None else listeners
    return config.from_mapping(
        {
            "listeners": {name: {"bind": "127.0.0.1:0", "pool": pool} for name, pool in of_listeners.items()},
            "pools": {name: {"backends": ["127.0.0.1:1"], "health_check": False} for name in pools},
            **settings,
        }
    )


async def status_of(worker: Worker, listener: str = "web") -> bytes:
    """What an answer there begins with."""
    address = worker.listener(listener).address
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer[9:12]


async def test_what_is_prepared_changes_nothing_until_it_is_switched_to(stage: Stage) -> None:
    await stage.take(a_spec("a"))
    worker = stage.worker
    before = (worker.spec, worker.rows, dict(worker.pools), dict(worker.listeners))
    change = await stage.prepare(a_spec("b", "c", listeners={"other": "b"}))
    assert before == (worker.spec, worker.rows, worker.pools, worker.listeners)
    await worker.switch(change, {})
    assert (["b", "c"], ["other"]) == (
        list(worker.pools),
        [listener.spec.name for listener in worker.listeners.values()],
    )


async def test_a_preparation_that_fails_changes_nothing_and_leaves_no_file_open(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.take(a_spec("a", access_log=str(tmp_path / "log")))
    worker = stage.worker
    before = (worker.spec, worker.access_log, dict(worker.pools))
    opened: list[AccessLog] = []

    class Noted(AccessLog):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            opened.append(self)

    monkeypatch.setattr("steelyard.worker.AccessLog", Noted)
    with pytest.raises(KeyError):  # as a bug would: no rows
        await worker.prepare(a_spec("a", "b", access_log=str(tmp_path / "other")), Rows())
    assert [-1] == [log.fd for log in opened]
    with pytest.raises(ConfigError, match="access_log"):
        await stage.prepare(a_spec("b", access_log="/nowhere/log"))
    assert before == (worker.spec, worker.access_log, worker.pools)
    assert b"502" == await status_of(worker)


async def test_what_is_abandoned_closes_its_log_and_none_that_is_in_force(stage: Stage, tmp_path: Path) -> None:
    await stage.take(a_spec("a", access_log=str(tmp_path / "log")))
    worker = stage.worker
    change = await stage.prepare(a_spec("a", access_log=str(tmp_path / "other")))
    worker.abandon(change)
    assert change.access_log is not None
    assert worker.access_log is not None
    assert (-1, True) == (change.access_log.fd, worker.access_log.fd >= 0)
    worker.abandon(Change(worker.spec, worker.rows, worker.access_log))
    assert worker.access_log.fd >= 0
    worker.abandon(await stage.prepare(a_spec("a")))


async def test_pools_come_stay_and_go(stage: Stage) -> None:
    await stage.take(a_spec("a", "b"))
    worker = stage.worker
    a, b = worker.pools["a"], worker.pools["b"]
    gone = worker.connections["a"]
    change = await stage.take(a_spec("b", "c"))
    assert (["c"], b, ["b", "c"]) == (list(change.drafts), worker.pools["b"], list(worker.pools))
    assert ((), {}) == (a.backends, gone.of_backend)
    assert a is not (await stage.take(a_spec("a"))).pools["a"].pool


async def test_a_pool_that_changes_is_the_same_one_with_another_configuration(stage: Stage) -> None:
    await stage.take(a_spec("a"))
    pool = stage.worker.pools["a"]
    spec = a_spec("a")
    other = replace(spec, pools=(replace(spec.pools[0], max_idle=3, backends=(BackendSpec("127.0.0.2", 1),)),))
    await stage.take(other)
    assert pool is stage.worker.pools["a"]
    assert (3, ["127.0.0.2"]) == (pool.spec.max_idle, [backend.host for backend in pool.backends])


async def test_a_request_to_a_pool_that_was_removed_finds_nobody_there(stage: Stage) -> None:
    """It came before, and waited for its own body."""
    await stage.take(a_spec("a"))
    pool = stage.worker.pools["a"]
    backend = pool.acquire(Pick(no_chance))
    await stage.take(a_spec("b"))
    refusal = pool.acquire(Pick(no_chance))
    assert isinstance(refusal, Refusal)
    assert NONE_UP is refusal.kind
    assert isinstance(backend, Backend)
    pool.release(Pick(no_chance), backend, True, 0.0)
    table = stage.ledger.table
    assert 0 == sum(table.total(row, IN_FLIGHT) for row in range(stage.ledger.used))


async def test_listeners_come_stay_and_go_and_routes_change_under_those_that_stay(stage: Stage) -> None:
    await stage.take(a_spec("a", listeners={"web": "a", "old": "a"}))
    worker = stage.worker
    web, old = worker.listener("web"), worker.listener("old")
    spec = a_spec("a", listeners={"web": "a", "new": "a"})
    respond = RouteSpec(respond=RespondSpec(204))
    await stage.take(replace(spec, listeners=tuple(replace(one, routes=(respond,)) for one in spec.listeners)))
    assert web is worker.listener("web")
    assert [b"204", b"204"] == [await status_of(worker, name) for name in ("web", "new")]
    with pytest.raises(KeyError):
        worker.listener("old")
    assert isinstance(old, Listener)
    assert ({old}, [], True) == (worker.leaving, old.acceptor.servers, old.context.stopping)


async def test_a_listener_that_was_removed_finishes_and_is_closed_when_its_time_is_over(stage: Stage) -> None:
    await stage.take(a_spec("a", listeners={"web": "a", "old": "a"}, drain_timeout="1ms"))
    worker = stage.worker
    old = worker.listener("old")
    reader, writer = await asyncio.open_connection(old.address.host, old.address.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n")  # not all of it
    await until(lambda: worker.clients() == 1)
    await stage.take(a_spec("a"))
    with suppress(ConnectionResetError):  # a reset says that it was no whole answer
        assert b"" == await reader.read()
    writer.close()
    await until(lambda: not worker.leaving)
    assert 0 == worker.clients()


async def test_a_listener_takes_the_sockets_that_were_bound_for_it(stage: Stage) -> None:
    spec = a_spec("a")
    sockets = {key_of(spec.listeners[0]): bind(spec.listeners[0])}
    port = sockets["web=127.0.0.1:0"][0].getsockname()[1]
    await stage.worker.switch(await stage.prepare(spec), sockets)
    assert port == stage.worker.listener("web").address.port


async def test_a_worker_that_stops_begins_no_new_listener(stage: Stage) -> None:
    await stage.take(a_spec("a"))
    change = await stage.prepare(a_spec("a", listeners={"web": "a", "new": "a"}))
    await stage.worker.stop(0.0)
    await stage.worker.switch(change, {})
    listener = stage.worker.listener("new")
    assert isinstance(listener, Listener)
    assert [] == listener.acceptor.servers


# Logs and records.


async def test_the_access_log_is_opened_anew_with_each_configuration(stage: Stage, tmp_path: Path) -> None:
    """So a reload is what follows a rotation; what was noted before it is in the old file."""
    log, old = tmp_path / "log", tmp_path / "log.1"
    spec = a_spec("a", access_log=str(log))
    await stage.take(spec)
    await status_of(stage.worker)
    log.rename(old)
    await stage.take(spec)
    await status_of(stage.worker)
    await stage.take(a_spec("a"))
    await status_of(stage.worker)
    assert (1, 1, 3) == (len(old.read_text().splitlines()), len(log.read_text().splitlines()), len(stage.records))
    assert stage.worker.access_log is None


async def test_standard_output_is_not_opened_anew(stage: Stage) -> None:
    await stage.take(a_spec("a", access_log="-"))
    log = stage.worker.access_log
    assert log is not None
    await stage.take(a_spec("b", access_log="-"))
    assert (True, True) == (log is stage.worker.access_log, log.fd >= 0)


async def test_the_latest_requests_are_those_of_all_listeners(stage: Stage) -> None:
    await stage.take(a_spec("a", listeners={"one": "a", "two": "a"}))
    for name in ("one", "two", "one"):
        await status_of(stage.worker, name)
    assert stage.worker.recent is not None
    assert ["one", "two", "one"] == [listener for _, listener, _, _ in stage.worker.recent.latest()]


# Paces.


async def test_the_longest_step_is_that_of_its_own_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the loop does between two steps, and between a preparation and its switch, is no step of theirs."""
    clock = 100.0
    monkeypatch.setattr("steelyard.worker.thread_time", lambda: clock)
    paces = Paces()
    clock += 2.0
    await paces.rest()
    assert 2.0 == paces.longest_s
    clock += 50.0
    paces.begin()
    clock += 1.0
    await paces.rest()
    assert 2.0 == paces.longest_s


async def test_a_switch_does_not_count_what_went_on_since_it_was_prepared(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 100.0
    monkeypatch.setattr("steelyard.worker.thread_time", lambda: clock)
    paces = Paces()
    spec = a_spec("a")
    change = await stage.worker.prepare(spec, stage.ledger.plan(spec), paces)
    clock += 50.0
    await stage.worker.switch(change, {}, paces)
    assert 0.0 == paces.longest_s


class Accepting:
    """A listener whose socket had just given a client to the event loop when it was told to stop."""

    def __init__(self) -> None:
        self.now = 0
        self.served = 0
        self.arriving: set[asyncio.Task[object]] = set()
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
    await worker.stop(60.0)
    assert [1] == listener.dropped_after
