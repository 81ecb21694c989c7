"""With this directory on PYTHONPATH, the package `steelyard` is served from its sources alone, in every process.

A compiled module lies beside its source and wins the import. To run the very same tests interpreted without deleting
it, a finder before all others looks for `steelyard` with the loader of source files only. Python imports
`sitecustomize` at start, so that the workers of pytest-xdist and the programs that tests start obey too.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from types import ModuleType


class SourceOnly:
    """A meta path finder for one package."""

    @staticmethod
    def find_spec(
        fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] != "steelyard":
            return None
        for entry in sys.path if path is None else path:
            spec = FileFinder(entry, (SourceFileLoader, SOURCE_SUFFIXES)).find_spec(fullname, target)
            if spec is not None and spec.loader is not None:
                return spec
        return None


sys.meta_path.insert(0, SourceOnly)
