"""`steelyard check` prints what would run, or a line for each thing that is wrong."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from steelyard.cli.main import app
from steelyard.control import config, effective

GOOD = "listeners: {web: {bind: ':8080', pool: app}}\npools: {app: {backends: [a:1]}}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "balancer.yaml"
    path.write_text(GOOD, encoding="utf-8")
    return path


def check(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["check", *map(str, arguments)])


def test_a_right_file_is_printed_with_all_its_defaults(file: Path) -> None:
    expected = effective.effective(config.loads(GOOD))
    for result in (check(file), check("-c", file), check("--config", file)):
        assert (0, expected, "") == (result.exit_code, result.stdout, result.stderr)


def test_defaults_are_explained_on_request(file: Path) -> None:
    result = check(file, "--explain")
    assert (0, effective.explained(config.loads(GOOD))) == (result.exit_code, result.stdout)


def test_a_wrong_file_is_answered_with_a_line_for_each_problem(file: Path) -> None:
    file.write_text(GOOD.replace("[a:1]", "[a]").replace("pool:", "pol:"), encoding="utf-8")
    result = check(file)
    assert (1, "") == (result.exit_code, result.stdout)
    assert [
        f"{file}:1: listeners.web.pol: unknown key; did you mean pool?",
        f"{file}:2: pools.app.backends[0]: has no port (got a); write a:8000",
    ] == result.stderr.splitlines()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing.yaml"
    result = check(missing)
    assert (1, f"{missing}: file: cannot be read: No such file or directory\n") == (result.exit_code, result.stderr)


def test_the_schema_needs_no_file() -> None:
    result = check("--json-schema")
    assert (0, config.json_schema()) == (result.exit_code, json.loads(result.stdout))


@pytest.mark.parametrize(
    "arguments", [[], ["a.yaml", "-c", "b.yaml"], ["--json-schema", "a.yaml"], ["--json-schema", "--explain"]]
)
def test_wrong_usage_says_so(arguments: list[str]) -> None:
    result = check(*arguments)
    assert (2, "") == (result.exit_code, result.stdout)
    assert "Usage: steelyard check" in result.stderr
