"""A table measured alone: what it shows, and how it fails."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from bench import machine
from bench.alone import FAILED, INTERRUPTED, alone
from bench.failure import BenchError


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any machine will do, and this process stays where it is."""
    monkeypatch.setattr(machine, "two_cores", lambda: (0, 1))
    monkeypatch.setattr(machine, "check_programs", lambda *programs: None)
    monkeypatch.setattr("os.sched_setaffinity", lambda pid, cores: None)


def test_what_was_measured_is_shown_and_its_directory_is_gone(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[Path] = []

    def measure(directory: Path, balancer_core: int, load_core: int, console: Console) -> Iterable[Table]:
        seen.append(directory)
        assert directory.is_dir()
        console.print("measuring")
        yield Table(f"on {balancer_core} and {load_core}")

    assert 0 == alone(measure=measure)
    said = capsys.readouterr().out
    assert "measuring" in said
    assert "on 0 and 1" in said
    assert not seen[0].exists()


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [(BenchError("no [wrk] here"), FAILED, "bench: no [wrk] here"), (KeyboardInterrupt(), INTERRUPTED, "interrupted")],
)
def test_a_failure_is_one_line_and_a_status(
    error: BaseException, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(*_: object) -> Iterable[Table]:
        raise error

    assert status == alone(measure=measure)
    assert said in capsys.readouterr().out
