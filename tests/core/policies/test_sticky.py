"""core/policies/sticky.py: known clients go where they were, new ones in turn."""

from collections.abc import Sequence

import pytest

from steelyard.core.backend import Backend
from steelyard.core.homes import cells_needed
from steelyard.core.policy import Pick, Policy, create
from steelyard.core.spec import BackendSpec, PolicySpec
from steelyard.core.stable import stable_hash
from steelyard.core.table import DOWN, LOT, LOT_CELLS, Table
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
    """The default, coming round twice: all but about one in a hundred are known again."""
    policy, _ = a_policy("sticky_round_robin", [1] * 7)
    keys = [stable_hash(str(client)) for client in range(PolicySpec().clients)]
    first = homes(policy, keys)
    assert ("0123456" * len(keys))[: len(keys)] == first
    moved = sum(before != after for before, after in zip(first, homes(policy, keys), strict=True))
    assert moved <= 0.012 * len(keys)


def test_where_nobody_is_available_nothing_is_remembered() -> None:
    policy, backends = a_sticky([1, 1])
    assert "0" == homes(policy, [11])
    for backend in backends:
        backend.set_healthy(False)
    assert "--" == homes(policy, [11, 12])
    backends[1].set_healthy(True)
    assert "11" == homes(policy, [11, 12])


CLIENTS = 100


def workers(lot_cells: int) -> list[tuple[Policy, list[Backend]]]:
    """Two workers' policies over three backends of one table, whose tier has a lot of so many cells; 0: none."""
    size = Table.size_bytes(4, 2)
    buffer = bytearray(size + 8 * (16 + lot_cells))
    Table(buffer, 4).set(0, LOT, 17 if lot_cells else 0)
    Table(buffer, 4).set(0, LOT_CELLS, lot_cells)
    return [a_worker(buffer, worker) for worker in range(2)]


def a_worker(buffer: bytearray, worker: int) -> tuple[Policy, list[Backend]]:
    table = Table(buffer, 4, 2, worker)
    policy = create(PolicySpec("sticky_round_robin", clients=CLIENTS), table, 0)
    backends = [Backend(BackendSpec(str(at), 80), table, at + 1, 0) for at in range(3)]
    policy.rebuild(backends)
    return policy, backends


@pytest.mark.parametrize("lot_cells", [0, cells_needed(CLIENTS) - 1])
def test_without_a_lot_that_is_long_enough_workers_rotate_as_one_and_remember_apart(lot_cells: int) -> None:
    (here, _), (there, _) = workers(lot_cells)
    assert "012012" == "".join([homes((here, there)[turn % 2], [turn + 1]) for turn in range(6)])
    assert "0" == homes(here, [1])
    assert "0" == homes(there, [1])  # new there, and the seventh in turn
    assert "1" == homes(there, [3])


def test_with_a_lot_they_remember_as_one() -> None:
    (here, _), (there, _) = workers(cells_needed(CLIENTS))
    assert "012012" == "".join([homes((here, there)[turn % 2], [turn + 1]) for turn in range(6)])
    assert "012012" == homes(here, range(1, 7))
    assert "012012" == homes(there, range(1, 7))
    assert "0" == homes(there, [7])  # and nobody took a turn who was known


def test_in_a_lot_a_client_that_moves_has_moved_for_all() -> None:
    (here, backends), (there, _) = workers(cells_needed(CLIENTS))
    assert "012" == homes(here, [11, 12, 13])
    backends[1].set_healthy(False)
    moved = homes(there, [12])
    assert moved in ("0", "2")
    backends[1].set_healthy(True)
    assert f"0{moved}2" == homes(here, [11, 12, 13])


def test_a_lot_outlives_the_policy() -> None:
    """As after a worker's death, or with another configuration; also a longer one than such a policy asks for."""
    (here, _), (_, backends) = workers(3 * cells_needed(CLIENTS))
    assert "012" == homes(here, [11, 12, 13])
    again = create(PolicySpec("sticky_round_robin", clients=CLIENTS // 2), backends[0].table, 0)
    again.rebuild(backends)
    assert "012" == homes(again, [11, 12, 13])


@pytest.mark.parametrize("gone", [0, 2])
def test_a_row_that_is_not_of_the_tier_is_nobodys_home(gone: int) -> None:
    """Another worker may know a backend that this one does not know yet, or no longer; here the last row, or not."""
    (here, _), (there, backends) = workers(cells_needed(CLIENTS))
    assert "012" == homes(here, [11, 12, 13])
    left = [at for at in range(3) if at != gone]
    there.rebuild([backends[at] for at in left])
    moved = homes(there, [11 + gone])
    assert moved in [str(at) for at in left]
    assert moved == homes(here, [11 + gone])
