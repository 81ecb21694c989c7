"""Results can be kept and shown again, and say what a reader must know."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench.failure import BenchError
from bench.idle import Idle
from bench.lifecycle import Figure
from bench.picks import PickCost
from bench.results import Results, read, write
from bench.rounds import Sample
from bench.scaling import Scaling
from bench.slow import Slow
from bench.tcp import Held, Tcp
from bench.udp import Udp

RESULTS = Results(
    started="2026-11-20T10:00:00+00:00",
    machine={"cpu": "Some CPU", "cores": 2, "virtual": "yes", "memory_mib": 1024, "kernel": "6.18", "python": "3.11.2"},
    versions={"nginx": "1.22.1", "Steelyard": "0.1.0 (compiled)"},
    settings={"rounds": 5, "seconds": 3},
    samples=[Sample(1, "small", "nginx", 1000, 14.5, 69000.0, 800.0, 2100.0, 0.99, 0.01)],
    idle=[Idle("nginx", 5000, 9_000_000, 410.5)],
    picks=[PickCost("random", 10_000, 0.5, 12.5), PickCost("random", 10, 0.1, None)],
    scaling=[Scaling(1, 2, 1000, 20.5)],
    lifecycle=[Figure("a reload", 0.5, "s", 1.0), Figure("CPU", 0.7, "s")],
    slow=[Slow(1, "heads", 2000, 3900.5, 200.0, 2680.0)],
    tcp=[Tcp(1, "echo", "haproxy", 1000, 11.5)],
    held=[Held("steelyard", 9000, 3300.5)],
    udp=[Udp(1, "nginx", 10_000, 9999.5, 3, 20.5, 812.5)],
)


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    write(RESULTS, tmp_path / "latest.json")
    assert RESULTS == read(tmp_path / "latest.json")


def test_the_file_has_the_summary_for_other_readers(tmp_path: Path) -> None:
    write(RESULTS, tmp_path / "latest.json")
    assert 14.5 == json.loads((tmp_path / "latest.json").read_text())["summary"][0]["cpu_us"]


@pytest.mark.parametrize("text", ["", "[]", '{"format": 0}'])
def test_a_foreign_file_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "latest.json").write_text(text)
    with pytest.raises(BenchError, match="make bench"):
        read(tmp_path / "latest.json")


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="run `make bench` first"):
        read(tmp_path / "latest.json")


def test_the_notes_name_machine_rounds_and_versions() -> None:
    text = "\n".join(RESULTS.notes())
    for part in (
        "2026-11-20",
        "Some CPU, virtual machine",
        "Linux 6.18",
        "5 interleaved rounds of 3 s",
        "Steelyard 0.1.0 (compiled)",
    ):
        assert part in text
    assert "not quiet" not in text


def test_the_notes_say_when_the_machine_was_not_quiet() -> None:
    noisy = replace(RESULTS, samples=[replace(RESULTS.samples[0], foreign=0.35)])
    assert "The machine was not quiet: others used up to 35% of the balancer's core." == noisy.notes()[-1]
