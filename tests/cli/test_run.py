"""`steelyard run` makes words of its arguments and becomes the supervisor; wrong usage ends it with 2.

What comes of those words is in tests/processes.
"""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from steelyard.cli import run as command
from steelyard.cli.main import app
from steelyard.processes import source


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["run", *map(str, arguments)], env={"COLUMNS": "200"})


@pytest.fixture
def become(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The words that the supervisor would have been given."""
    words: list[dict[str, Any]] = []
    monkeypatch.setattr(command, "become", words.append)
    return words


def test_backends_alone_are_enough(become: list[dict[str, Any]]) -> None:
    assert 0 == run("a:1", "http://b:2").exit_code
    assert [source.from_backends(["a:1", "http://b:2"], ":8080", None, None)] == become


def test_each_option_has_its_effect(become: list[dict[str, Any]]) -> None:
    options = ["--listen", "127.0.0.1:9", "--policy", "hash", "--key", "path", "--access-log", "-", "--workers", "3"]
    assert 0 == run("a:1", *options, "--pid-file", "/run/a.pid").exit_code
    more = {"workers": 3, "access_log": "-", "pid_file": "/run/a.pid"}
    assert [source.from_backends(["a:1"], "127.0.0.1:9", "hash", "path", **more)] == become


def test_a_file_is_run(become: list[dict[str, Any]]) -> None:
    assert 0 == run("-c", "balancer.yaml").exit_code
    assert [source.from_file(Path("balancer.yaml"))] == become


def test_what_a_file_says_can_be_overridden(become: list[dict[str, Any]]) -> None:
    given = (["--access-log", "b.log"], ["--access-log", "off"], ["--workers", "auto"])
    assert [0, 0, 0] == [run("-c", "b.yaml", *options).exit_code for options in given]
    expected = ({"access_log": "b.log"}, {"access_log": None}, {"workers": None})
    assert [source.from_file(Path("b.yaml"), **overrides) for overrides in expected] == become


def test_the_help_says_where_policies_are_listed() -> None:
    said = " ".join(run("--help").output.replace("│", " ").split())
    assert (
        "How a backend is chosen: one that steelyard policies lists, or mymodule:pick. [default: round_robin]" in said
    )


@pytest.mark.parametrize(
    ("expected", "arguments"),
    [
        ("such as: steelyard run localhost:8000 localhost:8001 --listen :8080", []),
        ("name backends or a file, not both: the file names its own", ["a:1", "-c", "FILE"]),
        ("belongs in the file", ["-c", "FILE", "--listen", ":80"]),
        ("belongs in the file", ["-c", "FILE", "--policy", "random"]),
        ("belongs in the file", ["-c", "FILE", "--key", "path"]),
        ("'0' is neither auto nor a number from 1 to 256", ["a:1", "--workers", "0"]),
        ("'many' is neither auto nor a number from 1 to 256", ["a:1", "-w", "many"]),
        ("No such option: --nonsense", ["--nonsense"]),
    ],
)
def test_wrong_usage_says_so_and_starts_nothing(
    expected: str, arguments: list[str], become: list[dict[str, Any]]
) -> None:
    result = run(*arguments)
    assert (2, "", []) == (result.exit_code, result.stdout, become)
    assert expected in result.stderr
