"""processes/terminal.py: whether a terminal was closed just now."""

import pytest

from steelyard.processes import terminal
from steelyard.processes.terminal import MOMENT_S, Terminal


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether there is one: a list of one truth."""
    there = [True]
    monkeypatch.setattr(terminal, "has_terminal", lambda: there[0])
    return there


def test_one_that_goes_has_just_closed_for_a_moment(there: list[bool]) -> None:
    ours = Terminal()
    assert not ours.just_closed()
    there[0] = False
    assert ours.just_closed()
    ours.tick(1.0)
    ours.tick(1.0 + MOMENT_S)
    assert ours.just_closed()
    ours.tick(1.1 + MOMENT_S)
    assert not ours.just_closed()


def test_one_that_is_there_again_is_there(there: list[bool]) -> None:
    ours = Terminal()
    for at, now in enumerate((1.0, 2.0, 9.0, 10.5)):
        there[0] = at % 2 == 1
        ours.tick(now)
    there[0] = False
    assert ours.just_closed()


def test_who_never_had_one_cannot_lose_it(there: list[bool]) -> None:
    there[0] = False
    assert not Terminal().just_closed()
