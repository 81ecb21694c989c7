"""`pip install .` in an empty environment: compiled where a C compiler works, interpreted where none does."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tools.compile import twins

ROOT = Path(__file__).parent.parent.parent
# To compile everything takes three minutes alone, and other tests run beside it.
pytestmark = [pytest.mark.slow, pytest.mark.real, pytest.mark.timeout(1200)]

LEFT_BEHIND = shutil.ignore_patterns("*.so", "__pycache__", "*.egg-info")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What pip would get from a fresh clone: pip builds in the directory it is given, and ours is in use."""
    directory = tmp_path / "project"
    shutil.copytree(ROOT / "src", directory / "src", ignore=LEFT_BEHIND)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, directory)
    # The C that Cython made; with all times kept, it is made again only where it is older than its source.
    if (ROOT / "build" / "cython").is_dir():
        shutil.copytree(ROOT / "build" / "cython", directory / "build" / "cython")
    return directory


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A new environment that finds its dependencies and build tools in this one: nothing is downloaded.

    A .pth line adds our site-packages but does not follow the .pth files in it, so the editable install stays out.
    """
    directory = tmp_path / "environment"
    venv.create(directory, with_pip=False, symlinks=True)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(directory), "platbase": str(directory)}))
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return directory


def install(project: Path, environment: Path, **variables: str) -> str:
    """Install with pip and give back what the installed command says of itself."""
    environ = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "STEELYARD_COMPILE")}
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python")]
    done = subprocess.run(
        [*pip, "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--ignore-installed", "."],
        cwd=project,
        env={**environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    shutil.rmtree(project)  # so that nothing can run from there
    command = [str(environment / "bin" / "steelyard"), "--version"]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout.strip()


def extensions(environment: Path) -> set[str]:
    return {path.name.split(".")[0] for path in (environment / "lib").glob("python*/site-packages/steelyard/**/*.so")}


def compiler(directory: Path, script: str) -> str:
    """A C compiler that is this shell script."""
    path = directory / "our-cc"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.needs("cc")
def test_every_module_with_a_twin_is_compiled(project: Path, environment: Path, tmp_path: Path) -> None:
    # As fast as it compiles: this is about what is compiled, not how well.
    quick = compiler(tmp_path, 'exec cc "$@" -O0')
    assert install(project, environment, CC=quick).endswith(" (compiled)")
    assert {twin.stem for twin in twins()} == extensions(environment)


def test_without_a_c_compiler_it_installs_and_runs_interpreted(project: Path, environment: Path) -> None:
    assert install(project, environment, CC="/bin/false", STEELYARD_ROOM="wire").endswith(" (interpreted)")
    assert set() == extensions(environment)


# What does not compile here does not in any room: one is enough, and seven times as fast.
def test_where_one_module_does_not_compile_none_is(project: Path, environment: Path, tmp_path: Path) -> None:
    # A compiled module takes its C types from the others and could not be imported beside an interpreted one.
    faulty = compiler(
        tmp_path,
        'case "$*" in *chunked.c*) exit 1;; esac\n'
        'while [ $# -gt 0 ]; do [ "$1" = -o ] && out=$2; shift; done; : >"$out"',
    )
    assert install(project, environment, CC=faulty, STEELYARD_ROOM="wire").endswith(" (interpreted)")
    assert set() == extensions(environment)
