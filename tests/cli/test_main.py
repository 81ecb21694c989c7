"""The command itself: its version, its help, and the exit codes that scripts rely on."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from steelyard.cli.main import app, main, version
from tests.conftest import BUILD


def test_the_version_says_which_build_is_running() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (0, f"{version()}\n", "") == (result.exit_code, result.stdout, result.stderr)
    assert version().startswith("steelyard 0")
    assert version().endswith(f" ({'interpreted' if BUILD == 'interpreted' else 'compiled'})")


def test_without_arguments_the_help_is_shown_and_that_is_wrong_usage() -> None:
    result = CliRunner().invoke(app, [])
    assert 2 == result.exit_code
    assert "steelyard run localhost:8000 localhost:8001 --listen :8080" in result.output


def test_the_help_lists_the_commands_in_the_order_in_which_they_are_needed() -> None:
    said = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).output
    expected = ["run", "check", "diff", "reload", "upgrade", "status", "policies", "simulate", "demo"]
    listed = [line.strip("│ ").split(" ")[0] for line in said.partition("Commands")[2].splitlines()]
    assert expected == [word for word in listed if word in expected]
    assert "steelyard diff balancer.yaml && steelyard reload" in said


@pytest.mark.parametrize(
    ("example", "command"),
    [
        ("steelyard run -c balancer.yaml --workers 4 --access-log -", "run"),
        ("steelyard check balancer.yaml --explain", "check"),
        ("steelyard policies --json", "policies"),
    ],
)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_the_help_of_a_command_has_examples(example: str, command: str, option: str) -> None:
    result = CliRunner().invoke(app, [command, option])
    assert 0 == result.exit_code
    assert example in result.output


def test_the_entry_point_ends_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert 0 == caught.value.code
    assert f"{version()}\n" == capsys.readouterr().out


def test_the_entry_point_reads_the_arguments_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["steelyard", "--nonsense"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert 2 == caught.value.code


@pytest.mark.real
def test_python_m_steelyard_is_the_command(tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "steelyard", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)

    assert (0, f"{version()}\n") == ((said := run("--version")).returncode, said.stdout)
    assert 2 == run("--nonsense").returncode
    missing = run("check", str(tmp_path / "missing.yaml"))
    assert (1, "", 1) == (missing.returncode, missing.stdout, len(missing.stderr.splitlines()))


@pytest.mark.real
def test_the_version_is_said_without_loading_the_configuration_or_the_proxy() -> None:
    heavy = "sorted({'pydantic', 'yaml', 'uvloop', 'asyncio'} & set(sys.modules))"
    code = f"import sys\nfrom steelyard.cli.main import main\ntry: main(['--version'])\nfinally: print({heavy})"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert f"{version()}\n[]\n" == said.stdout
