"""What the README shows is true: its commands exist, its configuration runs, its error is said, its program works."""

import re
import shlex
import signal
from pathlib import Path
from typing import Final

import pytest
from typer.main import get_command

from steelyard.cli.main import app
from steelyard.control import config
from steelyard.errors import ConfigError
from tests.systems.programs import EXAMPLES, HOST, ROOT, get, program

README: Final = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The code blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands(program_name: str) -> list[list[str]]:
    """What is shown to be typed that begins with this word."""
    lines = [
        line[2:].partition("  #")[0] for block in blocks("console") for line in block.splitlines() if line[:2] == "$ "
    ]
    return [words for line in lines if (words := shlex.split(line))[0] == program_name]


def test_every_steelyard_command_is_one_with_options_that_it_has() -> None:
    shown = commands("steelyard")
    assert 3 <= len(shown)
    command = get_command(app)
    for words in shown:
        context = command.make_context("steelyard", words[1:])
        sub = command.get_command(context, words[1])  # type: ignore[attr-defined]  # a group, by its type only a command
        sub.make_context(words[1], words[2:])


def test_every_make_target_is_one() -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    named = [words[1] for words in commands("make")] + re.findall(r"`make (\w+)`", README)
    assert "demo" in named
    assert set(named) <= set(targets)


def test_what_it_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#]+)\)|<img src=\"([^\"]+)\"", README)
    assert len(links) > 5
    for link, image in links:
        assert (ROOT / (link or image)).exists(), link or image


def test_its_configurations_can_run() -> None:
    found = [[pool.name for pool in config.loads(text).pools] for text in blocks("yaml")]
    assert [["web", "api"], ["app", "images", "sensors"]] == found


def test_the_mistakes_that_it_makes_are_answered_as_it_says() -> None:
    text = blocks("yaml")[0]
    (said,) = blocks("text")
    broken = text
    for right, wrong in (("interval: 2s", "interval: 2"), ("policy: least", "polcy: least")):
        assert 1 == broken.count(right)
        broken = broken.replace(right, wrong)
    with pytest.raises(ConfigError) as caught:
        config.loads(broken, "balancer.yaml")
    assert said == f"{caught.value}\n"


@pytest.mark.real
def test_its_program_balances_and_prints_each_request(tmp_path: Path) -> None:
    (text,) = [block for block in blocks("python") if "LoadBalancer" in block]
    server = EXAMPLES / "three-servers" / "server.py"
    with program(server, 1, 0) as one, program(server, 2, 0) as two:
        ports = [one.port(), two.port()]
        for shown, port in zip(("localhost:8000", "localhost:8001", "127.0.0.1:8080"), [*ports, 0], strict=True):
            assert 1 == text.count(f'"{shown}"')
            text = text.replace(shown, f"{HOST}:{port}")
        file = tmp_path / "program.py"
        file.write_text(text, encoding="utf-8")
        with program(file) as running:
            port = int(running.until(rf"^listening on {HOST}:(\d+)$")[1])
            assert {"Server 1", "Server 2"} == {get(port, "/hello").text for _ in range(2)}
            said = [running.until(rf"^/hello -> {HOST}:(\d+)$")[1] for _ in range(2)]
            assert {str(port) for port in ports} == set(said)
            running.end(signal.SIGINT)


@pytest.mark.real
def test_its_pool_of_processes_does_what_it_says(tmp_path: Path) -> None:
    (text,) = [block for block in blocks("python") if "LocalPool" in block]
    file = tmp_path / "words.py"
    file.write_text(text, encoding="utf-8")
    with program(file) as running:
        said = {running.until(r"^count_words-[01] (\d)$")[1] for _ in range(2)}  # as they come, in any order
    assert {"2", "4"} == said
