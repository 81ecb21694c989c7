"""`steelyard diff` shows what a reload would change, and changes nothing."""

from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import Running, invoke, several

pytestmark = pytest.mark.real


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "new.yaml"
    path.write_text("listeners: {ü: {}}\n", encoding="utf-8")
    return path


@pytest.fixture
def balancer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "run").mkdir()
    with several(tmp_path / "run", monkeypatch, 12) as (one,):
        yield one


def test_changes_are_shown_with_what_was_and_what_will_be(balancer: Running, file: Path) -> None:
    balancer.answer = {
        "changes": [
            ["added", "pools.b", None, "[c:1]", True],
            ["removed", "pools.a.backends[a:1]", None, None, True],
            ["removed", "listeners.api", ":81", None, True],
            ["changed", "workers", "2", "3", False],
            ["changed", "pools.a.sticky.secret", None, None, True],
        ],
        "moves": ["of 512 recent requests 12 would go elsewhere", "  12 from a to b"],
    }
    result = invoke("diff", file)
    assert (0, "") == (result.exit_code, result.stderr)
    assert [
        "+ pools.b: [c:1]",
        "- pools.a.backends[a:1]",
        "- listeners.api: :81",
        "~ workers: 2 -> 3  (not by a reload: steelyard upgrade)",
        "~ pools.a.sticky.secret",
        "of 512 recent requests 12 would go elsewhere",
        "  12 from a to b",
    ] == result.stdout.splitlines()
    assert [{"do": "diff", "text": "listeners: {ü: {}}\n", "file": str(file)}] == balancer.asked


def test_without_changes_it_says_so(balancer: Running, file: Path) -> None:
    balancer.answer = {"changes": [], "moves": []}
    assert (0, "no change\n") == ((result := invoke("diff", file)).exit_code, result.stdout)


def test_the_balancer_is_told_where_the_file_is_although_it_runs_elsewhere(
    balancer: Running, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    balancer.answer = {"changes": [], "moves": []}
    monkeypatch.chdir(file.parent)
    invoke("diff", file.name)
    assert str(file) == balancer.asked[0]["file"]


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_1(content: bytes | None, balancer: Running, tmp_path: Path) -> None:
    path = tmp_path / "other.yaml"
    if content is not None:
        path.write_bytes(content)
    result = invoke("diff", path)
    assert (1, "", []) == (result.exit_code, result.stdout, balancer.asked)
    assert result.stderr.startswith(f"{path}: cannot be read: ")
