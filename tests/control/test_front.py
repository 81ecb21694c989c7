"""control/front.py and the ledger: listeners and limits have rows, which stay with them through every reload."""

import logging
from dataclasses import replace

import pytest

from steelyard.control.front import Front, lots_of_front, name_of_limit, name_of_listener, numbers, without_lot
from steelyard.control.ledger import FIRST, Ledger
from steelyard.core import table as cells
from steelyard.core.crowd import CLIENTS, crowd_cells
from steelyard.core.door import CONNECTIONS, CROWDED, IN_FLIGHT, LIMITED, OVER, OVERLOADED
from steelyard.core.limiter import limiter_cells
from steelyard.core.rows import Rows
from steelyard.core.spec import ListenerSpec, RateLimitSpec, RespondSpec, RouteSpec, Spec
from steelyard.core.table import Table

LIMIT = RateLimitSpec(100.0, 50, most_keys=8)


def a_listener(*limits: RateLimitSpec | None, **more: object) -> ListenerSpec:
    """One route for each limit, `/0`, `/1`..."""
    routes = tuple(
        RouteSpec(path=f"/{index}", respond=RespondSpec(), rate_limit=limit) for index, limit in enumerate(limits)
    )
    return ListenerSpec("web", "192.0.2.1", 80, routes, **more)  # type: ignore[arg-type]


def a_spec(*listeners: ListenerSpec) -> Spec:
    return Spec(listeners, ())


def a_ledger(rows: int = 10, lot_cells: int = 200) -> Ledger:
    return Ledger(Table(bytearray(Table.size_bytes(FIRST + rows, 1) + 8 * lot_cells), FIRST + rows))


def take(ledger: Ledger, *listeners: ListenerSpec) -> Rows:
    spec = a_spec(*listeners)
    plan = ledger.plan(spec)
    ledger.settle(spec, plan)
    return plan


def limit_row(rows: Rows, listener: ListenerSpec, at: int = 0) -> int:
    return rows.front[name_of_limit(listener, listener.routes[at])]


def test_every_listener_and_every_limit_has_a_row_of_its_own() -> None:
    web = a_listener(LIMIT, None, LIMIT)
    other = replace(a_listener(LIMIT), name="other", port=81)
    rows = take(a_ledger(), web, other)
    assert 5 == len(set(rows.front.values())) == len(rows.front)
    assert sorted(rows.front.values()) == sorted(rows.all())


def test_a_reload_that_does_not_change_them_keeps_rows_and_counts() -> None:
    ledger = a_ledger()
    web = a_listener(LIMIT)
    before = take(ledger, web)
    ledger.table.add_mine(limit_row(before, web), LIMITED, 3)
    burst = replace(
        web, name="renamed", routes=(replace(web.routes[0], rate_limit=replace(LIMIT, burst=7, dry_run=True)),)
    )
    after = take(ledger, burst)
    assert before.front == after.front
    assert 3 == ledger.table.total(limit_row(after, burst), LIMITED)


@pytest.mark.parametrize("change", [{"rate": 99.0}, {"key": "host"}, {"most_keys": 9}])
def test_a_limit_of_another_rate_key_or_size_begins_anew(change: dict[str, object]) -> None:
    ledger = a_ledger()
    web = a_listener(LIMIT)
    before = take(ledger, web)
    row = limit_row(before, web)
    changed = a_listener(replace(LIMIT, **change))  # type: ignore[arg-type]
    plan = ledger.plan(a_spec(changed))
    assert row != limit_row(plan, changed)
    assert ledger.table.get(row, cells.LOT) > 0  # a plan touches nothing in use
    ledger.settle(a_spec(changed), plan)
    assert (0, True) == (ledger.table.get(row, cells.LOT), row in ledger.free)


def test_a_plan_that_was_dropped_leaves_nothing() -> None:
    ledger = a_ledger()
    kept = take(ledger, a_listener(LIMIT))
    free, lots = len(ledger.free), set(ledger.lots.rows)
    ledger.drop(ledger.plan(a_spec(a_listener(LIMIT, LIMIT), replace(a_listener(), port=81))))
    assert (kept.front, free + 2, lots) == (ledger.rows.front, len(ledger.free), ledger.lots.rows)


def test_the_row_of_a_listener_whose_connections_are_still_open_is_not_given_out() -> None:
    ledger = a_ledger(rows=2)
    web = a_listener()
    row = take(ledger, web).front[name_of_listener(web)]
    ledger.table.add_mine(row, CONNECTIONS, 1)
    take(ledger)
    other = replace(web, port=81)
    assert row != take(ledger, other).front[name_of_listener(other)]


def test_what_has_no_room_is_named_as_the_file_names_it_with_what_mends_that() -> None:
    web = a_listener(None, LIMIT)
    other = replace(a_listener(LIMIT), name="other", port=0)
    spec = a_spec(web, other)
    assert (
        "listener web (192.0.2.1:80), route /1: rate_limit has no room for its 8 keys in the memory that limits share: "
        "each worker limits for itself; give it fewer keys"
    ) == without_lot(spec, name_of_limit(web, web.routes[1]))
    assert without_lot(spec, name_of_limit(other, other.routes[0])).startswith(
        "listener other (192.0.2.1:0), route /0:"
    )
    assert (
        "listener other (192.0.2.1:0): max_connections_per_client has no room in the memory that limits share: "
        "each worker counts for itself; give rate limits fewer keys"
    ) == without_lot(spec, name_of_listener(other))
    with pytest.raises(KeyError):
        without_lot(a_spec(web), name_of_listener(other))


def test_where_there_is_no_room_it_is_said_once_and_each_worker_limits_for_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ledger = a_ledger(lot_cells=8)
    web = a_listener(LIMIT, LIMIT)
    with caplog.at_level(logging.WARNING):
        rows = take(ledger, web)
    assert 1 == caplog.text.count("no room")
    assert "listener web (192.0.2.1:80), route /1: rate_limit has no room" in caplog.text
    assert [1, 0] == [ledger.table.get(limit_row(rows, web, at), cells.LOT) for at in (0, 1)]
    front = Front(ledger.table)
    front.adopt(a_spec(web), rows.front)
    limits = [front.limit_of(web, route) for route in web.routes]
    assert [8, 8] == [limit.limiter.ways for limit in limits if limit is not None]


def test_live_numbers_are_those_of_all_workers() -> None:
    ledger = a_ledger()
    web = replace(a_listener(LIMIT, replace(LIMIT, dry_run=True, burst=None)), max_in_flight=9, max_connections=7)
    rows = take(ledger, web)
    row = rows.front[name_of_listener(web)]
    for cell, count in ((CONNECTIONS, 4), (IN_FLIGHT, 3), (OVERLOADED, 2), (CROWDED, 1)):
        ledger.table.add_mine(row, cell, count)
    ledger.table.add_mine(limit_row(rows, web), LIMITED, 5)
    ledger.table.add_mine(limit_row(rows, web, 1), OVER, 6)
    found = numbers(web, rows.front, ledger.table)
    limits = [
        {"route": "/0", "rate": "100/s", "burst": 50, "key": "client_ip", "dry_run": False, "limited": 5, "over": 0},
        {"route": "/1", "rate": "100/s", "burst": 100, "key": "client_ip", "dry_run": True, "limited": 0, "over": 6},
    ]
    assert found == {
        "connections": 4,
        "max_connections": 7,
        "max_connections_per_client": None,
        "crowded": 1,
        "in_flight": 3,
        "max_in_flight": 9,
        "overloaded": 2,
        "limits": limits,
    }
    assert numbers(replace(web, max_in_flight=None), rows.front, ledger.table)["in_flight"] is None
    every = RouteSpec("/a*", ("*.a",), ("GET",), (("x", "1"),), "image/*", rate_limit=LIMIT)
    wide = replace(web, routes=(every,))
    assert "GET *.a /a* x: 1 image/*" == numbers(wide, take(ledger, wide).front, ledger.table)["limits"][0]["route"]


def test_what_needs_how_much_memory() -> None:
    web = a_listener(replace(LIMIT, most_keys=100), replace(LIMIT, key="global", most_keys=100), None)
    assert [0, limiter_cells(100), 8] == list(lots_of_front(a_spec(web)).values())
    counting = replace(web, routes=(), max_connections_per_client=3)
    assert [crowd_cells(CLIENTS)] == list(lots_of_front(a_spec(counting)).values())


def test_a_worker_keeps_the_limits_that_stay_as_they_are() -> None:
    ledger = a_ledger()
    web = a_listener(LIMIT, replace(LIMIT, rate=5.0), None)
    front = Front(ledger.table)
    front.adopt(a_spec(web), take(ledger, web).front)
    first, second, none = (front.limit_of(web, route) for route in web.routes)
    assert none is None
    again = a_listener(LIMIT, replace(LIMIT, rate=6.0), None)
    front.adopt(a_spec(again), take(ledger, again).front)
    assert first is front.limit_of(again, again.routes[0])
    assert second is not front.limit_of(again, again.routes[1])


@pytest.mark.parametrize("room", [0, crowd_cells(CLIENTS)])
def test_a_listener_that_counts_each_clients_connections_goes_on_counting(room: int) -> None:
    ledger = a_ledger(lot_cells=room)
    web = a_listener(max_connections_per_client=2)
    row = take(ledger, web).front[name_of_listener(web)]
    front = Front(ledger.table)
    assert front.crowd_of(a_listener(), row, None) is None
    crowd = front.crowd_of(web, row, None)
    assert crowd is not None
    assert (1 if room else 0) == crowd.lot
    assert [True, True, False] == [crowd.enter(5 << 24) for _ in range(3)]
    same = front.crowd_of(replace(web, max_connections_per_client=3), row, crowd)
    assert crowd is same
    assert [True, False] == [crowd.enter(5 << 24) for _ in range(2)]
