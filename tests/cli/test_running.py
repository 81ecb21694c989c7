"""A command finds the balancer that is meant, or says which there are; exit codes are 0, 1 and 2."""

from pathlib import Path

import pytest

from tests.cli.running import invoke, several

pytestmark = pytest.mark.real
COMMANDS = ("reload", "status", "upgrade")


@pytest.mark.parametrize("command", COMMANDS)
def test_without_a_balancer_the_exit_code_is_1(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with several(tmp_path, monkeypatch):
        result = invoke(command)
    expected = f"no balancer of this user is running (looked in {tmp_path}); start one with steelyard run\n"
    assert (1, "", expected) == (result.exit_code, result.stdout, result.stderr)


@pytest.mark.parametrize("command", COMMANDS)
def test_of_several_one_has_to_be_named(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with several(tmp_path, monkeypatch, 12, 4711) as balancers:
        result = invoke(command)
    expected = f"several balancers run: 12, 4711 (looked in {tmp_path}); name one with --pid\n"
    assert (1, "", expected) == (result.exit_code, result.stdout, result.stderr)
    assert [[], []] == [one.asked for one in balancers]


def test_the_one_that_is_named_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with several(tmp_path, monkeypatch, 12, 4711) as balancers:
        balancers[1].answer = {"configuration": 2, "changes": 3, "took_s": 0.5, "pause_s": 0.0}
        result = invoke("reload", "--pid", 4711)
    assert (0, [], [{"do": "reload"}]) == (result.exit_code, balancers[0].asked, balancers[1].asked)


def test_one_that_does_not_run_cannot_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with several(tmp_path, monkeypatch, 12):
        result = invoke("reload", "--pid", 13)
    assert (1, "no balancer of this user has the process id 13; running: 12\n") == (result.exit_code, result.stderr)


@pytest.mark.parametrize(
    ("expected", "answer"),
    [
        ("this is why", {"failed": "this is why"}),
        ("it ended without an answer", None),
        ("the balancer does not answer: Expecting value", b"HTTP/1.1 400 Bad Request\r\n"),
    ],
)
@pytest.mark.parametrize("command", COMMANDS)
def test_what_failed_is_said_and_the_exit_code_is_1(
    command: str, expected: str, answer: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with several(tmp_path, monkeypatch, 12) as (balancer,):
        balancer.answer = answer
        result = invoke(command)
    assert (1, "", True) == (result.exit_code, result.stdout, result.stderr.startswith(expected))


@pytest.mark.parametrize("arguments", [["reload", "--pid", "many"], ["status", "12"], ["upgrade", "--now"], ["diff"]])
def test_wrong_usage_is_2(arguments: list[str]) -> None:
    result = invoke(*arguments)
    assert (2, "") == (result.exit_code, result.stdout)
    assert f"Usage: steelyard {arguments[0]}" in result.stderr
