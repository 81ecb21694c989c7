"""Somebody else's code, run while a configuration is read: whatever it does ends in a `Fault`, and stdout stays ours.

A module may end the program, raise what no `except Exception` sees, or an exception that cannot be shown. Only a
person's Ctrl-C gets through. What it prints goes to standard error: standard output is the configuration of
`steelyard check`, the list of `steelyard policies`, or an access log.
"""

import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from traceback import walk_tb
from typing import Any, Final, cast

from steelyard.control.fault import Fault

_OURS: Final = str(Path(__file__).resolve().parent.parent)
_STANDARD: Final = sysconfig.get_path("stdlib")


class _Aside:
    """Standard error in place of standard output; closing it closes nothing."""

    def close(self) -> None:
        """Do nothing: it is not theirs to close."""

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


@contextmanager
def watched(message: str, mend: str) -> Iterator[None]:
    """What is raised within becomes a Fault: the message, a colon, and what it was."""
    # A program may have no standard error at all; then there is nowhere to print to.
    with redirect_stdout(None if sys.stderr is None else cast(Any, _Aside())):
        try:
            yield
        except KeyboardInterrupt:
            raise
        except BaseException as exc:
            raise Fault(f"{message}: {described(exc)}", mend) from exc


def described(exc: BaseException) -> str:
    """An exception on one line, with the place in the user's file that it came from."""
    name = type(exc).__name__
    try:
        text = " ".join(f"{name}: {exc}".removesuffix(": ").split())
    except KeyboardInterrupt:
        raise
    except BaseException:
        text = f"{name}, which cannot say what it is"
    place = _place(exc)
    return text if place is None else f"{text} ({place})"


def _place(exc: BaseException) -> str | None:
    """File and line of the last call in somebody's own file."""
    found = None
    for frame, number in walk_tb(exc.__traceback__):
        file = frame.f_code.co_filename
        if not file.startswith("<") and not _is_of_the_house(file):
            found = f"{Path(file).name}, line {number}"
    return found


def _is_of_the_house(file: str) -> bool:
    """Whether a file is one of ours, or of Python's own library."""
    in_library = file.startswith(f"{_STANDARD}/") and "-packages/" not in file
    # Compiled modules have the name of their source as it was given to the compiler: `src/steelyard/core/policy.py`.
    return in_library or file.startswith((f"{_OURS}/", "src/steelyard/"))
