"""tools/interpreted: with it on PYTHONPATH the sources run, whatever was compiled beside them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.slow

WHERE = "import steelyard.wire.http1 as m; print(m.__file__)"


def run(*command: str, path: str | None) -> str:
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path is not None:
        environ["PYTHONPATH"] = path
    done = subprocess.run([sys.executable, *command], cwd=ROOT, env=environ, capture_output=True, text=True, check=True)
    return done.stdout.strip()


SOURCE_ONLY = str(ROOT / "tools" / "interpreted")


def test_the_version_says_interpreted() -> None:
    assert run("-m", "steelyard", "--version", path=SOURCE_ONLY).endswith(" (interpreted)")


@pytest.mark.compiled
def test_without_it_the_version_says_compiled() -> None:
    assert run("-m", "steelyard", "--version", path=None).endswith(" (compiled)")


def test_every_module_with_a_twin_is_served_from_its_source() -> None:
    names = [".".join(twin.relative_to(ROOT / "src").with_suffix("").parts) for twin in (ROOT / "src").rglob("*.pxd")]
    assert names
    program = f"import importlib\nfor n in {names!r}: print(importlib.import_module(n).__file__)"
    files = run("-c", program, path=SOURCE_ONLY).splitlines()
    assert [] == [file for file in files if not file.endswith(".py")]


def test_a_process_that_is_started_from_there_obeys_too() -> None:
    program = f"import subprocess, sys; print(subprocess.check_output([sys.executable, '-c', {WHERE!r}], text=True))"
    assert run("-c", program, path=SOURCE_ONLY).endswith("http1.py")


def test_other_packages_are_left_alone() -> None:
    assert run("-c", "import uvloop.loop as m; print(m.__file__)", path=SOURCE_ONLY).endswith(".so")
