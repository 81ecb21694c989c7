"""Functions by name, `module:qualname`, from one process to another; and a main module that is there when asked for.

A worker is a fresh interpreter: it imports the function, and never gets its code. What belongs to the program that was
started itself (`python script.py`, `python -m module`) is in its main module, which in a worker is another one. So a
worker's `__main__` is empty, until something of it is asked for; then the program's file is run again, under
the name `__mp_main__`, as multiprocessing does it: what stands under `if __name__ == "__main__":` is not run.
"""

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from steelyard.backends.results import PoolError

MAIN: Final = "__main__"
MAIN_AGAIN: Final = "__mp_main__"
MEND: Final = "; define it with `def` at the top level of a module"

Source = tuple[str, str]

_importing = False


def name_of(function: Callable[..., Any]) -> str:
    """`module:qualname`. Raises PoolError for what no other process can find by its name, or cannot call as it is."""
    module = getattr(function, "__module__", None)
    qualname = getattr(function, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(qualname, str):
        raise PoolError(f"{function!r} is no function that a worker could import by its name{MEND}")
    if inspect.iscoroutinefunction(function):
        raise PoolError(f"{module}:{qualname} is an `async def`, and a worker has no event loop; make it a `def`")
    if module == MAIN and main_source() is None:
        raise PoolError(f"{qualname} was typed into an interactive session, which a worker cannot import{MEND}")
    try:
        found = find(f"{module}:{qualname}")
    except Exception as exc:
        raise PoolError(f"{module}:{qualname} cannot be found by its name ({exc}){MEND}") from exc
    if found != function:
        raise PoolError(f"{module}:{qualname} is something else than {function!r}{MEND}")
    return f"{module}:{qualname}"


def find(name: str) -> Callable[[Any], Any]:
    """What a name stands for, imported if need be. Raises whatever the import does, and AttributeError."""
    module, _, qualname = name.partition(":")
    found: Any = sys.modules.get(module) or import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part)
    result: Callable[[Any], Any] = found
    return result


def main_source() -> Source | None:
    """Where this program's main module can be had from again: ("module", name) or ("file", path); None: nowhere."""
    main = sys.modules[MAIN]
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return None if spec.name == MAIN else ("module", spec.name)
    file = getattr(main, "__file__", None)
    if file is None or not Path(file).is_file():
        return None
    return "file", str(Path(file).absolute())


class LaterMain(ModuleType):
    """`__main__` of a worker. source: as `main_source` said; loading: it is just being run."""

    def __init__(self, source: Source | None) -> None:
        super().__init__(MAIN)
        self.source = source
        self.loading = False

    def __getattr__(self, name: str) -> Any:
        if self.source is None or self.loading or (name.startswith("__") and name.endswith("__")):
            raise AttributeError(f"module {MAIN!r} has no attribute {name!r}")
        return getattr(self.load(self.source), name)

    def load(self, source: Source) -> ModuleType:
        """Run the program's file, and be that module from now on. Raises what it raises; then nothing has changed."""
        self.loading = True
        module = ModuleType(MAIN_AGAIN)
        sys.modules[MAIN] = sys.modules[MAIN_AGAIN] = module
        try:
            with importing():
                exec(_code(source, module), module.__dict__)
        except BaseException:
            sys.modules[MAIN] = self
            del sys.modules[MAIN_AGAIN]
            raise
        finally:
            self.loading = False
        return module


@contextmanager
def importing() -> Iterator[None]:
    """Within it, this is a worker that imports what it needs. A pool's workers would import the same, and so on."""
    global _importing
    before, _importing = _importing, True
    try:
        yield
    finally:
        _importing = before


def is_importing() -> bool:
    """Whether we are within `importing`."""
    return _importing


def _code(source: Source, module: ModuleType) -> Any:
    kind, where = source
    if kind == "file":
        module.__file__ = where
        return compile(Path(where).read_bytes(), where, "exec", dont_inherit=True)
    spec = find_spec(where)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"no module {where!r}, which is the main module of this program", name=where)
    module.__file__ = spec.origin
    module.__package__ = spec.parent
    return spec.loader.get_code(where)  # type: ignore[attr-defined]  # every loader that `python -m` can use has it
