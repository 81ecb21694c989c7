"""core/policies/rotation.py: one, two, three, one, two, three (the rule itself is tested with core/turns.py)."""

from collections import Counter

from steelyard.core.backend import Backend
from steelyard.core.policy import Pick, create
from steelyard.core.spec import BackendSpec, PolicySpec
from steelyard.core.table import Table
from tests.fakes_core import a_policy, no_chance, served

PICK = Pick(no_chance)


def test_one_two_three_one_two_three() -> None:
    policy, _ = a_policy("round_robin", [1, 1, 1])
    assert list("012012012") == served(policy, PICK, 9)


def test_equal_weights_are_strict_rotation_whatever_they_are() -> None:
    policy, _ = a_policy("round_robin", [500, 500, 500])
    assert list("012012") == served(policy, PICK, 6)
    policy, backends = a_policy("round_robin", [1000] * 100)
    assert [backend.host for backend in backends] == served(policy, PICK, 100)


def test_five_one_one_is_nginxs_order() -> None:
    policy, _ = a_policy("round_robin", [5, 1, 1])
    assert list("0010200" * 2) == served(policy, PICK, 14)


def test_a_common_divisor_changes_nothing() -> None:
    policy, _ = a_policy("round_robin", [50, 10, 10])
    assert list("0010200") == served(policy, PICK, 7)


def test_a_dead_one_is_skipped_and_the_rotation_goes_on_from_the_one_found() -> None:
    policy, backends = a_policy("round_robin", [1, 1, 1])
    backends[1].set_healthy(False)
    assert list("0202") == served(policy, PICK, 4)
    backends[1].set_healthy(True)
    assert list("012") == served(policy, PICK, 3)


def test_a_tried_one_is_skipped() -> None:
    policy, backends = a_policy("round_robin", [1, 1, 1])
    assert list("202") == served(policy, Pick(no_chance, tried=backends[:1] + backends[1:2]), 1) + served(
        policy, Pick(no_chance, tried=backends[1:2]), 2
    )


def test_weight_0_gets_no_turn() -> None:
    policy, _ = a_policy("round_robin", [1, 0, 2])
    assert list("202202") == served(policy, PICK, 6)


def test_several_workers_rotate_as_one() -> None:
    buffer = bytearray(Table.size_bytes(4, 2))
    policies = []
    for worker in range(2):
        table = Table(buffer, 4, 2, worker)
        policy = create(PolicySpec("round_robin"), table, 0)
        policy.rebuild([Backend(BackendSpec(str(index), 80), table, index + 1, 0) for index in range(3)])
        policies.append(policy)
    assert list("012012") == [served(policies[turn % 2], PICK, 1)[0] for turn in range(6)]


def test_a_weight_that_changes_counts_from_the_next_rebuild() -> None:
    policy, backends = a_policy("round_robin", [1, 1])
    heavier = [Backend(BackendSpec("0", 80, 3), policy.table, 1, 0), backends[1]]
    policy.rebuild(heavier)
    assert Counter({"0": 6, "1": 2}) == Counter(served(policy, PICK, 8))


def test_a_backend_that_is_gone_has_no_more_turns() -> None:
    policy, backends = a_policy("round_robin", [1, 1, 1])
    served(policy, PICK, 1)
    policy.rebuild(backends[:2])
    assert Counter({"0": 3, "1": 3}) == Counter(served(policy, PICK, 6))
    assert backends[:2] == policy.backends
