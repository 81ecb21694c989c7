"""core/policies/first.py: one after the other, each to its limit."""

import random

import pytest

from steelyard.core.backend import Backend
from steelyard.core.cheapest import LOOKS
from steelyard.core.policy import Pick, Policy, create
from steelyard.core.spec import BackendSpec, PolicySpec
from steelyard.core.table import IN_FLIGHT, Table
from tests.fakes_core import a_policy, no_chance, served

PICK = Pick(no_chance)


def begin(policy: Policy, backend: Backend) -> None:
    backend.begin()
    policy.table.add_mine(0, IN_FLIGHT, 1)
    policy.began(PICK, backend)


def end(policy: Policy, backend: Backend) -> None:
    backend.finish(False)
    policy.table.add_mine(0, IN_FLIGHT, -1)
    policy.ended(PICK, backend, False, 0.01, 0.0)


@pytest.mark.parametrize("size", [3, 100])
def test_the_first_is_filled_to_its_limit_then_the_next(size: int) -> None:
    policy, _ = a_policy("first", [1] * size, limit=2)
    hosts = []
    for _ in range(2 * size):
        backend = policy.pick(PICK)
        assert backend is not None
        begin(policy, backend)
        hosts.append(int(backend.host))
    assert [at for at in range(size) for _ in range(2)] == hosts
    assert policy.pick(PICK) is None


@pytest.mark.parametrize("size", [4, 100])
def test_a_place_that_becomes_free_before_the_others_is_taken_first(size: int) -> None:
    policy, backends = a_policy("first", [1] * size, limit=1)
    for backend in backends[:-1]:
        begin(policy, backend)
    assert [str(size - 1)] == served(policy, PICK, 1)
    end(policy, backends[2])
    assert ["2"] == served(policy, PICK, 1)
    end(policy, backends[1])
    assert ["1"] == served(policy, PICK, 1)
    begin(policy, backends[1])
    assert ["2"] == served(policy, PICK, 1)


@pytest.mark.parametrize("size", [3, 100])
def test_without_a_limit_the_first_one_takes_all_while_it_is_up(size: int) -> None:
    """The heavier ones behind it change nothing."""
    policy, backends = a_policy("first", [1] + [9] * (size - 1))
    assert ["0"] * 5 == served(policy, PICK, 5)
    backends[0].set_healthy(False)
    assert ["1"] * 5 == served(policy, PICK, 5)
    backends[0].set_healthy(True)
    backends[1].set_draining(True)
    assert ["0"] * 5 == served(policy, PICK, 5)


@pytest.mark.parametrize("size", [3, 100])
def test_a_tried_one_is_passed_over_for_this_request_alone(size: int) -> None:
    policy, backends = a_policy("first", [1] * size)
    assert ["2"] == served(policy, Pick(no_chance, tried=backends[:2]), 1)
    assert ["0"] == served(policy, PICK, 1)


def test_weight_0_takes_nothing() -> None:
    policy, _ = a_policy("first", [0, 0, 1])
    assert ["2"] == served(policy, PICK, 1)


def test_it_is_always_the_first_one_that_has_room() -> None:
    """A large list, half of it full from the start, requests that begin and end by chance."""
    rng = random.Random(1)
    policy, backends = a_policy("first", [1] * 400, limit=1)
    busy: list[Backend] = []
    for _ in range(200):
        busy.append(backends[len(busy)])
        begin(policy, busy[-1])
    for _ in range(1000):
        if rng.random() < len(busy) / 300:  # so some 300 are busy
            end(policy, busy.pop(rng.randrange(len(busy))))
        found = policy.pick(PICK)
        assert found is next(backend for backend in backends if backend.in_flight == 0)
        begin(policy, found)
        busy.append(found)


def test_two_workers_fill_one_list() -> None:
    """What one has filled the other passes over, and what it frees the other finds."""
    buffer = bytearray(Table.size_bytes(101, 2))
    policies = []
    for worker in range(2):
        table = Table(buffer, 101, 2, worker)
        policy = create(PolicySpec("first"), table, 0)
        policy.rebuild([Backend(BackendSpec(str(at), 80, 1, 1), table, at + 1, 0) for at in range(100)])
        policies.append(policy)
    hosts = []
    for turn in range(100):
        backend = policies[turn % 3 % 2].pick(PICK)
        assert backend is not None
        begin(policies[turn % 3 % 2], backend)
        hosts.append(int(backend.host))
    assert list(range(100)) == hosts
    assert [None, None] == [policy.pick(PICK) for policy in policies]
    end(policies[1], policies[1].backends[40])
    assert policies[0].backends[40] is policies[0].pick(PICK)


def test_what_another_worker_frees_before_the_last_pick_is_found_soon() -> None:
    """Each pick looks at LOOKS of the places before the last one, here 40, whatever else there is behind."""
    buffer = bytearray(Table.size_bytes(1001, 2))
    here, there = [create(PolicySpec("first"), Table(buffer, 1001, 2, worker), 0) for worker in range(2)]
    for policy in (here, there):
        policy.rebuild([Backend(BackendSpec(str(at), 80, 1, 1), policy.table, at + 1, 0) for at in range(1000)])
    for backend in there.backends[:40]:
        begin(there, backend)
    assert ["40"] == served(here, PICK, 1)
    end(there, there.backends[30])
    assert ["30"] == served(here, PICK, 40 // LOOKS + 1)[-1:]
