"""Draw the pictures of docs/policies.md: `python docs/images/make_policy_pictures.py [NAME...]`, in half a minute.

All but one are what the command prints that stands below the picture. The crossing of prequal and weighted round robin
is a run for each load, which no single command makes.
"""

import shlex
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt

from steelyard.core.spec import PolicySpec
from steelyard.simulate.run import simulate
from steelyard.simulate.scenario import Scenario, Server

HERE = Path(__file__).parent
NAIVE = HERE.parent.parent / "examples" / "naive"

# name of the picture -> the command that draws it, to be run in examples/naive
PICTURES = {
    "compared": "--backends 50 --load 0.9 --requests 500000 --seed 3"
    " -p random -p round_robin -p power_of_two -p least_connections -p prequal",
    "slow-one": "--backends 10 --load 0.7 --slow 3x:2 --requests 200000 --seed 3"
    " -p power_of_two -p least_connections -p least_response_time -p peak_ewma -p prequal",
    "starvation": "--backends 5 --load 0.6 --slow 50x:2@0-100 --requests 60000 --seed 3"
    " -p naive:Fastest -p least_response_time -p peak_ewma -p prequal",
    "black-hole": "--backends 5 --load 0.6 --checks off --no-ejection --fast-fail 100%:2@2000- --requests 60000"
    " --seed 3 -p naive:Fastest -p least_response_time -p peak_ewma -p prequal",
    "hot-keys": "--backends 10 --load 0.6 --keys 1000 --zipf 1 --requests 200000 --seed 3"
    " -p hash -p consistent_hash -p consistent_hash:bound=1.25 -p maglev -p rendezvous",
}
CROSSING = "crossing"

# Half of the machines have room beside what they were allotted, and half have none: as in the paper's clusters.
SPEEDS = (1.0,) * 5 + (2.5,) * 5
LOADS = (0.75, 0.85, 0.93, 0.98, 1.03, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.68, 1.74)
TIMEOUT = 50.0  # mean service times: the paper's 5 s at 100 ms


def command(name: str) -> list[str]:
    """The command that draws a picture."""
    return ["steelyard", "simulate", *shlex.split(PICTURES[name])]


def main(names: list[str]) -> None:
    for name in names or [*PICTURES, CROSSING]:
        path = HERE / f"policies-{name}.png"
        if name == CROSSING:
            draw_crossing(path)
        else:
            arguments = [sys.executable, "-m", *command(name), "--plot", str(path)]
            subprocess.run(arguments, cwd=NAIVE, stdout=subprocess.DEVNULL, check=True)
        print(path)


def crossing(policy: str, requests: int) -> list[float]:
    """The 99.9th percentile, in mean service times, at each of LOADS (relative to what was allotted)."""
    allotted = len(SPEEDS) / sum(SPEEDS)
    return [tail(policy, load * allotted, requests) for load in LOADS]


def tail(policy: str, load: float, requests: int) -> float:
    scenario = Scenario(tuple(Server(speed=speed) for speed in SPEEDS), requests, load, seed=3)
    found = simulate(scenario, PolicySpec(policy)).p999
    assert found is not None, "nobody was served"
    return found


def draw_crossing(path: Path) -> None:
    """Both tails over the load."""
    figure, axes = plt.subplots(figsize=(9, 5), layout="constrained")
    for policy, colour in (("round_robin", "#d55e00"), ("prequal", "#0072b2")):
        axes.plot(LOADS, crossing(policy, 200_000), "o-", color=colour, label=policy)
    axes.axhline(TIMEOUT, color="0.4", linestyle="--", label="a timeout of 5 s, where the mean is 100 ms")
    axes.axvline(1.03, color="0.7", linestyle=":", label="1.03")
    axes.set_yscale("log")
    axes.set_title("Half of the backends have room beside what they were allotted")
    axes.set_xlabel("load, relative to what was allotted")
    axes.set_ylabel("99.9th percentile (mean service times)")
    axes.grid(color="0.9")
    axes.legend()
    figure.savefig(path, dpi=100)
    plt.close(figure)


if __name__ == "__main__":
    main(sys.argv[1:])
