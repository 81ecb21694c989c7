"""A run's results as a file: all that the table and the picture are made from, so that both can be made again."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.failure import BenchError
from bench.idle import Idle
from bench.lifecycle import Figure
from bench.picks import PickCost
from bench.rounds import Sample
from bench.scaling import Scaling
from bench.slow import Slow
from bench.summary import rows
from bench.tcp import Held, Tcp
from bench.udp import Udp

FORMAT = 6
# Of the balancer's core: what the kernel and our own checks use, and the 10 ms ticks that it is measured in.
QUIET = 0.05


@dataclass(frozen=True, slots=True)
class Results:
    """started: ISO 8601, UTC. machine, versions: see bench/machine.py. settings: rounds, seconds."""

    started: str
    machine: Mapping[str, str | int]
    versions: Mapping[str, str]
    settings: Mapping[str, int]
    samples: list[Sample] = field(default_factory=list)
    idle: list[Idle] = field(default_factory=list)
    picks: list[PickCost] = field(default_factory=list)
    scaling: list[Scaling] = field(default_factory=list)
    lifecycle: list[Figure] = field(default_factory=list)
    slow: list[Slow] = field(default_factory=list)
    udp: list[Udp] = field(default_factory=list)
    tcp: list[Tcp] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)

    def notes(self) -> list[str]:
        """What a reader must know beside the figures."""
        machine, settings = self.machine, self.settings
        kind = "virtual machine, " if machine["virtual"] == "yes" else ""
        notes = [
            f"{self.started[:10]}, {machine['cpu']}, {kind}Linux {machine['kernel']}; "
            "one core for the balancer, one for backends and load generator.",
            f"Medians, least and most of {settings['rounds']} interleaved rounds of {settings['seconds']} s.",
            ", ".join(f"{name} {version}" for name, version in self.versions.items()) + ".",
        ]
        foreign = max((sample.foreign for sample in self.samples), default=0.0)
        if foreign > QUIET:
            notes.append(f"The machine was not quiet: others used up to {foreign:.0%} of the balancer's core.")
        return notes


def write(results: Results, path: Path) -> None:
    """Write the JSON file, with the summary beside the samples for readers without this program."""
    content = {"format": FORMAT, **asdict(results), "summary": [asdict(row) for row in rows(results.samples)]}
    path.write_text(json.dumps(content, indent=1) + "\n")


def read(path: Path) -> Results:
    """Read one back. Raises BenchError when there is none, or when another version wrote it."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as exc:
        raise BenchError(f"no results can be read from {path}: {exc}; run `make bench` first") from exc
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise BenchError(f"{path} is not a file of results in format {FORMAT}; run `make bench` again")
    return Results(
        started=content["started"],
        machine=content["machine"],
        versions=content["versions"],
        settings=content["settings"],
        samples=[Sample(**sample) for sample in content["samples"]],
        idle=[Idle(**idle) for idle in content["idle"]],
        picks=[PickCost(**pick) for pick in content["picks"]],
        scaling=[Scaling(**one) for one in content["scaling"]],
        lifecycle=[Figure(**one) for one in content["lifecycle"]],
        slow=[Slow(**one) for one in content["slow"]],
        tcp=[Tcp(**one) for one in content["tcp"]],
        held=[Held(**one) for one in content["held"]],
        udp=[Udp(**one) for one in content["udp"]],
    )
