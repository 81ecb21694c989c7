"""The file that says which process is the supervisor; written when it serves, removed when it ends and is still it."""

import logging
import os
from contextlib import suppress

_log = logging.getLogger("steelyard")


def write(path: str) -> None:
    """Put our process id there; an empty path is none. Where that fails it is said, and traffic goes on."""
    if not path:
        return
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(f"{os.getpid()}\n")
    except OSError as exc:
        _log.error("pid_file: %s cannot be written: %s; name a place where it can", path, exc.strerror)


def remove(path: str) -> None:
    """Remove it, unless it is another's by now."""
    with suppress(OSError, ValueError):
        with open(path, encoding="ascii") as file:
            ours = file.read(32).strip() == str(os.getpid())
        if ours:
            os.unlink(path)
