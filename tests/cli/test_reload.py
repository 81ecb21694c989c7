"""`steelyard reload` has the balancer read its file anew, and says what came of it."""

from pathlib import Path

import pytest

from tests.cli.running import invoke, several

pytestmark = pytest.mark.real


def test_it_says_what_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with several(tmp_path, monkeypatch, 12) as (balancer,):
        balancer.answer = {"configuration": 2, "changes": 1, "took_s": 0.014, "pause_s": 0.0031}
        result = invoke("reload")
    expected = "configuration 2 is in force (1 change; longest pause of a worker 3.1 ms) after 0.01 s\n"
    assert (0, expected, "") == (
        result.exit_code,
        result.stdout,
        result.stderr,
    )
    assert [{"do": "reload"}] == balancer.asked
