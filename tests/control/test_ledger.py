"""control/ledger.py: whose row of the table is which, through every reload."""

import logging
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.control.ledger import FIRST, LOT_BYTES, TIERS, Ledger, Plan, table_bytes, table_rows
from steelyard.core import table as cells
from steelyard.core.homes import cells_needed
from steelyard.core.spec import HTTP, TASK, BackendSpec, HealthCheckSpec, PolicySpec, PoolSpec, Spec
from steelyard.core.table import Table
from steelyard.errors import ConfigError

A, B, C = (BackendSpec(host, 1) for host in "abc")
BACKUP = BackendSpec("d", 1, backup=True)
REMEMBERS = PolicySpec("sticky_round_robin", clients=64)


def a_ledger(rows: int = 20, lots: int = 0) -> Ledger:
    """Over a table of so many rows besides the balancer's own, with so many cells behind them."""
    return Ledger(Table(bytearray(Table.size_bytes(FIRST + rows, 1) + 8 * lots), FIRST + rows))


def pools(*backends: BackendSpec, **settings: object) -> Spec:
    """A configuration of one pool, `web`."""
    return Spec((), (PoolSpec("web", backends, **settings),))  # type: ignore[arg-type]


def take(ledger: Ledger, spec: Spec) -> Plan:
    """Put it into force."""
    plan = ledger.plan(spec)
    ledger.settle(spec, plan)
    return plan


def weights(ledger: Ledger, rows: Sequence[int]) -> list[tuple[int, int]]:
    return [(ledger.table.get(row, cells.WEIGHT), ledger.table.get(row, cells.SHARE)) for row in rows]


def test_every_tier_and_every_backend_gets_a_row_of_its_own_and_the_balancers_is_nobodys() -> None:
    ledger = a_ledger()
    spec = Spec((), (PoolSpec("one", (A, B, BACKUP)), PoolSpec("two", (A,))))
    plan = take(ledger, spec)
    rows = [row for of_pool in plan.values() for row in (*of_pool.tiers, *of_pool.backends)]
    assert list(range(FIRST, FIRST + 7)) == sorted(rows)
    assert (2, 3, 1, 1) == tuple(len(part) for of_pool in plan.values() for part in of_pool)
    assert FIRST + 7 == ledger.table.get(cells.BALANCER, cells.ROWS_USED) == ledger.used


def test_a_new_backend_finds_its_weight_in_its_row() -> None:
    ledger = a_ledger()
    plan = ledger.plan(pools(A, BackendSpec("b", 1, 7), BackendSpec("c", 1, 0)))
    assert [(1, 1000), (7, 7000), (0, 0)] == weights(ledger, plan["web"].backends)


def test_rows_stay_with_their_backends_and_tiers_wherever_those_stand() -> None:
    ledger = a_ledger()
    before = take(ledger, pools(A, B, BACKUP))["web"]
    after = take(ledger, pools(C, B, A, BACKUP, BackendSpec("e", 1, tier=-3)))["web"]
    assert [before.backends[at] for at in (1, 0, 2)] == [after.backends[at] for at in (1, 2, 3)]
    assert before.tiers == after.tiers[1:]
    assert len({*after.tiers, *after.backends}) == 8


def test_a_backend_that_moves_to_another_tier_keeps_its_row() -> None:
    ledger = a_ledger()
    before = take(ledger, pools(A, B))["web"]
    after = take(ledger, pools(A, replace(B, backup=True)))["web"]
    assert before.backends == after.backends
    assert 2 == len(after.tiers)


def test_the_same_address_in_another_pool_is_another_backend() -> None:
    ledger = a_ledger()
    before = take(ledger, pools(A))["web"]
    after = take(ledger, Spec((), (PoolSpec("other", (A,)),)))["other"]
    assert not {*before.tiers, *before.backends} & {*after.tiers, *after.backends}


# Plans that come to nothing.


def test_a_plan_touches_no_row_in_use() -> None:
    buffer = bytearray(Table.size_bytes(FIRST + 20, 1))
    ledger = Ledger(Table(buffer, FIRST + 20))
    take(ledger, pools(A, B))
    one, end = Table.size_bytes(FIRST, 1), Table.size_bytes(ledger.used, 1)
    before = buffer[one:end]
    ledger.plan(pools(replace(A, weight=9), C, health_check=None))
    assert before == buffer[one:end]
    assert pools(A, B) == ledger.spec


def test_a_plan_that_was_dropped_leaves_nothing() -> None:
    ledger = a_ledger(rows=6)
    kept = take(ledger, pools(A, B))
    for _ in range(10):
        ledger.drop(ledger.plan(pools(A, C, BACKUP)))
        assert (kept, 3, FIRST + 6) == (ledger.rows, len(ledger.free), ledger.used)


def test_a_configuration_that_does_not_fit_leaves_nothing_either() -> None:
    ledger = a_ledger(rows=4)
    kept = take(ledger, pools(A))
    for _ in range(3):
        with pytest.raises(ConfigError):
            ledger.plan(pools(A, B, C, BACKUP))
        assert (kept, 2) == (ledger.rows, len(ledger.free))


def test_a_full_table_is_an_error_that_names_max_backends() -> None:
    ledger = a_ledger(rows=3)
    with pytest.raises(
        ConfigError, match=r"max_backends: the table's 3 rows are all in use.*give max_backends a larger"
    ):
        ledger.plan(pools(A, B, C))


# Rows are used again.


def test_a_row_is_given_out_again_as_empty_as_a_new_one() -> None:
    ledger = a_ledger(rows=3)
    take(ledger, pools(A, B))
    row = ledger.rows["web"].backends[1]
    for cell in (cells.STATUS, cells.DRAINING, cells.UP_SINCE, cells.CURSOR):
        ledger.table.set(row, cell, 3)
    ledger.table.add_mine(row, cells.REQUESTS, 3)
    take(ledger, pools(A))
    assert row == take(ledger, pools(A, C))["web"].backends[1]
    assert [0, 0, 0, 0] == [
        ledger.table.get(row, cell) for cell in (cells.STATUS, cells.DRAINING, cells.UP_SINCE, cells.CURSOR)
    ]
    assert 0 == ledger.table.total(row, cells.REQUESTS)
    assert [(1, 1000)] == weights(ledger, [row])


def test_a_row_where_something_is_in_flight_is_not_given_out() -> None:
    ledger = a_ledger(rows=4)
    take(ledger, pools(A, B))
    row = ledger.rows["web"].backends[1]
    ledger.table.add_mine(row, cells.IN_FLIGHT, 1)
    take(ledger, pools(A))
    plan = ledger.plan(pools(A, C))
    assert row != plan["web"].backends[1]
    ledger.drop(plan)
    with pytest.raises(ConfigError, match="some by requests to removed backends"):
        ledger.plan(pools(A, C, replace(B, host="e")))
    ledger.table.add_mine(row, cells.IN_FLIGHT, -1)
    assert row in ledger.plan(pools(A, C, replace(B, host="e")))["web"].backends


def test_a_backend_that_comes_back_while_its_requests_go_on_is_a_new_one() -> None:
    ledger = a_ledger()
    take(ledger, pools(A, B))
    row = ledger.rows["web"].backends[1]
    ledger.table.add_mine(row, cells.IN_FLIGHT, 1)
    take(ledger, pools(A))
    again = take(ledger, pools(A, B))["web"].backends[1]
    assert again != row
    assert 0 == ledger.table.total(again, cells.IN_FLIGHT)


# What is known of a backend that stays.


def test_a_weight_that_was_set_at_run_time_stays_until_the_file_says_another() -> None:
    ledger = a_ledger()
    rows = take(ledger, pools(A, replace(B, weight=2)))["web"]
    a, b = rows.backends
    ledger.table.set(a, cells.WEIGHT, 5)
    ledger.table.set(a, cells.SHARE, 150)
    news = ledger.table.get(rows.tiers[0], cells.GENERATION)
    take(ledger, pools(A, replace(B, weight=2), C))
    assert [(5, 150), (2, 2000)] == weights(ledger, [a, b])
    assert news == ledger.table.get(rows.tiers[0], cells.GENERATION)
    take(ledger, pools(replace(A, weight=3), replace(B, weight=2)))
    assert [(3, 3000), (2, 2000)] == weights(ledger, [a, b])
    assert news + 1 == ledger.table.get(rows.tiers[0], cells.GENERATION)


def test_a_weight_of_one_that_moves_is_news_in_its_new_tier() -> None:
    ledger = a_ledger()
    take(ledger, pools(A, B))
    rows = take(ledger, pools(A, replace(B, weight=4, backup=True)))["web"]
    assert [0, 1] == [ledger.table.get(row, cells.GENERATION) for row in rows.tiers]


def test_checks_that_are_switched_off_hold_nothing_against_anybody_any_more() -> None:
    ledger = a_ledger()
    rows = take(ledger, pools(A, B))["web"]
    for row in rows.backends:
        ledger.table.set(row, cells.STATUS, 7 << cells.HEALTH_SHIFT | cells.SILENT)
    take(ledger, pools(A, B, health_check=HealthCheckSpec(interval_s=9.0)))
    assert cells.SILENT == ledger.table.get(rows.backends[0], cells.STATUS) & cells.STATUS_BITS
    news = ledger.table.get(rows.tiers[0], cells.GENERATION)
    take(ledger, pools(A, B, health_check=None))
    assert [cells.UP, cells.UP] == [ledger.table.get(row, cells.STATUS) for row in rows.backends]
    assert news < ledger.table.get(rows.tiers[0], cells.GENERATION)


# Who takes over.


def test_a_ledger_made_again_from_what_is_in_force_goes_on() -> None:
    before = a_ledger(rows=6)
    take(before, pools(A, B, C))
    rows = take(before, pools(A, C))
    flying = next(row for row in range(FIRST, before.used) if row not in {*rows["web"].tiers, *rows["web"].backends})
    before.plan(pools(A, C, BACKUP))  # came to nothing, since its process has died
    after = Ledger(before.table, before.spec, before.rows)
    assert rows == after.plan(pools(A, C))
    after.table.add_mine(flying, cells.IN_FLIGHT, 1)
    after.table.add_mine(rows["web"].backends[0], cells.IN_FLIGHT, 1)
    given = after.plan(pools(A, C, replace(A, host="x")))["web"].backends[2]
    assert given not in (flying, *rows["web"].tiers, *rows["web"].backends)


def test_who_does_not_know_what_was_settled_writes_every_weight_and_believes_in_who_is_not_checked() -> None:
    """The control process died between putting a configuration into force and settling it."""
    ledger = a_ledger()
    plan = take(ledger, pools(A, B))
    heavier = pools(BackendSpec("a", 1, 5), B, health_check=None)
    ledger.table.set(plan["web"].backends[1], cells.STATUS, cells.SILENT)
    after = Ledger(ledger.table, heavier, ledger.plan(heavier))
    generation = ledger.table.get(plan["web"].tiers[0], cells.GENERATION)
    after.write_weights()
    assert [(5, 5000), (1, 1000)] == weights(after, plan["web"].backends)
    assert cells.UP == ledger.table.get(plan["web"].backends[1], cells.STATUS)
    assert generation < ledger.table.get(plan["web"].tiers[0], cells.GENERATION)


def test_a_ledger_over_an_empty_table_begins_behind_the_balancers_row() -> None:
    assert (FIRST, [], {}) == (a_ledger().used, list(a_ledger().free), a_ledger().rows)


# Lots, for those who remember clients.


def test_a_tier_that_remembers_clients_has_a_lot_and_gives_it_back_when_it_does_no_more() -> None:
    needed = cells_needed(64)
    ledger = a_ledger(lots=2 * needed)
    rows = take(ledger, pools(A, BACKUP, policy=REMEMBERS))["web"]
    assert [needed, needed] == [ledger.table.get(row, cells.LOT_CELLS) for row in rows.tiers]
    take(ledger, pools(A, policy=REMEMBERS))
    assert [True, False] == [ledger.table.get(row, cells.LOT) > 0 for row in rows.tiers]
    take(ledger, pools(A, policy=PolicySpec("mine:pick", fallback="sticky_round_robin", clients=64)))
    assert ledger.table.get(rows.tiers[0], cells.LOT) > 0
    take(ledger, pools(A))
    assert (0, set()) == (ledger.table.get(rows.tiers[0], cells.LOT), ledger.lots.rows)


def test_a_tier_whose_requests_may_name_a_policy_that_remembers_has_a_lot_too() -> None:
    ledger = a_ledger(lots=1000)
    plan = take(ledger, pools(A, policy=PolicySpec(clients=64), protocols=(HTTP, TASK)))
    assert cells_needed(64) == ledger.table.get(plan["web"].tiers[0], cells.LOT_CELLS)
    plan = take(ledger, pools(A, policy=PolicySpec(clients=64)))
    assert 0 == ledger.table.get(plan["web"].tiers[0], cells.LOT)


def test_where_there_is_no_room_for_a_lot_that_is_said_and_nothing_more(caplog: pytest.LogCaptureFixture) -> None:
    ledger = a_ledger(lots=8)
    with caplog.at_level(logging.WARNING, "steelyard"):
        take(ledger, pools(A, policy=REMEMBERS))
    assert ["pool web: the table has no room to remember 64 clients more: each worker remembers for itself"] == (
        caplog.messages
    )


@pytest.mark.parametrize("before", [pools(A, B, C), pools(A, policy=REMEMBERS)])
def test_a_plan_that_was_dropped_leaves_no_lot(before: Spec) -> None:
    """Else reloads that fail would use up the room, one after another."""
    ledger = a_ledger(lots=2 * cells_needed(64))
    take(ledger, pools(A, B, C, BACKUP))
    take(ledger, before)
    lots = set(ledger.lots.rows)
    for _ in range(3):
        ledger.drop(ledger.plan(pools(A, BACKUP, policy=REMEMBERS)))
        assert lots == ledger.lots.rows
        assert lots == {row for row in range(ledger.used) if row > 0 and ledger.table.get(row, cells.LOT) > 0}


def test_a_table_has_room_for_all_backends_twice_and_for_many_tiers() -> None:
    assert FIRST + 2000 + TIERS == table_rows(1000)
    assert Table.size_bytes(10, 3) + LOT_BYTES == table_bytes(10, 3)


# Whatever happens.

BACKENDS = st.lists(
    st.builds(BackendSpec, st.sampled_from("abcde"), st.just(1), st.integers(0, 3), st.none(), st.integers(0, 2)),
    max_size=5,
    unique_by=lambda spec: spec.host,
)
SPECS = st.lists(st.builds(PoolSpec, st.sampled_from("pq"), BACKENDS.map(tuple)), unique_by=lambda pool: pool.name).map(
    lambda made: Spec((), tuple(made))
)


@given(st.lists(st.tuples(SPECS, st.booleans(), st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60))), max_size=12))
def test_no_row_is_held_twice_and_none_in_flight_is_given_out(
    steps: list[tuple[Spec, bool, set[int], set[int]]],
) -> None:
    """Each step is a plan, whether it is taken, and of the rows in force, by place, where requests begin and end."""
    ledger = a_ledger(rows=24)
    flying: set[int] = set()
    for spec, taken, begin, end in steps:
        held = {row for of_pool in ledger.rows.values() for row in (*of_pool.tiers, *of_pool.backends)}
        for row in {sorted(held)[at % len(held)] for at in begin if held} - flying:
            ledger.table.add_mine(row, cells.IN_FLIGHT, 1)
            flying.add(row)
        for row in {sorted(flying)[at % len(flying)] for at in end if flying}:
            ledger.table.add_mine(row, cells.IN_FLIGHT, -1)
            flying.discard(row)
        before = {
            (pool.name, one.address): row
            for pool in ledger.spec.pools
            for one, row in zip(pool.backends, ledger.rows[pool.name].backends, strict=True)
        }
        try:
            plan = ledger.plan(spec)
        except ConfigError:
            assert len(flying | held) + sum(len(pool.backends) + 3 for pool in spec.pools) > 24
            plan = None
        if plan is not None:
            rows = [row for of_pool in plan.values() for row in (*of_pool.tiers, *of_pool.backends)]
            assert len(rows) == len(set(rows))
            assert not (set(rows) - held) & flying
            for pool in spec.pools:
                for one, row in zip(pool.backends, plan[pool.name].backends, strict=True):
                    assert row == before.get((pool.name, one.address), row)
            if taken:
                ledger.settle(spec, plan)
            else:
                ledger.drop(plan)
        held = {row for of_pool in ledger.rows.values() for row in (*of_pool.tiers, *of_pool.backends)}
        assert sorted([*held, *ledger.free]) == list(range(FIRST, ledger.used))


def test_weights_that_rise_are_set_before_the_switch_and_those_that_fall_after_it() -> None:
    """Else a backend would have lost its weight while the other one still waits for its own."""
    ledger = a_ledger()
    take(ledger, pools(A, BackendSpec("b", 1, 0)))
    spec = pools(BackendSpec("a", 1, 0), B, C)
    plan = ledger.plan(spec)
    generation = ledger.table.get(plan["web"].tiers[0], cells.GENERATION)
    ledger.raise_weights(spec, plan)
    assert [(1, 1000), (1, 1000), (1, 1000)] == weights(ledger, plan["web"].backends)
    assert generation < ledger.table.get(plan["web"].tiers[0], cells.GENERATION)
    ledger.settle(spec, plan)
    assert [(0, 0), (1, 1000), (1, 1000)] == weights(ledger, plan["web"].backends)
