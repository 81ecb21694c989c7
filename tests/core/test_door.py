"""core/door.py: a listener's live numbers, over all workers."""

from steelyard.core.door import CONNECTIONS, CROWDED, IN_FLIGHT, NO_LIMIT, OVERLOADED, WAITS, Door
from steelyard.core.table import Table


def doors(workers: int = 2) -> list[Door]:
    buffer = bytearray(Table.size_bytes(2, workers))
    return [Door(Table(buffer, 2, workers, worker), 1) for worker in range(workers)]


def test_connections_are_those_of_all_workers() -> None:
    here, there = doors()
    assert [1, 2, 1] == [here.enter(), here.enter(), there.enter()]
    assert [3, 3] == [here.connections(), there.connections()]
    assert 1 == here.leave()
    assert 2 == there.connections()
    assert (1, 1) == (here.table.mine(1, CONNECTIONS), there.table.mine(1, CONNECTIONS))


def test_so_many_requests_are_in_flight_over_all_workers_and_who_comes_too_many_is_counted() -> None:
    here, there = doors()
    assert NO_LIMIT == here.most_in_flight
    here.most_in_flight = there.most_in_flight = 2
    assert [True, True, False, False] == [here.begin(), there.begin(), here.begin(), there.begin()]
    assert (2, 2) == (here.table.total(1, IN_FLIGHT), here.table.total(1, OVERLOADED))
    assert 0 == here.end()
    assert [True, False] == [there.begin(), here.begin()]


def test_a_place_is_for_who_waits_and_has_fewer() -> None:
    one, two, three = doors(3)
    for door, count in ((one, 3), (two, 1), (three, 3)):
        for _ in range(count):
            door.enter()
    assert not any(door.should_yield() for door in (one, two, three))
    two.set_waits(True)
    assert [True, False, True] == [door.should_yield() for door in (one, two, three)]
    two.enter()
    two.enter()
    three.set_waits(True)  # all have as many: nobody yields to anybody, or all would
    assert not any(door.should_yield() for door in (one, two, three))
    two.set_waits(False)
    assert [0, 1] == [one.table.of_worker(1, worker, WAITS) for worker in (1, 2)]


def test_those_that_were_too_many_of_one_client_are_counted() -> None:
    here, there = doors()
    assert [1, 1, 2] == [here.count_crowded(), there.count_crowded(), here.count_crowded()]
    assert 3 == here.table.total(1, CROWDED)
