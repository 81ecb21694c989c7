"""Text processing: statistics of a text in any script.

A word is a run of letters, marks and digits, with apostrophes inside it. Chinese and Japanese are written without
spaces: each ideograph and each sign of Hiragana counts as a word, a run of Katakana as one (as Unicode's UAX #29 does
by default). So does a run of Thai, Lao or Khmer: to part their words takes a dictionary.
"""

import re
import unicodedata
from collections import Counter
from typing import Any

from managers.answer import said
from steelyard import Task, TaskRefused

TOP = 5
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)
_APOSTROPHES = "'\u2019"


def text(task: Task) -> tuple[str, str]:
    """Statistics of a text, in JSON."""
    return said(task, statistics(decoded(task.body, task.content_type)))


class _Signs(dict[int, str | None]):
    """For str.translate: what becomes of each sign, so that a split at spaces gives the words. Filled as signs come."""

    def __missing__(self, code: int) -> str | None:
        self[code] = _written(chr(code))
        return self[code]


def _written(sign: str) -> str | None:
    category = unicodedata.category(sign)
    if category[0] in "LMN":
        name = unicodedata.name(sign, "")
        return f" {sign} " if name.startswith(("CJK UNIFIED", "CJK COMPATIBILITY", "HIRAGANA LETTER")) else sign
    if sign in _APOSTROPHES:
        return "'"
    if category == "Cf":  # unseen; those that join letters belong to the spelling
        return sign if sign in "\u200c\u200d" else None
    return " "


_SIGNS = _Signs()


def decoded(body: bytes, content_type: str) -> str:
    """The text, by the charset that its type names, else UTF-8. Raises TaskRefused."""
    found = _CHARSET.search(content_type)
    charset = found[1] if found else "utf-8-sig"
    try:
        return body.decode(charset)
    except LookupError as exc:
        raise TaskRefused(f"the charset {charset!r} is not known here") from exc
    except (UnicodeError, ValueError) as exc:
        raise TaskRefused(f"the text cannot be read: {exc}") from exc


def words(text: str) -> list[str]:
    """Its words in their order, as they are written."""
    parts = unicodedata.normalize("NFC", text).translate(_SIGNS).split()
    return [word for part in parts if (word := part.strip("'"))]


def statistics(text: str) -> dict[str, Any]:
    """Lines, words, letters, and the words that are there most often: whatever their case, spelt as the first one."""
    found = words(text)
    spellings: dict[str, str] = {}
    for word in found:
        spellings.setdefault(word.casefold(), word)
    counted = Counter(word.casefold() for word in found)
    return {
        "lines": len(text.splitlines()),
        "words": len(found),
        "distinct": len(counted),
        "letters": sum(1 for sign in text if unicodedata.category(sign)[0] == "L"),
        "characters": len(text),
        "longest": max(found, key=len, default=""),
        "top": [(spellings[word], times) for word, times in counted.most_common(TOP)],
    }
