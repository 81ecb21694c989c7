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
        # Beside it and then moved there: nobody reads half of it, and no link that lies there is followed.
        fd = os.open(f"{path}.{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        with open(fd, "w", encoding="ascii") as file:
            file.write(f"{os.getpid()}\n")
        os.replace(f"{path}.{os.getpid()}", path)
    except OSError as exc:
        _log.error("pid_file: %s cannot be written: %s; name a place where it can", path, exc.strerror)


def remove(path: str) -> None:
    """Remove it, unless it is another's by now."""
    with suppress(OSError, ValueError):
        with open(path, encoding="ascii") as file:
            ours = file.read(32).strip() == str(os.getpid())
        if ours:
            os.unlink(path)
