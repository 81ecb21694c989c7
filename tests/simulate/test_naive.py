"""The two failures that policies by time are known for: shown on the naive policy of the examples, absent on ours."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from steelyard.control import config
from steelyard.core.spec import PolicySpec
from steelyard.simulate.report import Outcome
from steelyard.simulate.run import simulate
from steelyard.simulate.scenario import Scenario, Server, Trouble
from tests.control.own import own_policies

OURS = ("least_response_time", "peak_ewma", "prequal")
FIVE = (Server(),) * 5
SLOW_AT_FIRST = Trouble("slow", 50.0, (1,), 0.0, 100.0)
FAILS_AT_ONCE = Trouble("fast_fail", 1.0, (1,), 2000.0)

pytestmark = pytest.mark.slow


@pytest.fixture
def naive(monkeypatch: pytest.MonkeyPatch) -> Iterator[PolicySpec]:
    directory = Path(__file__).parents[2] / "examples" / "naive"
    with own_policies(directory):
        monkeypatch.syspath_prepend(str(directory))
        yield config.policy_from_mapping({"name": "naive:Fastest"})


def shares(policy: PolicySpec, trouble: Trouble, ejection: bool = False) -> Sequence[float]:
    """Each backend's share of the requests; the second one is in trouble."""
    scenario = Scenario(FIVE, 60_000, 0.6, troubles=(trouble,), checks=0.0, seed=3, ejection=ejection)
    outcome: Outcome = simulate(scenario, policy)
    return outcome.shares


def test_the_naive_policy_never_asks_a_backend_again_that_was_slow_for_a_moment(naive: PolicySpec) -> None:
    assert shares(naive, SLOW_AT_FIRST)[1] < 0.001


@pytest.mark.parametrize("name", OURS)
def test_the_built_in_ones_give_it_its_share_again(name: str) -> None:
    """A fifth, give or take a fifth of it: it is as quick as the others for all but a two-hundredth of the time."""
    assert abs(shares(PolicySpec(name), SLOW_AT_FIRST)[1] - 0.2) < 0.04


def test_the_naive_policy_sends_everything_into_a_black_hole(naive: PolicySpec) -> None:
    assert shares(naive, FAILS_AT_ONCE)[1] > 0.99


def test_ejection_keeps_even_the_naive_policy_out_of_it(naive: PolicySpec) -> None:
    """What it asks in vain every half a minute or later are five requests."""
    assert shares(naive, FAILS_AT_ONCE, ejection=True)[1] < 0.01


@pytest.mark.parametrize("name", OURS)
def test_the_built_in_ones_keep_out_of_it(name: str) -> None:
    """Below half of its share; not below a half of the floor, or nobody would learn that it is well again."""
    assert 1 / 32 / 5 / 2 < shares(PolicySpec(name), FAILS_AT_ONCE)[1] < 0.1
