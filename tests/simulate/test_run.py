"""A run from the outside: what it reports, that policies are comparable, and its progress."""

import json

import pytest

from steelyard.core.spec import PolicySpec
from steelyard.simulate import report
from steelyard.simulate import run as run_module
from steelyard.simulate.run import simulate
from steelyard.simulate.scenario import Server, Trouble
from tests.simulate.worlds import a_scenario, ran

FIVE = ("round_robin", "random", "power_of_two", "least_connections", "hash")


def test_an_outcome_says_what_the_engine_has_counted() -> None:
    scenario = a_scenario(troubles=(Trouble("fail", 0.5, (0,)),), workers=2, ejection=False)
    outcome, engine = (
        simulate(scenario, PolicySpec("random")),
        ran("random", troubles=scenario.troubles, workers=2, ejection=False),
    )
    assert ("random", 2000, 1800) == (outcome.policy, outcome.requests, outcome.counted)
    assert (engine.failed, engine.latencies.mean()) == (outcome.failed, outcome.mean)
    quantiles = tuple(engine.latencies.quantile(share) for share in (0.5, 0.9, 0.99, 0.999))
    assert quantiles == (outcome.p50, outcome.p90, outcome.p99, outcome.p999)
    assert max(station.longest for station in engine.stations) == outcome.max_queue
    assert quantiles == tuple(sorted(set(quantiles)))
    assert engine.latencies.largest == outcome.largest
    assert quantiles[-1] <= engine.latencies.largest
    assert 1.0 == pytest.approx(sum(outcome.shares))
    assert outcome.failed > 100


def test_five_policies_meet_the_same_requests() -> None:
    """With next to no load nobody waits anywhere: what is left is the requests themselves."""
    scenario = a_scenario(backends=50, requests=200, load=0.001, warmup=0.0)
    outcomes = [simulate(scenario, PolicySpec(name)) for name in FIVE]
    assert {(200, 0, 0)} == {(one.requests, one.failed, one.retries) for one in outcomes}
    for one in outcomes[1:]:
        assert outcomes[0].mean == pytest.approx(one.mean, rel=0.01)


def test_the_contract_of_json() -> None:
    scenario = a_scenario(seed=7, workers=2, shared_view=False)
    found = json.loads(json.dumps(report.as_json(scenario, [simulate(scenario, PolicySpec(name)) for name in FIVE])))
    assert list(FIVE) == [run["policy"] for run in found["runs"]]
    asked = {"policy", "mean", "p50", "p90", "p99", "p999", "max_queue", "share_min", "share_max", "requests"}
    for run in found["runs"]:
        assert asked <= set(run)
        assert 2000 == run["requests"]
        assert (run["share_min"], run["share_max"]) == (min(run["shares"]), max(run["shares"]))
        assert "notes" not in run
    assert ("mean service time", 7, "separate", 2) == tuple(found[key] for key in ("unit", "seed", "view", "workers"))


def test_shares_are_listed_while_they_can_be_read() -> None:
    scenario = a_scenario(backends=101, requests=500)
    assert "shares" not in report.as_json(scenario, [simulate(scenario, PolicySpec("random"))])["runs"][0]


def test_progress_is_told_and_ends_with_all() -> None:
    told: list[int] = []
    simulate(a_scenario(requests=5000), PolicySpec("random"), progress=told.append)
    assert 5000 == told[-1]
    assert told == sorted(told)
    assert len(told) >= 2


def test_a_run_in_which_nothing_is_served_has_a_report_too() -> None:
    scenario = a_scenario(servers=(Server(),), requests=50, troubles=(Trouble("down", 0.0, (0,)),), checks=0.0)
    outcome = simulate(scenario, PolicySpec("random"), "mine")
    assert ("mine", 45, None, None, None, ()) == (
        outcome.policy,
        outcome.failed,
        outcome.mean,
        outcome.p999,
        outcome.largest,
        outcome.above,
    )

    run = report.as_json(scenario, [outcome])["runs"][0]
    assert {None} == {run[key] for key in ("mean", "p50", "p90", "p99", "p999", "max")}


def test_progress_goes_on_after_the_last_arrival(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces are short again as soon as one has taken long: nothing can stop the run within a piece."""
    monkeypatch.setattr(run_module, "process_time", iter(range(10_000_000)).__next__)
    told: list[int] = []
    simulate(a_scenario(requests=300, load=20.0), PolicySpec("random"), progress=told.append)
    assert 300 == told[-1]
    assert len(set(told)) > 200


def test_the_speed_of_the_machine_is_a_figure_of_its_own() -> None:
    outcome = simulate(a_scenario(), PolicySpec("random"))
    assert outcome.requests / outcome.cpu_s == pytest.approx(outcome.per_s)
