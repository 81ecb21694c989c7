"""A simulated backend: first come, first served, so many at a time, and what trouble does to it."""

from typing import Any

import pytest

from steelyard.core.policy import Pick
from steelyard.simulate.scenario import Server, Trouble
from steelyard.simulate.station import Station, Visit
from steelyard.simulate.workload import Workload
from tests.fakes_core import no_chance
from tests.simulate.worlds import a_scenario

WELL, AT_ONCE, AFTER_SERVICE, REFUSED = range(4)


def visits(count: int) -> list[Visit]:
    workload = Workload(a_scenario(requests=count))
    found = []
    for _ in range(count):
        found.append(Visit(workload, no_chance, 0.5, True))
        workload.draw()
    return found


def a_station(*troubles: Trouble, **more: Any) -> Station:
    return Station(Server(**more), list(troubles))


def test_a_visit_is_a_request_that_a_policy_can_ask() -> None:
    (visit,) = visits(1)
    assert isinstance(visit, Pick)
    assert (0.5, None, False, 0) == (visit.now, visit.tried, visit.panic, visit.key)
    assert "GET" == visit.get("method")


def test_requests_are_served_in_the_order_in_which_they_came() -> None:
    first, second, third, fourth = visits(4)
    station = a_station(concurrency=2)
    assert [True, True, False, False] == [station.enter(visit) for visit in (first, second, third, fourth)]
    assert (4, 4, 2) == (station.here, station.longest, station.busy)
    assert [third, fourth, None, None] == [station.leave() for _ in range(4)]
    assert (0, 4, 0) == (station.here, station.longest, station.busy)


def test_a_queue_that_was_empty_fills_again() -> None:
    first, second, third = visits(3)
    station = a_station()
    station.enter(first)
    station.enter(second)
    assert second is station.leave()
    assert not station.enter(third)
    assert third is station.leave()


def test_a_backend_that_is_emptied_has_nothing_left() -> None:
    first, second, third = visits(3)
    station = a_station()
    for visit in (first, second, third):
        station.enter(visit)
    assert [second, third] == station.empty()
    assert (0, 0) == (station.here, station.busy)
    assert station.enter(third)
    assert None is station.leave()


def test_speed_and_slowness_change_the_time_of_the_work() -> None:
    (visit,) = visits(1)
    assert visit.service / 2 == a_station(speed=2.0).work_time(visit)
    slow = a_station(Trouble("slow", 3.0, (0,), 10.0, 20.0), Trouble("slow", 2.0, (0,), 15.0))
    for now, factor in ((9.9, 1), (10.0, 3), (15.0, 6), (20.0, 2), (1e9, 2)):
        slow.change(now)
        assert visit.service * factor == pytest.approx(slow.work_time(visit))


def test_a_backend_that_is_down_refuses_until_it_is_back() -> None:
    (visit,) = visits(1)
    station = a_station(Trouble("down", 0.0, (0,), 1.0, 2.0))
    found = [(station.change(now), station.fate(visit), station.check(0)) for now in (0.5, 1.0, 1.5, 2.0)]
    assert [(False, WELL, WELL), (True, REFUSED, REFUSED), (False, REFUSED, REFUSED), (False, WELL, WELL)] == found


def test_a_share_of_the_tries_fails_and_of_the_checks_too() -> None:
    """10 % at once and 20 % after service: of 5,000 tries each, within 5 standard deviations (0.03 at most)."""
    station = a_station(Trouble("fast_fail", 0.1, (0,)), Trouble("fail", 0.2, (0,)))
    all_visits = visits(5000)
    fates = [station.fate(visit) for visit in all_visits]
    assert 0.1 == pytest.approx(fates.count(AT_ONCE) / 5000, abs=0.022)
    assert 0.2 == pytest.approx(fates.count(AFTER_SERVICE) / 5000, abs=0.029)
    checks = [station.check(visit.luck) for visit in all_visits]
    assert 0.3 == pytest.approx(checks.count(AFTER_SERVICE) / 5000, abs=0.033)


def test_the_luck_is_the_requests_own_but_another_with_each_try() -> None:
    station, other = (a_station(Trouble("fail", 0.5, (0,))) for _ in range(2))
    all_visits = visits(200)
    fates = [station.fate(visit) for visit in all_visits]
    assert fates == [other.fate(visit) for visit in all_visits]
    for visit in all_visits:
        visit.tries += 1
    same = sum(fate == station.fate(visit) for fate, visit in zip(fates, all_visits, strict=True))
    assert 65 <= same <= 135  # 100 expected, standard deviation 7


def test_a_backend_tells_what_requests_took_that_met_as_many_others() -> None:
    """Of whom nothing is known, the next ones stand for them, those who met fewer before those who met more."""
    alone, second = visits(2)
    station = a_station()
    assert 0.0 == station.latency()
    station.enter(alone)
    station.learn(alone, 1.0)
    assert 1.0 == station.latency()
    station.enter(second)
    station.learn(second, 3.0)
    assert 1.0 < station.latency()
    assert 3.0 == station.latency()
    station.leave()
    assert 3.0 == station.latency()
    station.leave()
    assert 1.0 == station.latency()


def test_old_answers_are_forgotten_by_and_by() -> None:
    (visit,) = visits(1)
    station = a_station()
    for latency in (1.0, 2.0):
        station.learn(visit, latency)
    assert 1.1 == pytest.approx(station.latency())
    for _ in range(100):
        station.learn(visit, 5.0)
    assert 5.0 == pytest.approx(station.latency(), rel=1e-3)


def test_crowds_are_all_alike() -> None:
    all_visits = visits(80)
    station = a_station()
    for visit in all_visits:
        station.enter(visit)
    station.learn(all_visits[70], 7.0)
    assert 7.0 == station.latency()
    for _ in range(17):
        station.leave()
    assert 7.0 == station.latency()
