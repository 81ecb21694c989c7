"""`steelyard policies` lists all that a pool's policy can be, a line each; a broken one is named and breaks nothing."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from steelyard.cli.main import app
from steelyard.control import config, plugins
from steelyard.core.policy import registered
from tests.control.own import OwnPolicies, own_policies
from tests.control.test_plugins import CHOOSER, Installed


def listed(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["policies", *arguments])


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OwnPolicies]:
    with own_policies(tmp_path) as made:
        yield made


@pytest.fixture
def installed(own: OwnPolicies, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    own.write("own_offered.py", CHOOSER)
    own.write("own_bad.py", "1 / 0\n")
    monkeypatch.syspath_prepend(str(own.directory))
    return lambda *points: monkeypatch.setattr(plugins, "entry_points", Installed(*points))


def test_every_policy_has_its_line() -> None:
    result = listed()
    assert (0, "") == (result.exit_code, result.stderr)
    head, *lines = result.stdout.splitlines()
    assert ["policy", "how it chooses", "keys it reads"] == [word.strip() for word in head.split("  ") if word.strip()]
    assert plugins.built_in() == [line.split()[0] for line in lines]
    for line in lines:
        assert registered(line.split()[0]).summary in line


def test_the_keys_are_those_of_the_file() -> None:
    """Each is taken for that policy, and no other is."""
    for entry in json.loads(listed("--json").stdout):
        fields = {field: key for field in registered(entry["name"]).options for key in entry["options"]}
        assert len(fields) == len(entry["options"]) == len(set(entry["options"]))
    (power_of_two,) = (entry for entry in json.loads(listed("--json").stdout) if entry["name"] == "power_of_two")
    assert {
        "name": "power_of_two",
        "summary": registered("power_of_two").summary,
        "options": ["choices"],
        "package": None,
        "error": None,
    } == power_of_two
    assert 3 == config.policy_from_mapping({"name": "power_of_two", "choices": 3}).choices


def test_those_of_packages_are_named_with_their_package(installed: Callable[..., None]) -> None:
    installed(("zlast", "own_offered:Last", "lasting"))
    last = listed().stdout.splitlines()[-1]
    assert ["zlast", "The last one.", "key, fallback, time_limit, options", "lasting 1.0"] == [
        word.strip() for word in last.split("  ") if word.strip()
    ]
    assert "lasting 1.0" == json.loads(listed("--json").stdout)[-1]["package"]


def test_a_broken_one_is_named_and_the_others_are_listed(installed: Callable[..., None]) -> None:
    installed(("bad", "own_bad:pick", "breaking"), ("zlast", "own_offered:Last", "lasting"))
    result = listed()
    assert (0, len(plugins.built_in()) + 3) == (result.exit_code, len(result.stdout.splitlines()))
    (bad,) = (line for line in result.stdout.splitlines() if line.startswith("bad "))
    assert "cannot be loaded from breaking 1.0: ZeroDivisionError: division by zero (own_bad.py, line 1)" in bad
    assert "The last one." in result.stdout
    (entry,) = (entry for entry in json.loads(listed("--json").stdout) if entry["name"] == "bad")
    assert ("cannot be loaded", []) == (entry["error"][:16], entry["options"])


@pytest.mark.real
def test_one_broken_package_takes_nothing_down(own: OwnPolicies) -> None:
    """In a process of its own, as pydantic reads what packages offer too, when it is imported."""
    own.write("bad-2.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: bad\nVersion: 2.0\n")
    own.write("bad-2.0.dist-info/entry_points.txt", "[steelyard.policies]\n=z:ok\nfoo\n")
    searched = os.pathsep.join([str(own.directory), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-m", "steelyard", "policies"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        env={**os.environ, "PYTHONPATH": searched},
    )
    assert "" == done.stderr
    assert "entry_points.txt of bad 2.0 cannot be read (TypeError" in done.stdout
    assert len(plugins.built_in()) + 2 == len(done.stdout.splitlines())


def test_its_help_has_examples() -> None:
    assert "steelyard policies --json" in listed("--help").stdout
