"""Whatever somebody else's code does ends in a Fault, and what it prints is not on standard output."""

import sys
from typing import Any

import pytest

from steelyard.control.fault import Fault
from steelyard.control.foreign import described, watched


class Own(BaseException):
    """Seen by no `except Exception`."""


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


class Interrupted(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt


def said(exc: BaseException) -> str:
    with pytest.raises(Fault) as caught, watched("is broken", "mend it"):
        raise exc
    assert exc is caught.value.__cause__
    assert "mend it" == caught.value.mend
    return caught.value.message


@pytest.mark.parametrize(
    ("expected", "exc"),
    [
        ("Own: x", Own("x")),
        ("GeneratorExit", GeneratorExit()),
        ("SystemExit: 3", SystemExit(3)),
        ("StopIteration", StopIteration()),
        ("Fault: theirs", Fault("theirs", at=("x",))),
        ("Mute, which cannot say what it is", Mute()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_is_raised_is_a_fault_with_its_place(expected: str, exc: BaseException) -> None:
    assert said(exc).startswith(f"is broken: {expected} (test_foreign.py, line ")


def test_a_persons_ctrl_c_is_not() -> None:
    with pytest.raises(KeyboardInterrupt), watched("is broken", "mend it"):
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        described(Interrupted())


def test_the_place_is_where_their_own_file_called_the_library() -> None:
    with pytest.raises(ValueError, match="Expecting") as caught:
        __import__("json").loads("?")
    assert "(test_foreign.py, line " in described(caught.value)
    assert "ValueError: x" == described(ValueError("x"))


def test_prints_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with watched("is broken", "mend it"):
        print("aside")
        sys.stdout.flush()
    print("ours")
    assert ("ours\n", "aside\n") == capsys.readouterr()


def test_closing_standard_output_closes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with watched("is broken", "mend it"):
        sys.stdout.close()
    print("ours")
    print("error", file=sys.stderr)
    assert ("ours\n", "error\n") == capsys.readouterr()


def test_without_standard_error_a_print_is_lost(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    with watched("is broken", "mend it"):
        print("aside")
    assert "" == capsys.readouterr().out
