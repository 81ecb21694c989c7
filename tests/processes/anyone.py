"""A balancer of somebody who is not root: as whom it runs, with which Python, and where its files are."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

NOBODY: Final = "nobody"
# This Python, or one like it that is not below somebody's home.
CANDIDATES: Final = (sys.executable, f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}")
_LOADS: Final = "import steelyard.processes.worker_process, steelyard.control.config, typer"

ANYONE: Final = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: to become somebody else")


class Anyone:
    """home: a directory that everybody may look into, and its user writes to. python: one that the user may run."""

    def __init__(self, home: Path, python: str) -> None:
        self.home = home
        self.python = python
        self.path = os.pathsep.join(_readable())

    def environ(self) -> dict[str, str]:
        return {"PYTHONPATH": self.path, "HOME": str(self.home), "PYTHONDONTWRITEBYTECODE": "1"}

    def how(self, user: str | None = NOBODY) -> dict[str, Any]:
        """For `balancing`: as this user, or as ourselves."""
        how: dict[str, Any] = {"command": (self.python, "-m", "steelyard"), "environ": self.environ()}
        return how if user is None else {**how, "user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def _readable() -> list[str]:
    """Where our modules and those of others come from."""
    return [path for path in map(os.path.abspath, sys.path) if "site-packages" in path or path.endswith("/src")]


@contextmanager
def somebody(owner: str) -> Iterator[Anyone]:
    """A place of its own outside pytest's, which is for its user alone. owner: whose it is."""
    home = Path(tempfile.mkdtemp(prefix="steelyard-"))
    try:
        for python in CANDIDATES:
            anyone = Anyone(home, python)
            who = pwd.getpwnam(NOBODY)
            home.chmod(0o755)
            shutil.chown(home, owner)
            try:
                tried = subprocess.run(
                    [python, "-c", _LOADS],
                    env=anyone.environ(),
                    cwd="/",
                    user=who.pw_uid,
                    group=who.pw_gid,
                    extra_groups=[],
                    check=False,
                    capture_output=True,
                )
            except PermissionError:
                continue
            if tried.returncode == 0:
                yield anyone
                return
        pytest.skip("no Python of this version that everybody may run: put one outside /root")
    finally:
        shutil.rmtree(home)
