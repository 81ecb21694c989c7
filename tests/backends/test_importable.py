"""importable.py: what a worker can import by its name, and its main module."""

import functools
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from steelyard.backends import importable
from steelyard.backends.importable import MAIN, MAIN_AGAIN, LaterMain, find, is_importing, main_source, name_of
from steelyard.backends.results import PoolError
from tests.backends import work

SCRIPT = """\
import sys
from steelyard.backends.importable import is_importing
seen = (__name__, __file__, is_importing())
calls = []
def double(number):
    calls.append(number)
    return 2 * number
def counted():
    return len(calls)
if __name__ == "__main__":
    raise SystemExit("the program itself")
"""


@pytest.fixture
def main() -> Iterator[ModuleType]:
    """A main module of our own; the real one is back afterwards."""
    before = {name: sys.modules.get(name) for name in (MAIN, MAIN_AGAIN)}
    module = sys.modules[MAIN] = ModuleType(MAIN)
    yield module
    for name, was in before.items():
        sys.modules.pop(name, None)
        if was is not None:
            sys.modules[name] = was


class Tools:
    """A class with functions."""

    @staticmethod
    def static(_: object) -> None:
        """Can be found."""

    @classmethod
    def of_class(cls, _: object) -> None:
        """Can be found."""


def test_what_stands_at_the_top_of_a_module_is_found_by_its_name() -> None:
    for function in (work.plus_one, math.sqrt, len, Tools.static, Tools.of_class):
        assert function == find(name_of(function))
    assert "tests.backends.work:plus_one" == name_of(work.plus_one)


def test_what_no_other_process_can_find_is_refused_with_the_mend() -> None:
    def local(_: object) -> None:
        pass

    for function in (lambda _: 1, local, functools.partial(max, 1), 7):
        with pytest.raises(PoolError, match="define it with `def` at the top level of a module"):
            name_of(function)  # type: ignore[arg-type]


def test_a_function_that_hides_behind_another_ones_name_is_refused() -> None:
    @functools.wraps(work.plus_one)
    def wrapper(number: int) -> int:
        return number

    with pytest.raises(PoolError, match=r"tests\.backends\.work:plus_one is something else than <function plus_one"):
        name_of(wrapper)


def test_an_asynchronous_function_is_refused() -> None:
    with pytest.raises(PoolError, match="work:asynchronous is an `async def`, and a worker has no event loop"):
        name_of(work.asynchronous)


def test_what_was_typed_into_a_session_is_refused(main: Any) -> None:
    exec("def typed(_): pass", main.__dict__)
    with pytest.raises(PoolError, match="typed was typed into an interactive session"):
        name_of(main.typed)


def test_a_main_module_is_had_again_from_its_file_or_by_its_name(main: Any, tmp_path: Path) -> None:
    assert main_source() is None
    main.__file__ = str(tmp_path / "gone.py")
    assert main_source() is None
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    main.__file__ = str(script)
    assert ("file", str(script)) == main_source()
    main.__spec__ = sys.modules[work.__name__].__spec__
    assert ("module", "tests.backends.work") == main_source()


def test_the_program_is_run_again_when_something_of_it_is_asked_for(main: Any, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    later = sys.modules[MAIN] = LaterMain(("file", str(script)))
    assert not hasattr(later, "__wrapped__")
    assert MAIN_AGAIN not in sys.modules or sys.modules[MAIN_AGAIN] is not later
    assert 14 == find("__main__:double")(7)
    module: Any = sys.modules[MAIN]
    assert module is sys.modules[MAIN_AGAIN]
    assert (MAIN_AGAIN, str(script), True) == module.seen
    assert 1 == module.counted()
    assert not is_importing()


def test_a_program_that_is_a_module_is_run_by_its_name(main: Any, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "a_package_of_ours").mkdir()
    (tmp_path / "a_package_of_ours" / "other.py").write_text("VALUE = 3\n")
    (tmp_path / "a_package_of_ours" / "script.py").write_text(
        "from . import other\ndef triple(n): return n * other.VALUE\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules[MAIN] = LaterMain(("module", "a_package_of_ours.script"))
    assert 21 == find("__main__:triple")(7)
    sys.modules[MAIN] = LaterMain(("module", "a_package_of_ours.gone"))
    with pytest.raises(ModuleNotFoundError, match="which is the main module of this program"):
        find("__main__:triple")


def test_without_a_source_there_is_nothing_in_the_main_module(main: Any) -> None:
    sys.modules[MAIN] = LaterMain(None)
    with pytest.raises(AttributeError, match="module '__main__' has no attribute 'double'"):
        find("__main__:double")


def test_a_program_that_fails_leaves_things_as_they_were(main: Any, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import sys\nassert not hasattr(sys.modules['__main__'], 'nothing')\nraise OSError('no disk')\n")
    sys.modules.pop(MAIN_AGAIN, None)
    later = sys.modules[MAIN] = LaterMain(("file", str(script)))
    for _ in range(2):
        with pytest.raises(OSError, match="no disk"):
            find("__main__:double")
    assert later is sys.modules[MAIN]
    assert MAIN_AGAIN not in sys.modules
    assert not is_importing()


def test_within_an_import_there_may_be_another() -> None:
    with importable.importing():
        with importable.importing():
            assert is_importing()
        assert is_importing()
    assert not is_importing()
