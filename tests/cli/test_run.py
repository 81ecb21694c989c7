"""`steelyard run` makes a specification of its arguments; what is wrong with them ends it with the right exit code."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from steelyard.cli import serve
from steelyard.cli.main import app
from steelyard.control import config
from steelyard.core.spec import Spec
from steelyard.errors import ConfigError, ListenError, Problem
from tests.control.own import own_policies

GOOD = "listeners: {web: {bind: ':8080', pool: app}}\npools: {app: {backends: [a:1]}}\naccess_log: a.log\n"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["run", *map(str, arguments)], env={"COLUMNS": "200"})


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Spec]:
    """The specifications that would have been run."""
    specs: list[Spec] = []
    monkeypatch.setattr(serve, "serve", specs.append)
    return specs


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "balancer.yaml"
    path.write_text(GOOD, encoding="utf-8")
    return path


def test_backends_alone_are_enough(served: list[Spec]) -> None:
    assert 0 == run("a:1", "http://b:2").exit_code
    assert [config.from_arguments(["a:1", "b:2"], ":8080")] == served


def test_each_option_has_its_effect(served: list[Spec]) -> None:
    assert (
        0 == run("a:1", "--listen", "127.0.0.1:9", "--policy", "hash", "--key", "path", "--access-log", "-").exit_code
    )
    (made,) = served
    assert ("127.0.0.1", 9, "-") == (made.listeners[0].host, made.listeners[0].port, made.access_log)
    assert ("hash", "path") == (made.pools[0].policy.name, made.pools[0].policy.key)


def test_the_help_says_where_policies_are_listed() -> None:
    said = " ".join(run("--help").output.replace("│", " ").split())
    assert (
        "How a backend is chosen: one that steelyard policies lists, or mymodule:pick. [default: round_robin]" in said
    )


def test_a_policy_of_one_s_own_is_taken_from_the_working_directory(
    served: list[Spec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with own_policies(tmp_path) as own:
        own.write("run_own.py")
        assert 0 == run("a:1", "--policy", "run_own:pick").exit_code
        wrong = run("a:1", "--policy", "run_own:pik")
    assert "run_own:pick" == served[0].pools[0].policy.name
    assert (1, True) == (wrong.exit_code, wrong.stderr.startswith("command line: --policy: module run_own ("))
    assert wrong.stderr.endswith("has no pik (got run_own:pik); did you mean pick?\n")


def test_a_file_is_run(served: list[Spec], file: Path) -> None:
    assert 0 == run("-c", file).exit_code
    assert [config.load(file)] == served


def test_the_access_log_of_a_file_can_be_moved_or_switched_off(served: list[Spec], file: Path) -> None:
    assert [0, 0] == [
        run("-c", file, "--access-log", "b.log").exit_code,
        run("-c", file, "--access-log", "off").exit_code,
    ]
    assert ["b.log", None] == [made.access_log for made in served]


@pytest.mark.parametrize(
    ("expected", "arguments"),
    [
        ("such as: steelyard run localhost:8000 localhost:8001 --listen :8080", []),
        ("name backends or a file, not both: the file names its own", ["a:1", "-c", "FILE"]),
        ("belongs in the file", ["-c", "FILE", "--listen", ":80"]),
        ("belongs in the file", ["-c", "FILE", "--policy", "random"]),
        ("belongs in the file", ["-c", "FILE", "--key", "path"]),
        ("No such option: --nonsense", ["--nonsense"]),
    ],
)
def test_wrong_usage_says_so_and_starts_nothing(
    expected: str, arguments: list[str], served: list[Spec], file: Path
) -> None:
    result = run(*[file if argument == "FILE" else argument for argument in arguments])
    assert (2, "", []) == (result.exit_code, result.stdout, served)
    assert expected in result.stderr


def test_a_wrong_configuration_starts_nothing(served: list[Spec], file: Path) -> None:
    file.write_text(GOOD.replace("a:1", "a"), encoding="utf-8")
    result = run("-c", file)
    assert (1, "", []) == (result.exit_code, result.stdout, served)
    assert f"{file}:2: pools.app.backends[0]: has no port (got a); write a:8000\n" == result.stderr


def test_wrong_arguments_are_answered_as_arguments(served: list[Spec]) -> None:
    result = run("a:1", "--policy", "round_robbin")
    assert (1, []) == (result.exit_code, served)
    assert "command line: --policy: unknown policy (got round_robbin); did you mean round_robin?\n" == result.stderr


def test_an_address_that_cannot_be_had_is_one_line(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    """It begins with what holds the address: the option, or the key of the file."""

    def fail(spec: Spec) -> None:
        raise ListenError("web", "0.0.0.0:8080: in use; take another port")

    monkeypatch.setattr(serve, "serve", fail)
    for arguments, holder in ((("a:1",), "--listen"), (("-c", file), "listeners.web.bind")):
        result = run(*arguments)
        assert (1, f"{holder}: 0.0.0.0:8080: in use; take another port\n") == (result.exit_code, result.stderr)


def test_an_access_log_that_cannot_be_opened_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(spec: Spec) -> None:
        raise ConfigError([Problem("configuration", "access_log", "cannot be written", "/no/a.log")])

    monkeypatch.setattr(serve, "serve", fail)
    result = run("a:1", "--access-log", "/no/a.log")
    assert (1, "configuration: access_log: cannot be written (got /no/a.log)\n") == (
        result.exit_code,
        result.stderr,
    )


def test_any_other_failure_is_a_bug_and_shown_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(spec: Spec) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(serve, "serve", fail)
    assert isinstance(run("a:1").exception, OSError)
