"""What is done about local backends, over an owner that is told by the test what its processes do."""

import asyncio
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from steelyard.backends import places
from steelyard.backends.wanted import Wanted
from steelyard.control import local as module
from steelyard.control.ledger import Ledger
from steelyard.control.local import LocalBackends, NotReady
from steelyard.control.prober import Checks
from steelyard.core.pool import Pool
from steelyard.core.spec import BackendSpec, HealthCheckSpec, LocalSpec, PoolSpec, Spec
from steelyard.core.table import Table

NOTHING = Spec((), ())
CHECK = HealthCheckSpec(interval_s=600.0, timeout_s=1.0, fall=2)
ROWS = 40


class FakeOwner:
    """In place of who has the processes. why: of the first start of a process of this name, where it fails."""

    def __init__(self) -> None:
        self.wanted: list[Wanted] = []
        self.known: set[str] = set()
        self.why: dict[str, str] = {}
        self.restarted: list[tuple[str, int, str]] = []
        self.ended: list[str] = []

    async def want(self, wanted: Sequence[Wanted]) -> list[dict[str, Any]]:
        self.wanted = list(wanted)
        found = [self.report(one, new=one.key not in self.known) for one in wanted]
        self.known |= {one.key for one in wanted}
        return found

    def report(self, one: Wanted, **other: Any) -> dict[str, Any]:
        why = self.why.get(one.name, "")
        state = "waiting" if why else "ready"
        words = {"key": one.key, "name": one.name, "pid": 1 + self.wanted.index(one), "state": state, "age_s": 0.0}
        return {**words, "why": why, "new": False, **other}

    def restart(self, key: str, pid: int, why: str) -> None:
        self.restarted.append((self._name(key), pid, why))

    def end(self, keys: Iterable[str]) -> None:
        self.ended += [self._name(key) for key in keys]

    def _name(self, key: str) -> str:
        return key.partition("/")[0] + key.partition("@")[0][-2:]


def a_spec(count: int, check: HealthCheckSpec | None = CHECK, run: str = "x {socket}", **local: Any) -> Spec:
    names = [LocalSpec(run, None, i, name=f"web/{i}", where="a.yaml:5", at="k", **local) for i in range(count)]
    backends = tuple(BackendSpec("", 0, local=name) for name in names)
    return Spec((), (PoolSpec("web", backends, health_check=check),))


class Stage:
    """A control process as far as local backends go. checks: how the next checks end, by name; else well."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loop = asyncio.get_running_loop()
        self.table = Table(bytearray(Table.size_bytes(ROWS, 1)), ROWS)
        self.ledger = Ledger(self.table)
        self.owner = FakeOwner()
        self.checks = Checks(self.loop)
        self.local = LocalBackends(self.loop, self.checks, self.owner)
        self.pools: dict[str, Pool] = {}
        self.fails: dict[str, str] = {}
        self.spec = NOTHING

        async def check_once(loop: object, check: object, spec: BackendSpec) -> tuple[str | None, bool]:
            assert spec.local is not None
            await asyncio.sleep(0)
            return self.fails.get(spec.local.name), True

        for where in ("steelyard.control.prober.check_once", "steelyard.control.local.check_once"):
            monkeypatch.setattr(where, check_once)

    async def take(self, spec: Spec) -> None:
        """Put a configuration into force."""
        spec = places.resolved(spec, self.spec, "/run/p")
        await self.local.prepare(spec, "/etc", first=self.spec is NOTHING)
        plan = self.ledger.plan(spec)
        for name, at in self.local.places_of_failed(spec):
            self.ledger.doubt(plan, name, at)
        for pool_spec in spec.pools:
            pool = self.pools.get(pool_spec.name)
            if pool is None:
                self.pools[pool_spec.name] = Pool(pool_spec, self.table, plan[pool_spec.name], fresh=False)
            else:
                draft = pool.draft(pool_spec, plan[pool_spec.name])
                while draft.advance(9):
                    pass
                pool.adopt(draft)
        self.ledger.settle(spec, plan)
        self.spec = spec
        self.checks.adopt(self.pools)
        self.local.adopt(spec, self.pools)
        await rounds()

    def up(self) -> list[bool]:
        return [backend.healthy for backend in self.pools["web"].backends]

    def hears(self, at: int, state: str, pid: int, troubled: bool = False) -> None:
        """The owner says what has become of a process."""
        one = self.owner.wanted[at]
        self.local.heard(self.owner.report(one, state=state, pid=pid, troubled=troubled))

    def check(self, at: int, detail: str | None, times: int = 1) -> None:
        """So many checks of it end like that."""
        pool = self.pools["web"]
        for _ in range(times):
            self.local._checked(pool, pool.backends[at], detail)

    def close(self) -> None:
        self.local.stop()
        self.checks.stop()


async def rounds(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.fixture
async def stage(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.INFO)
    stage = Stage(monkeypatch)
    yield stage
    stage.close()


async def test_those_that_are_ready_are_up_and_what_is_waited_for_is_said_once(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    await stage.take(a_spec(2))
    assert [True, True] == stage.up()
    assert ["starting 2 local backends: web/0, web/1"] == caplog.messages
    caplog.clear()
    await stage.take(a_spec(2))
    assert [] == caplog.messages


async def test_at_the_start_what_fails_is_said_once_an_entry_and_is_down_before_anybody_looks(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.owner.why = {"web/1": "web/1 has failed", "web/2": "web/2 has failed"}
    await stage.take(a_spec(3))
    assert [True, False, False] == stage.up()
    assert ["web/1 has failed"] == caplog.messages[1:]


async def test_a_reload_with_one_that_fails_is_refused(stage: Stage) -> None:
    await stage.take(a_spec(1))
    stage.owner.why = {"web/1": "web/1 has failed"}
    with pytest.raises(NotReady, match="web/1 has failed"):
        await stage.take(a_spec(2))
    stage.owner.why = {}
    stage.owner.known.pop()  # dropped
    await stage.take(a_spec(2))
    assert [True, True] == stage.up()


async def test_one_whose_checks_fail_from_the_start_is_no_reload_either(stage: Stage) -> None:
    await stage.take(a_spec(1))
    stage.fails = {"web/1": "status 500"}
    with pytest.raises(NotReady) as caught:
        await stage.take(a_spec(2, ready_timeout_s=0.0, check=replace(CHECK, timeout_s=0.001)))
    why = (
        "a.yaml:5: k: local backend web/1 accepts connections, but its health check fails: status 500 (got x {socket})"
    )
    assert why == str(caught.value)


@pytest.mark.parametrize("check", [CHECK, None], ids=["checked", "unchecked"])
async def test_one_that_ends_is_down_at_once_and_the_next_one_up_at_once(
    stage: Stage, check: HealthCheckSpec | None, caplog: pytest.LogCaptureFixture
) -> None:
    await stage.take(a_spec(2, check))
    caplog.clear()
    stage.hears(0, "waiting", 0)
    assert [False, True] == stage.up()
    stage.hears(0, "ready", 7)
    await rounds()
    assert [True, True] == stage.up()
    spec = stage.pools["web"].backends[0].spec.local
    assert spec is not None
    called = f"local backend {spec.name}"
    assert [f"{called} [down] (pool web): its process has ended", f"{called} [up] (pool web)"] == caplog.messages


@pytest.mark.parametrize("check", [CHECK, None], ids=["checked", "unchecked"])
async def test_the_coming_and_going_of_one_that_keeps_ending_is_said_by_its_owner_alone(
    stage: Stage, check: HealthCheckSpec | None, caplog: pytest.LogCaptureFixture
) -> None:
    await stage.take(a_spec(2, check))
    caplog.clear()
    for pid in range(7, 10):
        stage.hears(0, "waiting", 0, troubled=True)
        assert [False, True] == stage.up()
        stage.hears(0, "ready", pid, troubled=True)
        await rounds()
        assert [True, True] == stage.up()
    assert [] == caplog.messages


async def test_one_that_fails_enough_checks_hangs_and_is_started_anew_once(stage: Stage) -> None:
    await stage.take(a_spec(2))
    stage.check(1, "no answer")
    stage.check(1, None)
    stage.check(1, "no answer")
    assert [] == stage.owner.restarted
    stage.check(1, "no answer within 1 s", times=5)
    why = "hangs: 2 health checks in a row have failed, the last one with: no answer within 1 s"
    assert [("web/1", 2, why)] == stage.owner.restarted


async def test_one_that_has_passed_no_check_yet_does_not_hang(stage: Stage) -> None:
    stage.fails = {"web/0": "status 500"}
    await stage.take(a_spec(1, ready_timeout_s=0.0, check=replace(CHECK, timeout_s=0.001)))
    stage.check(0, "status 500", times=9)
    assert ([], [False]) == (stage.owner.restarted, stage.up())


async def test_those_that_have_served_enough_are_recycled_one_after_the_other(stage: Stage) -> None:
    await stage.take(a_spec(2, recycle_after=3))
    pool = stage.pools["web"]
    first, second = pool.backends
    for backend in (first, second, second):
        for _ in range(3):
            backend.begin()
    stage.local._look()
    stage.local._look()
    assert [False, True] == [backend.draining for backend in pool.backends]  # it has served more
    assert [] == stage.owner.restarted  # it has requests in flight
    for _ in range(6):
        second.finish(False)
    stage.local._look()
    stage.local._look()
    assert [("web/1", 2, "")] == stage.owner.restarted
    stage.hears(1, "waiting", 0)
    stage.hears(1, "ready", 9)
    await rounds()
    stage.local._look()
    assert ([True, False], [True, True]) == ([backend.draining for backend in pool.backends], stage.up())
    for _ in range(3):
        first.finish(False)
    stage.local._look()
    assert [("web/1", 2, ""), ("web/0", 1, "")] == stage.owner.restarted


async def test_one_that_is_to_be_recycled_gets_nothing_new_however_well_it_is(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    await stage.take(a_spec(2, recycle_after=3))
    backend = stage.pools["web"].backends[0]
    for _ in range(3):
        backend.begin()
    caplog.clear()
    stage.local._look()
    stage.check(0, None, times=2)
    stage.local._look()
    assert backend.draining
    assert ["local backend web/0 (pid 1) is recycled after 3 requests"] == caplog.messages
    for _ in range(3):
        backend.finish(False)
    stage.local._look()
    stage.check(0, None)  # the answer of one that is told to end already
    assert ([("web/0", 1, "")], True) == (stage.owner.restarted, backend.draining)
    stage.hears(0, "stopping", 1)
    stage.hears(0, "ready", 9)
    await rounds()
    assert (False, True) == (backend.draining, backend.healthy)


async def test_none_is_recycled_while_another_of_its_entry_is_not_there(stage: Stage) -> None:
    await stage.take(a_spec(2, recycle_after=3))
    first, second = stage.pools["web"].backends
    for backend in (first, second):
        for _ in range(3):
            backend.begin()
    stage.hears(0, "waiting", 0)
    stage.check(0, None)  # one that was asked before
    stage.local._look()
    assert [False, False] == [first.draining, second.draining]
    stage.hears(0, "ready", 9)
    await rounds()
    stage.local._look()
    assert [False, True] == [first.draining, second.draining]


async def test_one_that_is_not_to_be_recycled_any_more_goes_on(stage: Stage) -> None:
    await stage.take(a_spec(2, recycle_after=3))
    for _ in range(3):
        stage.pools["web"].backends[0].begin()
    stage.local._look()
    assert stage.pools["web"].backends[0].draining
    await stage.take(a_spec(2))
    assert not stage.pools["web"].backends[0].draining
    for _ in range(3):
        stage.pools["web"].backends[0].finish(False)
    stage.local._look()
    assert [] == stage.owner.restarted


async def test_those_that_are_gone_end_when_nothing_is_in_flight_there(stage: Stage) -> None:
    await stage.take(a_spec(2))
    gone = stage.pools["web"].backends[1]
    gone.begin()
    await stage.take(a_spec(1))
    stage.local._look()
    assert [] == stage.owner.ended
    gone.finish(False)
    stage.local._look()
    assert ["web/1"] == stage.owner.ended


async def test_who_goes_on_for_another_one_knows_who_runs_and_drains_nobody(stage: Stage) -> None:
    await stage.take(a_spec(3, check=None, recycle_after=9))
    stage.pools["web"].backends[0].set_draining(True)  # the one before has begun to recycle it
    reports = [stage.owner.report(one) for one in stage.owner.wanted]
    reports[1] |= {"state": "starting"}
    stage.local.stop()
    stage.local = LocalBackends(stage.loop, stage.checks, stage.owner)
    stage.local.reports = {report["key"]: report for report in reports}
    stage.local.adopt(stage.spec, stage.pools, fresh=False)
    assert ([True, False, True], False) == (stage.up(), stage.pools["web"].backends[0].draining)
    stage.hears(1, "ready", 5)
    assert [True] * 3 == stage.up()


async def test_checks_that_are_switched_off_bring_nobody_up_who_is_not_there(stage: Stage) -> None:
    await stage.take(a_spec(2))
    stage.hears(0, "waiting", 0)
    await stage.take(a_spec(2, check=None))
    assert [False, True] == stage.up()


async def test_what_is_heard_of_one_that_is_not_in_force_is_kept_for_later(stage: Stage) -> None:
    spec = places.resolved(a_spec(1), NOTHING, "/run/p")
    await stage.local.prepare(spec, "/etc", first=True)
    stage.hears(0, "waiting", 0)
    assert "waiting" == stage.local.reports[stage.owner.wanted[0].key]["state"]


async def test_a_loop_drives_them() -> None:
    reactor = module.LoopReactor(asyncio.get_running_loop())
    read, write = os.pipe()
    later, readable = asyncio.Event(), asyncio.Event()
    reactor.after(0.0, later.set)
    reactor.add_reader(read, readable.set)
    os.write(write, b"x")
    await later.wait()
    await readable.wait()
    reactor.remove_reader(read)
    os.close(read)
    os.close(write)
