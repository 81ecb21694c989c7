"""Which places of a configuration may hold a secret, so that no error repeats what stands there.

A slip puts a secret where nobody reads it: `secrt: ...`, `secret:` beside `sticky`, `sticky: ...` without its keys,
`secret:...` without the space, which is a key to YAML. So a place is judged by its words, not by what is read there.
"""

import difflib
import re
from typing import Final

Path = tuple[str | int, ...]

_STICKY: Final = "sticky"
_SECRET: Final = "secret"
# As did_you_mean measures it; no key of the file but these two and `user` is so like them (tests).
_LIKENESS: Final = 0.6
# A key of the file that has most of the letters of `secret`, and is none.
_USER: Final = "user"
# Below `sticky`, what is no plain word is not a key that somebody has mistyped.
_WORD = re.compile(r"[A-Za-z_-]+")
_GLUED = re.compile(r"([\w-]*secret[\w-]*)[^\w-]", re.IGNORECASE)
_NOT_A_KEY: Final = "***"


def is_unsaid(path: Path) -> bool:
    """Whether what stands at path may be a secret."""
    below = _below_sticky(path)
    return (below is not None and below[:1] != ("cookie",)) or (bool(path) and _is_like(path[-1], _SECRET))


def sayable(path: Path) -> Path:
    """The path without the parts of it that may be a secret themselves."""
    said = [part if _is_name(path, i) or isinstance(part, int) else _trimmed(part) for i, part in enumerate(path)]
    below = _below_sticky(path)
    if below:
        first = len(path) - len(below)
        if not _is_like(below[0], _SECRET) and below[0] != "cookie":
            said[first:] = [_NOT_A_KEY]
    return tuple(said)


def _below_sticky(path: Path) -> Path | None:
    """What of the path comes after `sticky`; None where it is not in it."""
    for i, part in enumerate(path):
        if not _is_name(path, i) and _is_like(part, _STICKY):
            return path[i + 1 :]
    return None


def _is_name(path: Path, i: int) -> bool:
    """Whether this part is the name of a listener or a pool, which may be any word."""
    return i == 1 and path[0] in ("listeners", "pools")


def _trimmed(part: str) -> str:
    glued = _GLUED.match(part)
    return part if glued is None else glued[1]


def _is_like(part: str | int, word: str) -> bool:
    if isinstance(part, int):
        return False
    lower = part.lower()
    if lower == _USER:
        return False
    return word in lower or bool(difflib.get_close_matches(lower, [word], n=1, cutoff=_LIKENESS))
