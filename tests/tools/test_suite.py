"""tools/suite.py: it passes pytest's output on, keeps its last line, and fails if any run failed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tools import suite


@pytest.fixture
def run_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], suite.Run]:
    """Run a module with this text as one run of the suite."""

    def run(text: str) -> suite.Run:
        (tmp_path / "one_run.py").write_text(text)
        return suite.run("a run", "one_run", PYTHONPATH=str(tmp_path))

    return run


def test_output_is_passed_on_and_the_summary_kept(
    run_script: Callable[[str], suite.Run], capsys: pytest.CaptureFixture[str]
) -> None:
    done = run_script("print('first'); print('==== 3 passed, 1 skipped in 0.1s ===='); print('last')")
    assert (0, "==== 3 passed, 1 skipped in 0.1s ====") == (done.status, done.summary)
    assert ["--- a run ---", "first", "==== 3 passed, 1 skipped in 0.1s ====", "last"] == [
        line for line in capsys.readouterr().out.splitlines() if line
    ]


def test_the_status_of_the_run_is_kept(run_script: Callable[[str], suite.Run]) -> None:
    assert 3 == run_script("raise SystemExit(3)").status


@pytest.mark.parametrize(("first", "second", "status"), [(0, 0, 0), (1, 0, 1), (0, 5, 1)])
def test_one_failed_run_fails_the_whole_and_none_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], first: int, second: int, status: int
) -> None:
    monkeypatch.setattr(suite, "compiler_works", lambda: False)
    monkeypatch.setattr(suite, "interpreted", lambda: [suite.Run("pure", second, 1.0, "== 2 passed in 1s ==")])
    monkeypatch.setattr(suite, "run", lambda name, *_, **__: suite.Run(name, first, 1.0, "== 7 passed in 1s =="))
    monkeypatch.delenv("STEELYARD_REQUIRE_ALL", raising=False)
    assert status == suite.main([])
    assert ["== 7 passed in 1s ==", "== 2 passed in 1s =="] == capsys.readouterr().out.splitlines()[-2:]


def test_where_all_must_run_a_missing_compiler_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "compiler_works", lambda: False)
    monkeypatch.setattr(suite, "interpreted", list)
    monkeypatch.setattr(suite, "run", lambda name, *_, **__: suite.Run(name, 0, 1.0, ""))
    monkeypatch.setenv("STEELYARD_REQUIRE_ALL", "1")
    assert 1 == suite.main([])


REAL: list[str] = ["tests/real/test_a.py::test_one", "tests/real/test_a.py::test_two"]


@pytest.mark.parametrize(
    ("failed", "status", "alone", "runs", "verdict"),
    [
        ([], 0, (0, ""), 1, 0),
        (REAL, 1, (0, "=== 2 passed in 1s ==="), 2, 0),
        (REAL, 1, (1, "=== 1 failed, 1 passed in 1s ==="), 2, 1),
        (REAL, 1, (0, "=== 1 passed in 1s ==="), 2, 1),  # the other one is not marked real
        (REAL, 1, (5, "=== no tests ran in 1s ==="), 2, 1),  # neither is
        (REAL, 1, (0, "=== 12 passed in 1s ==="), 2, 1),
        (REAL, 2, (0, "=== 2 passed in 1s ==="), 1, 2),  # interrupted
        ([], 1, (0, "=== 2 passed in 1s ==="), 1, 1),  # nothing is known of what failed
        ([f"{REAL[0]}[{number}]" for number in range(4)], 1, (0, "=== 4 passed in 1s ==="), 1, 1),
    ],
)
def test_what_failed_beside_others_is_asked_once_more_alone(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    failed: list[str],
    status: int,
    alone: tuple[int, str],
    runs: int,
    verdict: int,
) -> None:
    def run(name: str, *command: str, **_: str) -> suite.Run:
        if "--last-failed" in command:
            assert "-n" not in command
            return suite.Run(name, alone[0], 1.0, alone[1])
        record = tmp_path / "v" / "cache" / "lastfailed"
        record.parent.mkdir(parents=True)
        if failed:
            record.write_text(json.dumps(dict.fromkeys(failed, True)))
        return suite.Run(name, status, 1.0, "=== the first one ===")

    monkeypatch.setattr(suite, "CACHE", tmp_path)
    monkeypatch.setattr(suite, "run", run)
    done = suite.whole("compiled")
    assert (runs, verdict) == (len(done), done[0].status)
    assert ("TO BE LOOKED AT" in done[0].name) == (status == 1 and verdict == 0)


def test_of_real_runs_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """pytest itself: one test fails the first time, another one always."""
    (tmp_path / "test_it.py").write_text(
        "import pathlib, pytest\npytestmark = pytest.mark.real\n"
        "def test_once():\n    mark = pathlib.Path('x')\n    was = mark.exists()\n    mark.touch()\n    assert was\n"
        "def test_sound(): pass\n"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = real\n")
    monkeypatch.setattr(suite, "ROOT", tmp_path)
    monkeypatch.setattr(suite, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(suite, "WORKERS", ())
    first, again = suite.whole("compiled")
    assert (0, "1 failed, 1 passed") == (first.status, " ".join(first.summary.split()[1:5]))
    assert first.name.endswith("passed alone: test_it.py::test_once")
    assert (0, "1 passed") == (again.status, " ".join(again.summary.split()[1:3]))

    (tmp_path / "test_it.py").write_text("import pytest\n@pytest.mark.real\ndef test_never(): assert False\n")
    assert [1, 1] == [one.status for one in suite.whole("compiled")]
    (tmp_path / "test_it.py").write_text("def test_never(): assert False\n")
    assert [1, 5] == [one.status for one in suite.whole("compiled")], "what is not real is not asked again"
