"""control/watch.py: a change of the file is seen once, when it has settled. Nobody waits here: `follow` is real."""

import os
from pathlib import Path

import pytest

from steelyard.control.watch import FileWatch


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "lb.yaml"
    path.write_text("one")
    return path


def looks(watch: FileWatch, count: int) -> list[bool]:
    return [watch.changed() for _ in range(count)]


def test_a_file_that_stays_as_it_is_has_not_changed(file: Path) -> None:
    assert [False] * 3 == looks(FileWatch(file), 3)


def test_a_change_counts_once_when_it_has_stayed_for_a_look(file: Path) -> None:
    watch = FileWatch(file)
    file.write_text("another")
    assert [False, True, False, False] == looks(watch, 4)


def test_a_file_that_is_written_in_two_goes_counts_when_the_second_is_done(file: Path) -> None:
    watch = FileWatch(file)
    file.write_text("half of")
    assert [False] == looks(watch, 1)
    file.write_text("half of it, and the rest")
    assert [False, True, False] == looks(watch, 3)


def test_what_is_written_over_within_the_same_length_has_changed(file: Path) -> None:
    watch = FileWatch(file)
    file.write_text("two")
    os.utime(file, ns=(1, 1))
    assert [False, True] == looks(watch, 2)


def test_a_file_that_takes_its_place_has_changed(file: Path) -> None:
    """As editors save."""
    watch = FileWatch(file)
    found = os.stat(file)
    beside = file.with_suffix(".new")
    beside.write_text("two")
    os.utime(beside, ns=(found.st_atime_ns, found.st_mtime_ns))
    beside.rename(file)
    assert [False, True] == looks(watch, 2)


def test_a_link_that_is_turned_over_has_changed(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "lb.yaml").write_text(name)
    (tmp_path / "current").symlink_to("one")
    watch = FileWatch(tmp_path / "current" / "lb.yaml")
    (tmp_path / "turned").symlink_to("two")
    (tmp_path / "turned").rename(tmp_path / "current")
    assert [False, True, False] == looks(watch, 3)


def test_a_file_that_is_away_is_no_change_and_another_one_in_its_place_is(file: Path) -> None:
    watch = FileWatch(file)
    away = file.with_suffix(".away")
    file.rename(away)
    assert [False] * 3 == looks(watch, 3)
    away.rename(file)
    assert [False] * 3 == looks(watch, 3)
    file.unlink()
    assert [False] == looks(watch, 1)
    file.write_text("another")
    assert [False, True, False] == looks(watch, 3)


def test_a_file_that_was_not_there_at_first_has_changed_when_it_comes(tmp_path: Path) -> None:
    watch = FileWatch(tmp_path / "later.yaml")
    assert [False] * 2 == looks(watch, 2)
    (tmp_path / "later.yaml").write_text("one")
    assert [False, True, False] == looks(watch, 3)
