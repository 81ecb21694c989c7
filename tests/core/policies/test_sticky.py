"""core/policies/sticky.py: known clients go where they were, new ones in turn."""

from collections.abc import Sequence

import pytest

from steelyard.core.backend import Backend
from steelyard.core.policy import Pick, Policy, create
from steelyard.core.spec import BackendSpec, PolicySpec
from steelyard.core.table import DOWN, Table
from tests.fakes_core import a_policy, a_table, no_chance


def a_sticky(weights: Sequence[int], clients: int = 100, limit: int | None = None) -> tuple[Policy, list[Backend]]:
    table = a_table(len(weights) + 1)
    backends = [Backend(BackendSpec(str(at), 80, weight, limit), table, at + 1, 0) for at, weight in enumerate(weights)]
    policy = create(PolicySpec("sticky_round_robin", clients=clients), table, 0)
    policy.rebuild(backends)
    return policy, backends


def home(policy: Policy, key: int, tried: list[Backend] | None = None) -> str | None:
    backend = policy.pick(Pick(no_chance, key=key, tried=tried))
    return None if backend is None else backend.host


def homes(policy: Policy, keys: Sequence[int]) -> str:
    return "".join([home(policy, key) or "-" for key in keys])


def test_new_clients_come_in_turn_and_stay() -> None:
    policy, _ = a_sticky([1, 1, 1])
    assert "0120" == homes(policy, [11, 12, 13, 14])
    assert "02011" == homes(policy, [14, 13, 11, 12, 12])
    assert "1" == homes(policy, [15])


def test_new_clients_come_by_weight_as_smoothly_as_round_robin() -> None:
    policy, _ = a_sticky([5, 1, 1])
    assert "0010200" == homes(policy, range(1, 8))
    assert "0010200" == homes(policy, range(1, 8))


def test_requests_without_a_key_take_their_turn_and_are_not_remembered() -> None:
    policy, _ = a_sticky([1, 1, 1])
    assert "0120" == homes(policy, [0, 0, 0, 0])


@pytest.mark.parametrize("how", ["down", "draining", "weightless"])
def test_a_backend_that_takes_no_more_requests_loses_its_clients_for_good(how: str) -> None:
    policy, backends = a_sticky([1, 1, 1])
    assert "012" == homes(policy, [11, 12, 13])
    if how == "down":
        backends[1].set_healthy(False)
    elif how == "draining":
        backends[1].set_draining(True)
    else:
        backends[1].set_weight(0)
        policy.rebuild(backends)
    moved = home(policy, 12)
    assert moved in ("0", "2")
    backends[1].set_healthy(True)
    backends[1].set_draining(False)
    backends[1].set_weight(1)
    policy.rebuild(backends)
    assert ["0", moved, "2"] == [home(policy, key) for key in (11, 12, 13)]


def test_in_panic_a_backend_that_answers_keeps_its_clients() -> None:
    policy, backends = a_sticky([1, 1])
    assert "01" == homes(policy, [11, 12])
    backends[1].set_status(DOWN, 0.0)
    request = Pick(no_chance, key=12)
    request.panic = True
    assert backends[1] is policy.pick(request)
    assert "0" == homes(policy, [12])


def test_a_backend_that_is_gone_loses_its_clients_and_the_others_keep_theirs() -> None:
    policy, backends = a_sticky([1, 1, 1])
    assert "012" == homes(policy, [11, 12, 13])
    policy.rebuild([backends[0], backends[2]])
    assert "02" == homes(policy, [11, 13])
    assert home(policy, 12) in ("0", "2")
    policy.rebuild(backends)
    assert "02" == homes(policy, [11, 13])


def test_a_full_backend_keeps_its_clients_and_sends_their_requests_on() -> None:
    policy, backends = a_sticky([1, 1, 1], limit=1)
    assert "012" == homes(policy, [11, 12, 13])
    backends[1].begin()
    assert "02" == homes(policy, [12, 12])
    backends[1].finish(False)
    assert "1" == homes(policy, [12])


def test_a_tried_backend_keeps_its_clients() -> None:
    policy, backends = a_sticky([1, 1, 1])
    assert "012" == homes(policy, [11, 12, 13])
    assert home(policy, 12, [backends[1]]) in ("0", "2")
    assert "1" == homes(policy, [12])


def test_the_client_that_was_away_longest_is_forgotten_first() -> None:
    policy, backends = a_sticky([1] * 10, clients=3)
    assert "012" == homes(policy, [11, 12, 13])
    assert "0" == homes(policy, [11])
    assert "3" == homes(policy, [14])  # 12 is the one that was away longest
    assert "023" == homes(policy, [11, 13, 14])
    backends[0].begin()
    assert "4" == homes(policy, [12])  # and now 11
    assert "5" == homes(policy, [11])


def test_one_who_only_waits_for_room_was_here() -> None:
    policy, backends = a_sticky([1] * 10, clients=2, limit=1)
    assert "01" == homes(policy, [11, 12])
    backends[0].begin()
    assert "2" == homes(policy, [11])
    assert "3" == homes(policy, [13])
    backends[0].finish(False)
    assert "0" == homes(policy, [11])


def test_one_who_moved_was_here() -> None:
    policy, backends = a_sticky([1] * 10, clients=2)
    assert "01" == homes(policy, [11, 12])
    backends[0].set_healthy(False)
    moved = homes(policy, [11])
    assert "3" == homes(policy, [13])
    assert moved == homes(policy, [11])
    assert "4" == homes(policy, [12])


def test_as_many_clients_are_remembered_as_asked_for() -> None:
    """The default and one more: all but the first are known again."""
    policy, _ = a_policy("sticky_round_robin", [1] * 7)
    keys = range(1, PolicySpec().clients + 2)
    first = homes(policy, keys)
    assert ("0123456" * len(keys))[: len(keys)] == first
    assert first[1:] == homes(policy, keys[1:])
    assert str(len(keys) % 7) == homes(policy, [1])  # new again, and next in turn


def test_where_nobody_is_available_nothing_is_remembered() -> None:
    policy, backends = a_sticky([1, 1])
    assert "0" == homes(policy, [11])
    for backend in backends:
        backend.set_healthy(False)
    assert "--" == homes(policy, [11, 12])
    backends[1].set_healthy(True)
    assert "11" == homes(policy, [11, 12])


def test_workers_rotate_as_one_and_remember_apart() -> None:
    buffer = bytearray(Table.size_bytes(4, 2))
    policies = []
    for worker in range(2):
        table = Table(buffer, 4, 2, worker)
        policy = create(PolicySpec("sticky_round_robin"), table, 0)
        policy.rebuild([Backend(BackendSpec(str(at), 80), table, at + 1, 0) for at in range(3)])
        policies.append(policy)
    assert "012012" == "".join([homes(policies[turn % 2], [turn + 1]) for turn in range(6)])
    assert "0" == homes(policies[0], [1])
    assert "0" == homes(policies[1], [1])  # new there, and the seventh in turn
    assert "1" == homes(policies[1], [3])
