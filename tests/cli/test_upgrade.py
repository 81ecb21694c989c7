"""`steelyard upgrade` ends when the new program serves."""

from pathlib import Path

import pytest

from tests.cli.running import invoke, several

pytestmark = pytest.mark.real


def test_it_says_which_process_serves_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with several(tmp_path, monkeypatch, 12) as (balancer,):
        balancer.answer = {"pid": 4711}
        result = invoke("upgrade")
    assert (0, "the new program serves (pid 4711); the old one finishes what it has\n", "") == (
        result.exit_code,
        result.stdout,
        result.stderr,
    )
    assert [{"do": "upgrade"}] == balancer.asked
