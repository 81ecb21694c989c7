"""control/prober.py: checks that go on whatever happens. Real checks are in tests/real/test_health.py."""

import asyncio
import logging
from dataclasses import replace

import pytest

from steelyard.control import prober as prober_module
from steelyard.control.prober import Checks, OnCheck, Prober, log_change
from steelyard.core.backend import Backend
from steelyard.core.pool import Pool
from steelyard.core.rows import PoolRows
from steelyard.core.spec import BackendSpec, HealthCheckSpec, PoolSpec
from tests.fakes_core import a_pool, a_table
from tests.real.support import until

SLOW = HealthCheckSpec(interval_s=1000.0)


class Broken(Prober):
    """A prober with a bug that shows in its first checks alone."""

    probes = 0
    well = asyncio.Event()

    async def probe(self, backend: Backend) -> tuple[str | None, bool]:
        self.probes += 1
        if self.probes < 4:
            raise UnicodeError("label too long")
        if backend.healthy:
            self.well.set()
        return None, True


async def test_a_check_that_itself_fails_counts_as_failed_is_said_and_is_made_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A backend that nobody checks any more would stay as it is for ever."""
    pool = a_pool(1, check=HealthCheckSpec(interval_s=0.001, rise=1))
    with caplog.at_level(logging.INFO, "steelyard"):
        prober = Broken(asyncio.get_running_loop(), pool)
        await asyncio.wait_for(prober.well.wait(), 50)
        prober.stop()
    assert [line for line in caplog.messages if "[down]" in line and "the check itself failed: label too long" in line]
    assert pool.backends[0].healthy


@pytest.mark.parametrize(
    ("level", "line", "whole", "what"),
    [
        (
            logging.WARNING,
            "http://10.0.0.1:80 [ejected for 31.4 s] (pool web): 5 errors in a row",
            False,
            "ejected for 31.4 s: 5 errors in a row",
        ),
        (logging.INFO, "http://10.0.0.1:80 [back after ejection] (pool web)", False, "back after ejection"),
        (
            logging.WARNING,
            "pool web [circuit open for 30 s]: the trial failed",
            True,
            "circuit open for 30 s: the trial failed",
        ),
        (logging.INFO, "pool web [circuit half-open]", True, "circuit half-open"),
        (logging.INFO, "http://10.0.0.1:80 [circuit closed] (pool web)", False, "circuit closed"),
    ],
)
def test_what_the_traffic_did_is_one_line_as_that_of_a_check(
    level: int, line: str, whole: bool, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    pool = a_pool(1)
    with caplog.at_level(logging.INFO, "steelyard"):
        log_change(pool, None if whole else pool.backends[0], what)
    assert [("steelyard", level, line)] == caplog.record_tuples


# Another configuration.


class Silent(Prober):
    """A prober whose checks wait until they are told how they end."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pool: Pool, on_check: OnCheck | None = None) -> None:
        self.asked: list[tuple[Backend, asyncio.Future[bool]]] = []
        super().__init__(loop, pool, on_check)

    async def probe(self, backend: Backend) -> tuple[str | None, bool]:
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.asked.append((backend, answer))
        ok = await answer
        return (None if ok else "no"), ok


async def rounds(count: int = 5) -> None:
    """Let what can go on go on."""
    for _ in range(count):
        await asyncio.sleep(0)


def take(pool: Pool, *hosts: str, check: HealthCheckSpec | None = SLOW) -> None:
    """Another configuration of a pool: these backends, whose rows are where their hosts are in the alphabet."""
    backends = tuple(BackendSpec(host, 80) for host in hosts)
    spec = replace(pool.spec, backends=backends, health_check=check)
    draft = pool.draft(spec, PoolRows((0,), tuple(ord(host) - ord("a") + 1 for host in hosts)))
    while draft.advance(1):
        pass
    pool.adopt(draft)


def lettered(*hosts: str) -> Pool:
    """A pool of such backends."""
    pool = Pool(PoolSpec("web", (), health_check=SLOW), a_table(20), PoolRows((0,), ()))
    take(pool, *hosts)
    return pool


def asked(prober: Silent) -> list[str]:
    return [backend.host for backend, _ in prober.asked]


async def test_new_backends_are_checked_at_once_those_that_left_no_more_and_the_others_go_on() -> None:
    pool = lettered("a", "b")
    prober = Silent(asyncio.get_running_loop(), pool)
    await rounds()
    stays = prober.tasks[pool.backends[1]]
    take(pool, "b", "c")
    prober.adopt()
    await rounds()
    assert ["a", "b", "c"] == asked(prober)
    assert [True, False, False] == [answer.cancelled() for _, answer in prober.asked]
    assert stays is prober.tasks[pool.backends[0]]
    assert set(pool.backends) == set(prober.tasks)
    prober.stop()


async def test_a_check_that_ends_after_its_backend_has_left_says_nothing_of_it() -> None:
    pool = lettered("a", "b")
    prober = Silent(asyncio.get_running_loop(), pool)
    await rounds()
    gone, answer = prober.asked[0]
    answer.set_result(False)
    take(pool, "b")
    prober.adopt()
    await rounds()
    assert (0, 0) == gone.health()
    prober.stop()


async def test_another_way_to_check_holds_from_the_next_check_on() -> None:
    pool = lettered("a")
    prober = Silent(asyncio.get_running_loop(), pool)
    check = HealthCheckSpec(kind="http", interval_s=1.0)
    take(pool, "a", check=check)
    prober.adopt()
    assert check is prober.check
    prober.stop()


async def test_a_check_that_ends_when_its_pool_is_to_be_checked_no_more_is_no_fault() -> None:
    """The pool has its new configuration a moment before whoever checks hears of it."""
    pool = lettered("a")
    prober = Silent(asyncio.get_running_loop(), pool)
    await rounds()
    take(pool, "a", check=None)
    prober.asked[0][1].set_result(False)
    await rounds()
    (task,) = prober.tasks.values()
    assert (True, None) == (task.done(), task.exception())
    assert pool.backends[0].healthy
    prober.stop()


async def test_pools_are_checked_as_long_as_their_configuration_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prober_module, "Prober", Silent)
    checks = Checks(asyncio.get_running_loop())
    one, other = lettered("a"), lettered("b")
    checks.adopt({"one": one, "other": other})
    first = checks.probers["one"]
    take(one, "a", "c")
    take(other, "b", check=None)
    checks.adopt({"one": one, "other": other})
    await rounds()
    assert {"one": first} == checks.probers
    assert ["a", "c"] == [backend.host for backend in first.tasks]
    take(other, "b")
    checks.adopt({"other": other})
    assert ["other"] == list(checks.probers)
    assert {} == first.tasks
    checks.stop()
    assert {} == checks.probers


async def test_another_pool_of_the_same_name_is_checked_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prober_module, "Prober", Silent)
    checks = Checks(asyncio.get_running_loop())
    before, after = lettered("a"), lettered("a")
    checks.adopt({"web": before})
    old = checks.probers["web"]
    checks.adopt({"web": after})
    assert after is checks.probers["web"].pool
    assert {} == old.tasks
    checks.stop()
    await rounds()


# Local backends.


async def test_one_that_has_just_been_started_is_checked_often_and_its_first_good_check_counts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    told: list[str | None] = []
    pool = lettered("a")
    (backend,) = pool.backends
    prober = Silent(asyncio.get_running_loop(), pool, lambda pool, backend, detail: told.append(detail))
    await rounds()
    pool.ended(backend, 0.0)
    prober.hurry(backend)
    await rounds()
    prober.asked[-1][1].set_result(False)
    await until(lambda: len(prober.asked) == 3)  # SLOW would have it wait for minutes
    assert not backend.healthy
    prober.asked[-1][1].set_result(True)
    await rounds()
    assert (True, [None]) == (backend.healthy, told)
    assert ["a:80 [up] (pool web)"] == [message.removeprefix("http://") for message in caplog.messages]
    await rounds()
    assert 3 == len(prober.asked)
    prober.stop()


async def test_whoever_listens_hears_of_every_check() -> None:
    told: list[tuple[str, str | None]] = []
    pool = lettered("a", "b")
    prober = Silent(asyncio.get_running_loop(), pool, lambda pool, one, detail: told.append((one.host, detail)))
    await rounds()
    for (_, answer), ok in zip(prober.asked, (True, False), strict=True):
        answer.set_result(ok)
    await rounds()
    assert [("a", None), ("b", "no")] == told
    prober.stop()


async def test_one_that_has_left_is_not_hurried() -> None:
    pool = lettered("a", "b")
    prober = Silent(asyncio.get_running_loop(), pool)
    gone = pool.backends[0]
    take(pool, "b")
    prober.adopt()
    prober.hurry(gone)
    assert [pool.backends[0]] == list(prober.tasks)
    prober.stop()
