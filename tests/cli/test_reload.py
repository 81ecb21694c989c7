"""`steelyard reload` has the balancer read its file anew, and says what came of it."""

from pathlib import Path

import pytest

from tests.cli.running import invoke, several

pytestmark = pytest.mark.real


def test_it_says_what_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with several(tmp_path, monkeypatch, 12) as (balancer,):
        balancer.answer = {"lines": ["configuration 2 is in force (1 change) in 0.01 s", "ü"]}
        result = invoke("reload")
    assert (0, "configuration 2 is in force (1 change) in 0.01 s\nü\n", "") == (
        result.exit_code,
        result.stdout,
        result.stderr,
    )
    assert [{"do": "reload"}] == balancer.asked
