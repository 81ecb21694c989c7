"""What a local backend's command line is: words with placeholders, split as a shell splits them, but run by none.

`{port}` or `{socket}` stands for the place where the process is to listen, `{index}` for which one of its entry it is,
from 0; `{{` and `}}` are braces. The words are split before anything is filled in, so no value can become two words.
"""

import re
import shlex
from collections.abc import Mapping
from typing import Final

INDEX: Final = "index"
PORT: Final = "port"
SOCKET: Final = "socket"
NAMES: Final = (PORT, SOCKET, INDEX)

_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


class BadCommand(ValueError):
    """A command that cannot be started. message: what is wrong with it; mend: what to write instead."""

    def __init__(self, message: str, mend: str) -> None:
        super().__init__(f"{message}; {mend}")
        self.message = message
        self.mend = mend


def split(command: str) -> list[str]:
    """Its words. Raises BadCommand."""
    try:
        words = shlex.split(command)
    except ValueError as exc:  # a quotation, or a backslash, that does not end
        raise BadCommand(f"cannot be split into words: {str(exc).lower()}", "close it") from None
    if not words:
        raise BadCommand("names no program", "write a command, such as uvicorn app:app --port {port}")
    return words


def placeholders(text: str) -> set[str]:
    """The names that stand in braces. Raises BadCommand for one that is none of ours, and for a brace alone."""
    found = set()
    for match in _PART.finditer(text):
        if match[0] in ("{{", "}}"):
            continue
        if match[1] is None:
            raise BadCommand(f"has a '{match[0]}' of its own", f"write {match[0] * 2} for a plain {match[0]}")
        if match[1] not in NAMES:
            mend = f"there are {', '.join('{' + name + '}' for name in NAMES)}; write {{{{ for a plain brace"
            raise BadCommand(f"has {match[0]}, which stands for nothing", mend)
        found.add(match[1])
    return found


def place_in(command: str) -> str:
    """Where its process is to listen: PORT or SOCKET. Raises BadCommand where neither or both are named."""
    found = placeholders(command) - {INDEX}
    if len(found) == 1:
        return found.pop()
    if found:
        raise BadCommand("has both {port} and {socket}", "keep one of the two: it is where the process is to listen")
    mend = "write {port} or {socket} where the command takes its address, as in --port {port}"
    raise BadCommand("does not say where the process is to listen", mend)


def filled(text: str, values: Mapping[str, object]) -> str:
    """The text with these values in place of their names."""
    return _PART.sub(lambda match: match[0][0] if match[1] is None else str(values[match[1]]), text)
