"""Values of a configuration that are never shown as they are, and remember how they were written.

They travel from the control process to the workers within a specification, so this needs no more than Python itself;
what reads and checks them is in lines.py and sealed.py.
"""

from collections.abc import Iterable
from typing import Final, Self

HIDDEN: Final = "***"
MEND: Final = "write ${NAME}, and give it in the environment; python -c 'import secrets; print(secrets.token_hex())'"


class Filled(str):
    """A value in which `${...}` was replaced. raw: as it was written."""

    __slots__ = ("raw",)
    raw: str

    def __new__(cls, text: str, raw: str) -> Self:
        made = super().__new__(cls, text)
        made.raw = raw
        return made

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        return str(self), self.raw


class Texts(tuple[tuple[str, str], ...]):
    """What a policy of one's own is given, plain pairs of texts. raw: name -> as it was written, where that differs."""

    raw: dict[str, str]

    def __new__(cls, pairs: Iterable[tuple[str, str]], raw: Iterable[tuple[str, str]] = ()) -> Self:
        made = super().__new__(cls, pairs)
        made.raw = dict(raw)
        return made

    def __getnewargs__(self) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
        return tuple(self), tuple(self.raw.items())
