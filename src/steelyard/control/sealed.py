"""Secrets in a configuration: read, but never shown.

`steelyard check` prints a configuration that can be kept, sent to a colleague, and read again. So in place of a
secret it prints where the secret comes from, `${NAME}`, when that is how it was written; else HIDDEN, which is read
as it stands and refused only when something would run with it (ready.py).
"""

import re
from typing import Any, Final

from steelyard.control import hashed
from steelyard.control.fault import Fault
from steelyard.control.readers import as_text
from steelyard.control.unshown import HIDDEN, MEND, Filled, Texts

SHORTEST: Final = 16  # characters: drawn by chance, more than anybody can guess

_ONE_VARIABLE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")


def secret(value: Any) -> str:
    """A secret; what is wrong with one is said without it."""
    text = as_text(value)
    if text != HIDDEN and len(text.strip()) < SHORTEST:
        raise Fault(f"is shorter than {SHORTEST} characters", MEND, value="")
    return value if isinstance(value, Filled) else text


def options(value: Any) -> Texts:
    """A policy's options, which still know what of them came from the environment."""
    pairs = hashed.options(value)
    return Texts(pairs, [(name, text.raw) for name, text in value.items() if isinstance(text, Filled)])


def shown(text: str) -> str:
    """What is printed for a secret, as it is to stand in the file."""
    raw = text.raw if isinstance(text, Filled) else ""
    return raw if _ONE_VARIABLE.fullmatch(raw) else HIDDEN
