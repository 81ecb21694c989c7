"""The import contracts of pyproject.toml hold, and they bite: each kind of violation makes lint-imports fail."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.slow


def lint(directory: Path) -> subprocess.CompletedProcess[str]:
    """lint-imports over directory/src with our contracts."""
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(directory / "src"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The sources and the contracts, to be spoilt."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("*.so", "__pycache__", "*.egg-info"))
    return tmp_path


def test_the_contracts_hold(copy: Path) -> None:
    result = lint(copy)
    assert 0 == result.returncode, result.stdout


@pytest.mark.parametrize(
    ("module", "statement", "contract"),
    [
        ("errors.py", "from steelyard.core import spec", "one way through the rooms"),
        ("core/spec.py", "from steelyard.wire import http1", "one way through the rooms"),
        ("wire/http1.py", "import steelyard.core.spec", "one way through the rooms"),
        ("core/health.py", "from steelyard.core import retry", "parts of core do not know each other"),
        (
            "core/policies/rotation.py",
            "from steelyard.core.policies import least",
            "parts of core do not know each other",
        ),
        ("core/backend.py", "from steelyard.core import pool", "Inside core too"),
        ("core/spec.py", "import asyncio", "no socket, no loop"),
        ("core/policy.py", "from random import choice", "no socket, no loop"),
        ("wire/http1.py", "import time", "no socket, no loop"),
    ],
)
def test_a_violation_is_found(copy: Path, module: str, statement: str, contract: str) -> None:
    path = copy / "src" / "steelyard" / module
    with path.open("a") as source:
        source.write(f"\n{statement}\n")
    result = lint(copy)
    assert 1 == result.returncode
    assert [contract] == [contract for line in result.stdout.splitlines() if contract in line and "BROKEN" in line]


def test_a_room_that_no_contract_names_is_found(copy: Path) -> None:
    (copy / "src" / "steelyard" / "cellar.py").touch()
    result = lint(copy)
    assert 1 == result.returncode
    assert "- steelyard.cellar" in result.stdout


def test_a_type_checkers_import_counts_too(copy: Path) -> None:
    with (copy / "src" / "steelyard" / "errors.py").open("a") as source:
        source.write(
            "\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from steelyard.core.spec import Spec\n"
        )
    assert 1 == lint(copy).returncode
