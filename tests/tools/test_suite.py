"""tools/suite.py: it passes pytest's output on, keeps its last line, and fails if any run failed."""

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
