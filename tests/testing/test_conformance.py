"""The kit finds what is wrong with a policy, by the test that is named for it, and nothing wrong with a good one."""

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from steelyard.control import config
from steelyard.core.spec import PolicySpec
from steelyard.errors import ConfigError
from steelyard.testing import PolicyConformance
from tests.control.own import OwnPolicies, own_policies
from tests.testing import bad_policies as bad


@pytest.fixture(autouse=True)
def own(tmp_path: Path) -> Iterator[OwnPolicies]:
    with own_policies(tmp_path) as made:
        yield made


def kit(policy: Any, **promises: Any) -> type[PolicyConformance]:
    body = {"policy": staticmethod(policy) if callable(policy) else policy, **promises}
    return type("TestSubject", (PolicyConformance,), body)


def all_of(made: type[PolicyConformance]) -> list[str]:
    return [name for name in dir(made) if name.startswith("test_") and callable(getattr(made, name))]


def failures(policy: Any, *tests: str, **promises: Any) -> dict[str, str]:
    """Which of these tests fail, or of all, and what they say."""
    made = kit(policy, **promises)
    failed = {}
    for name in tests or all_of(made):
        try:
            getattr(made(), name)()
        except AssertionError as exc:
            failed[name] = str(exc)
    return failed


@pytest.mark.parametrize(
    ("policy", "promises"),
    [
        (bad.by_chance, {}),
        (bad.by_key, {"keyed": True, "honours_weights": False}),
        (bad.TwoDraws, {"counts_load": True}),
        (bad.Rotates, {"honours_weights": False}),
        ("round_robin", {}),
        ({"name": "power_of_two", "choices": 3}, {"counts_load": True}),
        (PolicySpec("random"), {}),
    ],
    ids=["by chance", "by key", "two draws", "rotation", "a name", "a mapping", "a specification"],
)
def test_a_good_policy_passes(policy: Any, promises: dict[str, Any]) -> None:
    assert {} == failures(policy, **promises)


PLAIN = {"honours_weights": False}
KEYED = {"honours_weights": False, "keyed": True}
LOADED = {"counts_load": True}

MISTAKES: list[tuple[str, Any, dict[str, Any]]] = [
    ("test_equal_backends_get_equal_shares", bad.always_first, PLAIN),
    ("test_idle_backends_get_equal_shares", bad.always_first, PLAIN),
    ("test_no_backend_starves", bad.always_first, PLAIN),
    ("test_weights_are_kept", bad.Rotates, {}),
    ("test_weights_are_kept", bad.always_first, {}),
    ("test_a_weight_that_is_changed_counts_from_then_on", bad.FirstWeights, {}),
    ("test_a_loaded_backend_is_spared", bad.by_chance, LOADED),
    ("test_a_loaded_backend_is_spared", bad.OneDraw, LOADED),
    ("test_a_loaded_backend_is_spared", bad.SecondDrawWithoutAHole, LOADED),
    ("test_a_loaded_backend_is_spared", bad.SecondDrawOfAll, LOADED),
    ("test_load_that_another_worker_has_sent_counts", bad.OwnLoadAlone, LOADED),
    ("test_no_backend_starves", bad.FastestSoFar, PLAIN),
    ("test_after_a_storm_it_spreads_as_before", bad.FailuresStayInFlight, {}),
    ("test_several_workers_share_as_one", bad.EachWorkerItsOwn, PLAIN),
    ("test_one_that_was_tried_is_not_picked_again", bad.TriedAgain, PLAIN),
    ("test_one_that_is_draining_gets_no_request", bad.Draining, PLAIN),
    ("test_one_that_is_down_gets_no_request", bad.Down, PLAIN),
    ("test_one_that_is_full_gets_no_request", bad.Full, PLAIN),
    ("test_one_of_weight_0_gets_no_request", bad.WeightZero, PLAIN),
    ("test_where_all_weights_are_0_nobody_is_picked", bad.WeightZero, PLAIN),
    ("test_the_one_that_is_left_is_always_found", bad.FewDraws, PLAIN),
    ("test_without_backends_nobody_is_picked", bad.NobodyThere, PLAIN),
    ("test_nothing_is_in_flight_at_the_end", bad.CountsTwice, PLAIN),
    ("test_a_request_that_is_over_is_forgotten", bad.RemembersRequests, PLAIN),
    ("test_a_request_that_is_tried_elsewhere_is_at_two_backends_for_a_moment", bad.OneBackendARequest, PLAIN),
    ("test_it_takes_note_of_who_comes_and_goes", bad.FirstMembers, PLAIN),
    ("test_the_same_requests_get_the_same_backends", bad.own_chance, PLAIN),
    ("test_equal_keys_get_equal_backends", bad.Rotates, KEYED),
    ("test_when_one_of_n_goes_about_1_in_n_keys_moves", bad.modulo, KEYED),
    ("test_keys_come_home_when_it_is_back", bad.MovesForGood, KEYED),
    ("test_a_key_comes_back_after_a_try_elsewhere", bad.MovesForGood, KEYED),
    ("test_another_worker_agrees", bad.OwnSeed, KEYED),
    ("test_requests_without_a_key_are_spread", bad.keyless_to_one, KEYED),
]


@pytest.mark.parametrize(
    ("test", "policy", "promises"),
    [pytest.param(*case, id=f"{case[1].__name__}-{case[0]}") for case in MISTAKES],
)
def test_a_mistake_is_found_by_the_test_that_is_named_for_it(test: str, policy: Any, promises: dict[str, Any]) -> None:
    (said,) = failures(policy, test, **promises).values()
    assert said, "a failure that does not say what the policy has done"


@pytest.mark.parametrize("policy", [bad.TriedAgain, bad.Draining, bad.Down, bad.Full, bad.WeightZero])
def test_any_broken_rule_is_found_in_any_situation_too(policy: Any) -> None:
    assert failures(policy, "test_any_situation_is_answered_lawfully", **PLAIN)


def test_every_test_of_the_kit_is_one_that_some_mistake_fails() -> None:
    named = {test for test, _, _ in MISTAKES}
    assert set(all_of(kit("random", keyed=True, counts_load=True))) == named | {
        "test_any_situation_is_answered_lawfully"
    }


def test_who_abstains_has_to_say_so() -> None:
    """Then the fallback answers, as in the balancer, and its answers are looked at."""
    (said,) = failures(bad.at_times, "test_one_that_is_full_gets_no_request", **PLAIN).values()
    assert said == "the policy picked nobody, though 3 may be (set may_abstain where it is to be so)"
    assert {} == failures(bad.at_times, honours_weights=False, may_abstain=True)


def test_what_is_not_promised_is_not_tested() -> None:
    bare = set(all_of(kit("random", spreads=False, honours_weights=False)))
    assert not bare & {
        "test_weights_are_kept",
        "test_equal_backends_get_equal_shares",
        "test_a_loaded_backend_is_spared",
    }
    assert {"test_weights_are_kept"} == set(all_of(kit("random", spreads=False))) - bare - {
        "test_a_weight_that_is_changed_counts_from_then_on"
    }
    assert "test_another_worker_agrees" not in all_of(kit("random", keyed=True, agrees=False))


def test_a_promise_may_be_taken_back_or_given_further_down() -> None:
    weighted = type("TestWeighted", (kit("random", honours_weights=False),), {"honours_weights": True})
    assert "test_weights_are_kept" in all_of(weighted)
    assert "test_weights_are_kept" not in all_of(type("TestNot", (weighted,), {"honours_weights": False}))


def test_a_test_that_is_written_anew_is_the_one_that_runs() -> None:
    class TestOwn(kit("random")):  # type: ignore[misc]
        def test_weights_are_kept(self) -> str:
            return "mine"

    class TestFurther(TestOwn):
        spreads = False

    assert "mine" == TestFurther().test_weights_are_kept()


def test_an_exception_of_the_policy_is_quoted() -> None:
    (said,) = failures(bad.NobodyThere, "test_without_backends_nobody_is_picked", **PLAIN).values()
    assert "raised AssertionError: drew a number below 0: there is none" in said


def test_without_a_policy_it_says_so() -> None:
    with pytest.raises(AssertionError, match="TestSubject does not say which policy"):
        kit(None).spec()


def test_a_wrong_name_is_answered_as_in_a_configuration() -> None:
    with pytest.raises(ConfigError, match=r"TestSubject: name: unknown policy \(got randum\); did you mean random\?"):
        kit("randum").spec()


def test_the_same_class_is_registered_once_and_another_of_its_name_beside_it() -> None:
    def local() -> Any:
        class Local(bad.Rotates):
            pass

        return Local

    one, other = local(), local()
    assert kit(one).spec() == kit(one).spec()
    assert kit(one).spec() != kit(other).spec()


@pytest.mark.slow
def test_pytest_runs_it_over_a_module_of_one_s_own(pytester: pytest.Pytester) -> None:
    """As the documentation has it; with nothing but pytest."""
    pytester.makepyfile(
        kit_own=textwrap.dedent("""
            def pick(request, backends):
                return backends[request.below(len(backends))]
        """),
        test_kit_own=textwrap.dedent("""
            from steelyard.testing import PolicyConformance

            class TestMine(PolicyConformance):
                policy = "kit_own:pick"
                honours_weights = False

            class TestTooMuch(PolicyConformance):
                policy = "kit_own:pick"
        """),
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-q")
    promised = len(all_of(kit("random", honours_weights=False)))
    result.assert_outcomes(passed=2 * promised, failed=2)
    result.stdout.fnmatch_lines(["*backend 0 of weights * got *expected 300*", "*TestTooMuch::test_weights_are_kept*"])


def test_it_needs_neither_pytest_nor_hypothesis() -> None:
    import steelyard.testing

    sources = Path(steelyard.testing.__file__).parent.glob("*.py")
    assert not [path for path in sources if "import pytest" in path.read_text() or "hypothesis" in path.read_text()]


def test_the_documented_policy_stands_it(own: OwnPolicies, monkeypatch: pytest.MonkeyPatch) -> None:
    own.write("kit_beside.py", "def pick(request, backends):\n    return backends[request.below(len(backends))]\n")
    monkeypatch.chdir(own.directory)
    assert {} == failures("kit_beside:pick", honours_weights=False)
    assert "kit_beside:pick" == config.policy_from_mapping({"name": "kit_beside:pick"}).name
