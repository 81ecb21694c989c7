"""core/policy.py: what a policy is told, and the register."""

import pytest

import steelyard.core.policies
from steelyard.core.backend import Backend
from steelyard.core.policy import Pick, Policy, create, names, register, registered
from steelyard.core.spec import PolicySpec
from tests.fakes_core import a_policy, a_table, no_chance


def test_the_built_in_policies_are_registered() -> None:
    expected = {"first", "hash", "least_connections", "least_response_time", "peak_ewma", "power_of_two", "prequal"}
    expected |= {"random", "round_robin", "sticky_round_robin", "consistent_hash", "maglev", "rendezvous"}
    ours = {name for name in names() if registered(name).ours}
    assert expected == ours
    assert {registered(name).policy.__module__ for name in ours} == {
        f"steelyard.core.policies.{module}" for module in steelyard.core.policies.__all__
    }


def test_every_policy_says_in_one_line_what_it_does() -> None:
    for name in names():
        summary = registered(name).summary
        assert 20 <= len(summary) <= 90, name
        assert "\n" not in summary


def test_a_name_stands_for_one_policy() -> None:
    with pytest.raises(ValueError, match="policy 'hash' is registered twice"):
        register("hash", Policy, "another one")


def test_a_name_that_nobody_registered_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        create(PolicySpec("fortune_teller"), a_table(1), 0)


def test_a_policy_knows_its_specification_and_its_row() -> None:
    table = a_table(3)
    policy = create(PolicySpec("random"), table, 2)
    assert (PolicySpec("random"), table, 2, []) == (policy.spec, policy.table, policy.row, policy.backends)


def test_a_policy_that_does_not_say_how_to_pick_is_a_bug() -> None:
    policy = Policy(PolicySpec(), a_table(1), 0)
    policy.rebuild([])
    with pytest.raises(NotImplementedError, match="Policy must say how to pick"):
        policy.pick(Pick(no_chance))


def test_candidates_are_the_available_and_untried_in_their_order() -> None:
    policy, (a, b, c, d) = a_policy("hash", [1, 1, 1, 1])
    b.set_healthy(False)
    assert [a, c, d] == policy.candidates(Pick(no_chance))
    assert [a, d] == policy.candidates(Pick(no_chance, tried=[c]))


def test_tried_means_that_server_also_where_a_reload_has_made_its_backend_anew() -> None:
    _, (a, b) = a_policy("hash", [1, 1])
    assert Pick(no_chance, tried=[b, a]).has_tried(Backend(a.spec, a.table, 0, 0))
    assert not Pick(no_chance).has_tried(a)
    assert not Pick(no_chance, tried=[]).has_tried(a)
    assert Pick(no_chance, tried=[b, a]).has_tried(a)
    assert not Pick(no_chance, tried=[b]).has_tried(a)


def test_a_bare_pick_has_no_parts() -> None:
    pick = Pick(no_chance, key=2**64 - 1, now=3.5)
    assert pick.get("path") is None
    assert (2**64 - 1, 3.5, None) == (pick.key, pick.now, pick.tried)


def test_a_policy_may_be_written_in_plain_python_over_the_base_class() -> None:
    class Last(Policy):
        def pick(self, request: Pick):  # type: ignore[no-untyped-def]
            found = self.candidates(request)
            return found[-1] if found else None

    _, backends = a_policy("hash", [1, 1])
    policy = Last(PolicySpec(), a_table(1), 0)
    policy.rebuild(backends)
    assert backends[1] is policy.pick(Pick(no_chance))
