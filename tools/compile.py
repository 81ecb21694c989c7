"""Compile the hot modules in place, or into a tree of their own with every check left on.

    python -m tools.compile             beside the sources, where the editable install finds them
    python -m tools.compile --checked   a whole package under build/checked/lib, bounds checks on everywhere
    python -m tools.compile --fuzz      wire/ alone, twice, under build/fuzz: checked, and as it ships but sanitized

setup.py does the compiling; this adds what a working copy needs: a shared object whose source has changed or gone is
never left to run in its place, and where there is no C compiler it says so instead of failing.
"""

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
SOURCE: Final = ROOT / "src"
CHECKED: Final = ROOT / "build" / "checked"
FUZZ: Final = ROOT / "build" / "fuzz"
SUFFIX: Final = str(sysconfig.get_config_var("EXT_SUFFIX"))


def twins(tree: Path = SOURCE) -> list[Path]:
    """The .pxd files: each one's .py is compiled."""
    return sorted(tree.rglob("*.pxd"))


def shared_object(twin: Path) -> Path:
    return twin.with_name(twin.stem + SUFFIX)


def compiler_works() -> bool:
    """Whether a C file that includes Python.h compiles: the question that a whole build would answer slowly."""
    compiler = shlex.split(os.environ.get("CC") or str(sysconfig.get_config_var("CC") or "cc"))
    include = sysconfig.get_paths()["include"]
    try:
        done = subprocess.run(
            [*compiler, "-fsyntax-only", f"-I{include}", "-x", "c", "-"],
            input=b"#include <Python.h>\n",
            stderr=subprocess.DEVNULL,
            check=False,
        )
    except OSError:
        return False
    return done.returncode == 0


def remove_orphans(tree: Path) -> None:
    """Remove each shared object whose module is no longer compiled, or not for this Python."""
    wanted = {shared_object(twin) for twin in twins(tree)}
    for found in tree.rglob("*.so"):
        if found not in wanted:
            found.unlink()


def stale(tree: Path) -> list[Path]:
    """Shared objects that are older than their source: importing one would run code that nobody sees any more."""
    return [
        built
        for twin in twins(tree)
        if (built := shared_object(twin)).exists()
        and built.stat().st_mtime < max(twin.stat().st_mtime, twin.with_suffix(".py").stat().st_mtime)
    ]


def remove_stale(tree: Path) -> None:
    for old in stale(tree):
        old.unlink()


def build(*arguments: str, checked: bool = False, **more: str) -> int:
    """Run setup.py. more: of its environment variables."""
    environ = {**os.environ, "STEELYARD_CHECKED": "1" if checked else "0", **more}
    return subprocess.run([sys.executable, "setup.py", "-q", *arguments], cwd=ROOT, env=environ, check=False).returncode


def compile_in_place() -> int:
    remove_orphans(SOURCE)
    if not compiler_works():
        remove_stale(SOURCE)
        print("No C compiler that finds Python.h: Steelyard runs interpreted, correct but several times slower.")
        print("  Debian, Ubuntu: apt-get install gcc libc6-dev python3-dev, then make again.")
        return 0
    status = build("build_ext", "--inplace")
    failed = [*stale(SOURCE), *(path for path in map(shared_object, twins()) if not path.exists())]
    if status == 0 and failed:
        # setup.py calls every extension optional, so that an install never fails; here a failure is a bug of ours.
        print("The C compiler works, yet these were not made:", *(path.name for path in failed), file=sys.stderr)
        return 1
    return status


def compile_checked() -> int:
    """A copy of the package in build/checked/lib. It needs a C compiler: there is nothing else to it."""
    if not compiler_works():
        print("The checked build needs a C compiler that finds Python.h.", file=sys.stderr)
        return 1
    return _build_tree(CHECKED, checked=True)


def compile_for_fuzzing() -> int:
    """The scanners for the fuzzers (tests/fuzz): build/fuzz/checked/lib and build/fuzz/sanitized/lib.

    One shows an index beside the bytes as an IndexError, the other what the shipped C does with memory and numbers.
    """
    if not compiler_works():
        print("The fuzzers need a C compiler that finds Python.h.", file=sys.stderr)
        return 1
    checked = _build_tree(FUZZ / "checked", checked=True, STEELYARD_ROOM="wire")
    return checked or _build_tree(FUZZ / "sanitized", STEELYARD_SANITIZE="1", STEELYARD_ROOM="wire")


def _build_tree(tree: Path, checked: bool = False, **more: str) -> int:
    lib = tree / "lib"
    # Sources are copied anew, so that a file that was removed or renamed does not live on here.
    for old in [*lib.rglob("*.py"), *lib.rglob("*.pxd")]:
        old.unlink()
    status = build("build", f"--build-base={tree}", f"--build-lib={lib}", checked=checked, **more)
    remove_orphans(lib)
    return status


WAYS: Final = {"--checked": compile_checked, "--fuzz": compile_for_fuzzing}

if __name__ == "__main__":
    sys.exit(WAYS.get(" ".join(sys.argv[1:]), compile_in_place)())
