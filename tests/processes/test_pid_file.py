"""The file says which process is the supervisor, while it is."""

import os
from pathlib import Path

import pytest

from steelyard.processes import pid_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "steelyard.pid"


def test_it_is_there_from_the_start_to_the_end(path: Path) -> None:
    pid_file.write(str(path))
    assert f"{os.getpid()}\n" == path.read_text()
    pid_file.remove(str(path))
    assert not path.exists()


@pytest.mark.parametrize("text", ["1\n", "", "nonsense\xff"])
def test_another_s_is_left_alone(text: str, path: Path) -> None:
    """As that of the program that took over."""
    path.write_text(text, encoding="latin-1")
    pid_file.remove(str(path))
    assert text == path.read_text(encoding="latin-1")


def test_none_is_asked_for_by_an_empty_path() -> None:
    pid_file.write("")
    pid_file.remove("")


def test_one_that_is_gone_already_is_no_matter(path: Path) -> None:
    pid_file.remove(str(path))


def test_where_it_cannot_be_written_that_is_said_and_no_more(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pid_file.write(str(path / "below" / "a.pid"))
    assert [
        f"pid_file: {path}/below/a.pid cannot be written: No such file or directory; name a place where it can"
    ] == (caplog.messages)
