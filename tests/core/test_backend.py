"""core/backend.py: live numbers as a view of a table's row."""

from math import inf

import pytest

from steelyard.core.backend import Backend
from steelyard.core.spec import BackendSpec
from steelyard.core.stable import stable_hash
from steelyard.core.table import (
    CIRCUIT,
    CLOSED,
    DOWN,
    EJECTED,
    EJECTIONS,
    GENERATION,
    HALF_OPEN,
    OPEN,
    SILENT,
    STATUS,
    TRIPS,
    TRYING,
    UP,
    UP_SINCE,
    WEIGHT_UNIT,
    Table,
)
from tests.fakes_core import a_table


def a_backend(weight: int = 1, max_connections: int | None = None) -> Backend:
    return Backend(BackendSpec("::1", 80, weight, max_connections), a_table(2), 1, 0)


def test_a_backend_is_called_by_its_address() -> None:
    backend = a_backend()
    assert ("::1", 80, "[::1]:80", "[::1]:80") == (backend.host, backend.port, backend.address, backend.label)
    assert "<Backend [::1]:80>" == repr(backend)
    assert 1 == backend.row
    assert BackendSpec("::1", 80) == backend.spec
    assert backend.max_connections is None


def test_a_new_backend_is_available_and_idle() -> None:
    backend = a_backend()
    assert backend.available
    assert backend.healthy
    assert not backend.draining
    assert not backend.full
    assert (0, 0, 0) == (backend.in_flight, backend.requests, backend.failures)


def test_making_a_view_again_keeps_the_live_numbers() -> None:
    table = a_table(2)
    before = Backend(BackendSpec("a", 80), table, 1, 0)
    before.begin()
    before.set_healthy(False)
    after = Backend(BackendSpec("a", 80, 5), table, 1, 0)
    assert (1, False, 5) == (after.in_flight, after.healthy, after.weight)


def test_in_flight_counts_all_workers() -> None:
    buffer = bytearray(Table.size_bytes(1, 2))
    views = [Backend(BackendSpec("a", 80), Table(buffer, 1, 2, worker), 0, 0) for worker in range(2)]
    for view in views:
        view.begin()
    assert [2, 2] == [view.in_flight for view in views]
    assert [2, 2] == [view.requests for view in views]


def test_what_begins_ends_and_failures_are_counted() -> None:
    backend = a_backend()
    backend.begin()
    backend.begin()
    backend.finish(False)
    backend.finish(True)
    assert (0, 2, 1) == (backend.in_flight, backend.requests, backend.failures)


def test_an_end_without_a_beginning_is_a_bug_and_said_so() -> None:
    with pytest.raises(AssertionError, match=r"\[::1\]:80: a request ended that had not begun"):
        a_backend().finish(False)


def test_full_is_at_its_limit_and_not_before() -> None:
    backend = a_backend(max_connections=2)
    backend.begin()
    assert backend.available
    backend.begin()
    assert backend.full
    assert not backend.available
    assert backend.takes_requests(False)
    backend.finish(False)
    assert backend.available


def test_down_draining_or_of_weight_0_is_not_available() -> None:
    backend = a_backend()
    backend.set_healthy(False)
    assert (False, False) == (backend.available, backend.healthy)
    backend.set_healthy(True)
    backend.set_draining(True)
    assert (False, True) == (backend.available, backend.draining)
    backend.set_draining(False)
    assert backend.available
    assert not a_backend(weight=0).available


def test_load_is_what_it_would_carry_with_one_more_per_weight() -> None:
    backend = a_backend(weight=2)
    assert 0.5 == backend.load()
    backend.begin()
    assert 1.0 == backend.load()
    assert inf == a_backend(weight=0).load()


# Shares, statuses, and what is announced.


def generation(backend: Backend) -> int:
    """How often something was announced to its tier."""
    return backend.table.get(backend.home, GENERATION)


def test_a_backend_has_a_hash_of_its_own_that_is_the_same_everywhere() -> None:
    assert stable_hash("[::1]:80") == a_backend().key


def test_its_share_is_its_weight_in_thousandths_until_it_is_said_otherwise() -> None:
    backend = a_backend(weight=3)
    assert (3, 3 * WEIGHT_UNIT) == (backend.weight, backend.share())
    backend.set_share(150)
    assert (3, 150) == (backend.weight, backend.share())
    assert 1000 / 150 == backend.load()
    backend.set_weight(2)
    assert (2, 2000) == (backend.weight, backend.share())


def test_a_weight_is_never_below_0_and_at_0_nothing_comes() -> None:
    backend = a_backend()
    with pytest.raises(ValueError, match=r"\[::1\]:80: weight -1 is below 0"):
        backend.set_weight(-1)
    assert 1 == backend.weight
    backend.set_weight(0)
    assert (0, 0, False, False) == (backend.weight, backend.share(), backend.is_member(), backend.available)


@pytest.mark.parametrize(
    ("status", "calm", "panic"),
    [(UP, True, True), (DOWN, False, True), (SILENT, False, False)],
    ids=["up", "down", "silent"],
)
def test_only_panic_makes_up_of_down_and_nothing_makes_it_of_silence(status: int, calm: bool, panic: bool) -> None:
    backend = a_backend()
    backend.set_status(status, 1.0)
    assert (calm, panic) == (backend.takes_requests(False), backend.takes_requests(True))
    assert (status == UP) is backend.healthy
    backend.set_draining(True)
    assert (False, False) == (backend.takes_requests(False), backend.takes_requests(True))


def test_healthy_or_not_is_the_short_way_to_say_up_or_silent() -> None:
    backend = a_backend()
    backend.set_healthy(False)
    assert SILENT == backend.table.get(backend.row, STATUS)
    backend.set_healthy(True, 2.0)
    assert (UP, 2.0) == (backend.table.get(backend.row, STATUS), backend.up_since_s())


def test_since_when_it_is_up_is_known_only_of_one_that_came_back() -> None:
    backend = a_backend()
    backend.set_status(UP, 1.0)
    assert 0.0 == backend.up_since_s()
    backend.set_status(DOWN, 2.0)
    backend.set_status(SILENT, 2.5)
    assert 0.0 == backend.up_since_s()
    backend.set_status(UP, 3.25)
    assert 3.25 == backend.up_since_s()
    backend.set_status(UP, 4.0)
    assert 3.25 == backend.up_since_s()
    backend.settle()
    assert 0.0 == backend.up_since_s()


def test_one_that_comes_back_in_the_clocks_first_moment_came_back_all_the_same() -> None:
    backend = a_backend()
    backend.set_status(DOWN, 0.0)
    backend.set_status(UP, 0.0)
    assert 1 == backend.table.get(backend.row, UP_SINCE)


def test_every_change_is_announced_once_to_its_tier_and_what_is_none_is_not() -> None:
    backend = a_backend()
    for change in (
        lambda: backend.set_status(DOWN, 1.0),
        lambda: backend.set_healthy(True),
        lambda: backend.set_draining(True),
        lambda: backend.set_weight(5),
        lambda: backend.set_share(70),
    ):
        before = generation(backend)
        change()
        assert before + 1 == generation(backend)
    before = generation(backend)
    backend.set_status(UP, 9.0)
    backend.begin()
    backend.finish(True)
    backend.settle()
    assert before == generation(backend)


# Several workers, and another configuration.


def two_views() -> tuple[Backend, Backend]:
    """The same backend as two workers see it."""
    buffer = bytearray(Table.size_bytes(2, 2))
    one, other = (Backend(BackendSpec("a", 80), Table(buffer, 2, 2, worker), 1, 0) for worker in range(2))
    return one, other


def test_health_is_the_status_and_the_code_of_what_led_there() -> None:
    backend = a_backend()
    assert (UP, 0) == backend.health()
    assert backend.move((UP, 0), (SILENT, 1234), 1.0)
    assert (SILENT, 1234) == backend.health()
    assert (False, False) == (backend.is_healthy(), backend.is_settled())
    assert backend.move((SILENT, 1234), (UP, 1), 2.0)
    assert (True, True) == (backend.is_healthy(), backend.is_settled())


def test_who_has_seen_an_older_health_moves_nothing_and_looks_again() -> None:
    one, other = two_views()
    before = one.health()
    assert other.move(before, (DOWN, 3), 1.0)
    assert not one.move(before, (SILENT, 11), 1.0)
    assert (DOWN, 3) == one.health()
    assert one.move(one.health(), (SILENT, 11), 1.0)
    assert (SILENT, 11) == other.health()


def test_a_machine_that_moves_within_a_status_is_no_news() -> None:
    backend = a_backend()
    before = generation(backend)
    assert backend.move((UP, 0), (UP, 9), 1.0)
    assert (before, 0.0) == (generation(backend), backend.up_since_s())
    assert backend.move((UP, 9), (DOWN, 3), 1.0)
    assert before + 1 == generation(backend)


def test_a_status_that_is_said_leaves_the_machine_where_it_stands() -> None:
    backend = a_backend()
    backend.move((UP, 0), (UP, 10), 1.0)
    backend.set_status(DOWN, 1.0)
    assert (DOWN, 10) == backend.health()
    backend.set_status(DOWN, 2.0)
    backend.set_healthy(True, 3.0)
    assert (UP, 10) == backend.health()


@pytest.mark.interpreted
def test_a_status_that_is_said_while_the_machine_moves_holds_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = two_views()
    move = Backend.move
    moves = [(UP, 10)]

    def move_late(backend: Backend, before: tuple[int, int], after: tuple[int, int], now: float) -> bool:
        if moves:
            assert move(other, before, moves.pop(), now)
        return move(backend, before, after, now)

    monkeypatch.setattr(Backend, "move", move_late)
    one.set_status(SILENT, 1.0)
    assert (SILENT, 10) == other.health()


def test_another_configuration_of_the_same_server_changes_what_that_says_and_nothing_else() -> None:
    backend = a_backend(max_connections=1)
    backend.begin()
    assert backend.full
    backend.adopt(BackendSpec("::1", 80, 9, 2), 3)
    assert (2, 3, False) == (backend.max_connections, backend.tier, backend.full)
    assert (BackendSpec("::1", 80, 9, 2), 1, 1) == (backend.spec, backend.weight, backend.in_flight)
    backend.adopt(BackendSpec("::1", 80), 0)
    assert (None, 0, False) == (backend.max_connections, backend.tier, backend.full)


def test_one_that_is_not_fresh_leaves_the_weight_in_the_table_alone() -> None:
    table = a_table(2)
    before = Backend(BackendSpec("a", 80, 2), table, 1, 0)
    before.set_share(150)
    after = Backend(BackendSpec("a", 80, 9), table, 1, 0, fresh=False)
    assert (2, 150) == (after.weight, after.share())


def test_one_that_is_in_another_tier_now_is_counted_in_the_old_and_announced_in_the_new() -> None:
    table = a_table(3)
    was, now = (Backend(BackendSpec("a", 80), table, 2, home) for home in (0, 1))
    was.follow(now)
    was.set_draining(True)
    assert (0, [0, 1]) == (was.home, [table.get(home, GENERATION) for home in (0, 1)])


def test_an_ejected_one_takes_no_requests_but_in_panic_and_is_healthy_all_the_same() -> None:
    backend = a_backend()
    backend.table.set(1, EJECTED, 5000)
    assert (False, True, True) == (backend.available, backend.takes_requests(True), backend.healthy)
    backend.set_status(SILENT, 0.0)
    assert not backend.takes_requests(True)


def test_an_open_circuit_takes_none_even_in_panic_and_one_that_may_be_tried_does() -> None:
    backend = a_backend()
    for state, takes in ((OPEN, False), (TRYING, False), (HALF_OPEN, True), (CLOSED, True)):
        backend.table.set(1, CIRCUIT, state)
        assert [takes, takes] == [backend.takes_requests(panic) for panic in (False, True)]
        assert backend.would_take(False)


def test_what_a_circuit_alone_keeps_away_is_told_from_what_else_does() -> None:
    backend = a_backend()
    backend.table.set(1, EJECTED, 5000)
    assert [False, True] == [backend.would_take(panic) for panic in (False, True)]
    backend.set_status(SILENT, 0.0)
    assert not backend.would_take(True)
    backend.table.set(1, EJECTED, 0)
    backend.set_status(UP, 0.0)
    backend.set_draining(True)
    assert not backend.would_take(False)


def test_an_ejection_is_over_at_its_time_once_and_announced() -> None:
    backend = a_backend()
    assert not backend.put_back(9.0, True)
    backend.table.set(1, EJECTED, 5000)
    assert [False, True, False] == [backend.put_back(now, True) for now in (4.999, 5.0, 6.0)]
    assert (5.0, 1) == (backend.up_since_s(), backend.table.get(0, GENERATION))


@pytest.mark.interpreted
def test_of_two_workers_that_put_it_back_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = a_backend()
    backend.table.set(1, EJECTED, 5000)
    monkeypatch.setattr(Table, "swap", lambda *_: False)
    assert not backend.put_back(5.0, False)
    assert 0 == backend.table.get(0, GENERATION)


def test_how_often_it_was_ejected_and_tripped_is_that_of_all_workers() -> None:
    buffer = bytearray(Table.size_bytes(1, 2))
    views = [Backend(BackendSpec("a", 80), Table(buffer, 1, 2, worker), 0, 0) for worker in range(2)]
    for view in views:
        view.table.add_mine(0, EJECTIONS, 2)
        view.table.add_mine(0, TRIPS, 3)
    assert (4, 6) == (views[0].ejections, views[1].trips)
