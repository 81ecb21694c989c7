"""Small worlds for the tests of the simulator, and one line to run a policy in them."""

from typing import Any

from steelyard.core.guard import Outside
from steelyard.core.spec import PolicySpec
from steelyard.simulate.engine import Engine
from steelyard.simulate.scenario import Scenario, Server


def a_scenario(backends: int = 4, requests: int = 2000, **more: Any) -> Scenario:
    """Equal backends at load 0.8, unless it is said otherwise."""
    return Scenario(**{"servers": (Server(),) * backends, "requests": requests, **more})


def an_engine(policy: str | PolicySpec = "round_robin", notes: list[str] | None = None, **more: Any) -> Engine:
    """An engine that has not begun."""
    spec = PolicySpec(policy) if isinstance(policy, str) else policy
    said = [] if notes is None else notes
    return Engine(a_scenario(**more), spec, Outside(clock=lambda: 0.0, report=said.append))


def ran(policy: str | PolicySpec = "round_robin", notes: list[str] | None = None, **more: Any) -> Engine:
    """An engine that has come to its end."""
    engine = an_engine(policy, notes, **more)
    while engine.run(1000):
        pass
    return engine
