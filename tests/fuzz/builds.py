"""The parsers of one build, as an object: so that one process can hold several builds and ask them the same.

interpreted   the sources; the only build whose branches the fuzzer sees
checked       compiled, every index checked: one beside the bytes is an IndexError
sanitized     compiled as it ships, under AddressSanitizer and UBSan: what it does wrong with memory ends the process
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any, Final

from tools.compile import FUZZ

NAMES: Final = ("interpreted", "checked", "sanitized")
# Of errors.py and of every module that reads what a stranger wrote. Their types differ from build to build: Any.
_MODULES: Final = (
    "errors",
    *(
        f"wire.{name}"
        for name in ("http1", "chunked", "headers", "peer", "framing", "cookies", "query", "json_field", "task")
    ),
    "core.paths",
)


@dataclass(frozen=True)
class Build:
    """name: for the reports. compiled: cheap enough to be asked everything."""

    name: str
    compiled: bool
    errors: Any
    http1: Any
    chunked: Any
    headers: Any
    peer: Any
    framing: Any
    cookies: Any
    query: Any
    json_field: Any
    task: Any
    paths: Any


def imported(name: str | None = None) -> Build:
    """What `import steelyard` gives in this process, whichever build that is. name: what it should be called."""
    modules = {place.rpartition(".")[2]: importlib.import_module(f"steelyard.{place}") for place in _MODULES}
    compiled = str(modules["http1"].__file__).endswith(tuple(EXTENSION_SUFFIXES))
    return Build(name or ("compiled" if compiled else "interpreted"), compiled, **modules)


def loaded(name: str) -> Build:
    """A build that `python -m tools.compile --fuzz` made, beside whatever else is imported."""
    with _only(FUZZ / name / "lib"):
        build = imported(name)
    assert build.compiled, f"no compiled scanners in {FUZZ / name}"
    return build


@contextmanager
def _only(tree: Path) -> Iterator[None]:
    """Have `import steelyard` look in this tree alone, and forget afterwards what it found."""
    path, finders, before = sys.path[:], sys.meta_path[:], _ours()
    for name in before:
        del sys.modules[name]
    sys.path.insert(0, str(tree))
    # tools/interpreted puts a finder first that takes nothing but sources.
    sys.meta_path[:] = [finder for finder in finders if getattr(finder, "__name__", "") != "SourceOnly"]
    try:
        yield
    finally:
        for name in _ours():
            del sys.modules[name]
        sys.modules.update(before)
        sys.path[:], sys.meta_path[:] = path, finders


def _ours() -> dict[str, Any]:
    return {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "steelyard"}
