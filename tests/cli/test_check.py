"""`steelyard check` prints what would run, or a line for each thing that is wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from steelyard.cli.check import CONFIGURATION
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


@pytest.mark.real
@pytest.mark.parametrize("options", [[], ["--explain"]])
def test_its_output_is_a_configuration_and_nothing_else(options: list[str], file: Path, tmp_path: Path) -> None:
    """So that it can be kept or piped: the same comes out of it again."""
    command = [sys.executable, "-m", "steelyard", "check", *options]
    kept = tmp_path / "kept.yaml"
    with kept.open("w", encoding="utf-8") as stdout:
        done = subprocess.run([*command, str(file)], stdout=stdout, stderr=subprocess.PIPE, check=True, timeout=30)
    assert b"" == done.stderr
    assert config.load(file) == config.load(kept)
    again = subprocess.run(
        [*command, "/dev/stdin"], input=kept.read_bytes(), capture_output=True, check=True, timeout=30
    )
    assert (kept.read_bytes(), b"") == (again.stdout, again.stderr)


@pytest.mark.real
def test_what_a_policy_prints_or_closes_does_not_spoil_it(file: Path, tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(
        "import sys\nprint('HELLO')\nsys.stdout.close()\ndef pick(request, backends): pass\n", encoding="utf-8"
    )
    file.write_text(GOOD.replace("[a:1]", "[a:1], policy: 'loud:pick'"), encoding="utf-8")
    command = [sys.executable, "-m", "steelyard", "check", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert "HELLO\n" == done.stderr
    assert done.stdout.startswith("listeners:\n")


def test_the_configuration_in_its_help_can_run() -> None:
    assert 6 == len(CONFIGURATION.splitlines())
    assert ["least_connections"] == [pool.policy.name for pool in config.loads(CONFIGURATION, environ={}).pools]
    said = [line.strip() for line in CliRunner().invoke(app, ["check", "--help"]).output.splitlines()]
    first = said.index("listeners:")
    assert [line.strip() for line in CONFIGURATION.splitlines()] == said[first : first + 6]


def test_a_wrong_file_is_answered_with_a_line_for_each_problem(file: Path) -> None:
    file.write_text(GOOD.replace("[a:1]", "[a]").replace("pool:", "pol:"), encoding="utf-8")
    result = check(file)
    assert (1, "") == (result.exit_code, result.stdout)
    assert [
        f"{file}:1: listeners.web.pol: unknown key (got app); did you mean pool?",
        f"{file}:2: pools.app.backends[0]: has no port (got a); write a:8000",
    ] == result.stderr.splitlines()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing.yaml"
    result = check(missing)
    assert (1, f"{missing}: file: cannot be read: No such file or directory; check the path and its permissions\n") == (
        result.exit_code,
        result.stderr,
    )


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


@pytest.mark.real
def test_a_secret_is_not_printed_and_what_is_printed_does_not_run(file: Path, tmp_path: Path) -> None:
    file.write_text(GOOD.replace("[a:1]", "[a:1], sticky: {cookie: lb, secret: 0123456789abcdef}"), encoding="utf-8")
    printed = check(file)
    assert (0, False) == (printed.exit_code, "0123456789abcdef" in printed.stdout + check(file, "--explain").stdout)
    file.write_text(printed.stdout, encoding="utf-8")
    assert printed.stdout == check(file).stdout
    command = [sys.executable, "-m", "steelyard", "run", "-c", str(file)]
    environ = {**os.environ, "RUNTIME_DIRECTORY": str(tmp_path / "run")}
    result = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=30, check=False)
    assert (1, "") == (result.returncode, result.stdout)
    assert result.stderr.startswith("configuration: pools.app.sticky.secret: is only what is shown in place of one")
