"""Where a configuration comes from travels as words, and is read by them whenever it is wanted."""

import json
from pathlib import Path

import pytest

from steelyard.control import config
from steelyard.errors import ConfigError, ListenError
from steelyard.processes import source

TEXT = "workers: 2\nlisteners: {web: {bind: ':8080', pool: app}}\npools: {app: {backends: [a:1]}}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "balancer.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return path


def travelled(words: source.Words) -> source.Words:
    """As they come to another process."""
    found: source.Words = json.loads(json.dumps(words))
    return found


def test_a_file_is_read_anew_each_time(file: Path) -> None:
    words = travelled(source.from_file(file))
    assert (str(file), file) == (words["title"], source.file_of(words))
    assert config.loads(TEXT) == source.read(words)
    file.write_text(TEXT.replace("a:1", "b:2"), encoding="utf-8")
    assert ["b:2"] == [one.address for pool in source.read(words).pools for one in pool.backends]


def test_what_the_command_line_says_counts_more_than_the_file(file: Path) -> None:
    spec = source.read(travelled(source.from_file(file, workers=None, access_log="-")))
    assert (None, "-") == (spec.workers, spec.access_log)


def test_a_command_line_is_a_configuration_too() -> None:
    words = travelled(source.from_backends(["a:1", "b:2"], ":81", "hash", "path", pid_file="/run/a.pid"))
    spec = source.read(words)
    assert (None, ":81") == (source.file_of(words), words["title"])
    assert ("0.0.0.0:81", "/run/a.pid", "hash", "path") == (
        spec.listeners[0].address,
        spec.pid_file,
        spec.pools[0].policy.name,
        spec.pools[0].policy.key,
    )


def test_what_is_wrong_in_it_is_said(file: Path) -> None:
    file.unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        source.read(source.from_file(file))
    with pytest.raises(ConfigError, match="no_such"):
        source.read(source.from_backends(["a:1"], ":81", "no_such", None))


def test_an_address_that_cannot_be_had_is_named_as_it_was_written() -> None:
    exc = ListenError("web", "0.0.0.0:80: the port is in use")
    assert "--listen: 0.0.0.0:80: the port is in use" == source.described(source.from_backends([], "", None, None), exc)
    assert f"a.yaml: {exc}" == source.described(source.from_file(Path("a.yaml")), exc)
