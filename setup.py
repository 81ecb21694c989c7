"""Compile the hot modules: every .py file that has a .pxd twin (all else is in pyproject.toml).

Each extension is optional: where no C compiler works, the package installs all the same and runs the
very same source interpreted, only slower. `steelyard --version` says which of the two is running.

STEELYARD_COMPILE=0    do not compile at all.
STEELYARD_CHECKED=1    keep bounds checks also in the scanners (for the tests and the fuzzers).
STEELYARD_SANITIZE=1   every read, write and sum watched by AddressSanitizer and UBSan; whoever imports the result
                       preloads their runtime (for the fuzzers, tools/compile.py).
STEELYARD_ROOM=wire    compile the modules of this room alone.
"""

import os
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCE = Path("src")
CHECKED = os.environ.get("STEELYARD_CHECKED") == "1"
SANITIZE = os.environ.get("STEELYARD_SANITIZE") == "1"
ROOM = os.environ.get("STEELYARD_ROOM", "")

# -g0: Python's own -g makes compiling a third slower and the result seven times as large.
OPTIMISED = ["-O2", "-g0", "-fno-plt", "-Wno-unreachable-code"]
# No runtime is linked: there can be but one in a process, the preloaded one. What it finds ends the process.
SANITIZED = ["-O1", "-g1", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

# Bounds checks are off only here: in the scanners, where every index is proven by the loop around it.
UNCHECKED_MODULES = {"steelyard.wire.fields", "steelyard.wire.http1", "steelyard.wire.chunked", "steelyard.wire.slices"}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts)


def extensions() -> list[Extension]:
    if os.environ.get("STEELYARD_COMPILE") == "0":
        return []
    try:
        from Cython.Build import cythonize
    except ImportError:  # an install without build isolation and without Cython: interpreted
        return []
    build_dir = Path("build/cython-checked" if CHECKED else "build/cython")
    built: list[Extension] = []
    for twin in sorted((SOURCE / "steelyard" / ROOM).rglob("*.pxd")):
        name = module_name(twin)
        scanner = name in UNCHECKED_MODULES
        made = build_dir / twin.with_suffix(".c")
        built += cythonize(
            [
                Extension(
                    name,
                    [str(twin.with_suffix(".py"))],
                    extra_compile_args=SANITIZED if SANITIZE else OPTIMISED,
                )
            ],
            build_dir=str(build_dir),
            # Cython looks at the times of the sources alone; what it is told below is a source too.
            force=made.exists() and made.stat().st_mtime < Path(__file__).stat().st_mtime,
            compiler_directives={
                "language_level": "3",
                # C types come from the .pxd twin alone, so that annotations keep their Python meaning.
                "annotation_typing": False,
                "boundscheck": CHECKED or not scanner,
                "initializedcheck": CHECKED or not scanner,
                # In a scanner a negative index is a bug on any build: checked, it is an IndexError and not the end.
                "wraparound": not scanner,
                "cdivision": False,
            },
            quiet=True,
        )
    for extension in built:
        extension.optional = True  # here and not above: cythonize makes new objects and forgets this one attribute
    return built


class AllOrNone(build_ext):
    """Compile all or nothing: a compiled module takes its C types from others, and cannot from an interpreted one."""

    def build_extensions(self) -> None:
        super().build_extensions()
        wanted = [Path(self.get_ext_fullpath(extension.name)) for extension in self.extensions]
        built = [path for path in wanted if path.exists()]
        if len(built) < len(wanted):
            self.warn(f"{len(wanted) - len(built)} of {len(wanted)} modules did not compile: all will run interpreted")
            for path in built:
                path.unlink()

    def build_extension(self, ext: Extension) -> None:
        # What an earlier build left here must not pass for the result of this one, should it fail.
        before = Path(self.get_ext_fullpath(ext.name))
        try:
            super().build_extension(ext)
        except BaseException:
            before.unlink(missing_ok=True)
            raise


# One C compiler a core: they are what an install waits for.
setup(
    ext_modules=extensions(),
    cmdclass={"build_ext": AllOrNone},
    options={"build_ext": {"parallel": os.cpu_count() or 1}},
)
