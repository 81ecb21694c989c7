"""The corpus: small files of bytes under tests/corpus/TARGET, one case each.

Named ones were written by hand, `case-NN-...` after the list of cases that tests/wire/test_cases_*.py are about;
`kept-...` brought the fuzzer to lines that no other file reaches, `found-...` broke a property once.
"""

import hashlib
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

from tools.compile import ROOT

CORPUS: Final = ROOT / "tests" / "corpus"
MAX_FILE_BYTES: Final = 1024


def cases(name: str) -> list[Path]:
    """The files of a target."""
    return sorted(path for path in (CORPUS / name).iterdir() if path.is_file())


def keep(name: str, kind: str, data: bytes) -> Path:
    """Write a case; its name says what it is and tells it from others."""
    path = CORPUS / name / f"{kind}-{hashlib.sha256(data).hexdigest()[:10]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def minimised(data: bytes, fails: Callable[[bytes], bool], tries: int) -> bytes:
    """A smaller input that still fails: halves, then smaller pieces left out; then bytes made plain."""
    size = max(len(data) // 2, 1)
    while tries > 0:
        at = 0
        shrunk = False
        while at < len(data) and tries > 0:
            tries -= 1
            without = data[:at] + data[at + size :]
            if fails(without):
                data, shrunk = without, True
            else:
                at += size
        if size == 1 and not shrunk:
            break
        size = max(size // 2, 1)
    for at in range(len(data)):
        plain = data[:at] + b"a" + data[at + 1 :]
        if tries > 0 and plain != data:
            tries -= 1
            if fails(plain):
                data = plain
    return data


def needed(inputs: Iterable[bytes], run: Callable[[bytes], object]) -> list[bytes]:
    """Of these inputs the short ones that take `run` to transitions between lines of ours that no shorter one does.

    run: the work on the interpreted build; its errors are another's business.
    """
    kept = []
    known: set[tuple[CodeType, int, int]] = set()
    for data in sorted(set(inputs), key=lambda data: (len(data), data)):
        taken = _transitions(run, data)
        if len(data) < MAX_FILE_BYTES and not taken <= known:
            known |= taken
            kept.append(data)
    return kept


def _transitions(run: Callable[[bytes], object], data: bytes) -> set[tuple[CodeType, int, int]]:
    taken: set[tuple[CodeType, int, int]] = set()
    last: dict[FrameType, int] = {}

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if "/steelyard/" not in frame.f_code.co_filename:
            return None
        if event == "line":
            taken.add((frame.f_code, last.get(frame, 0), frame.f_lineno))
            last[frame] = frame.f_lineno
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run(data)
    except Exception:
        pass
    finally:
        sys.settrace(before)
    return taken
