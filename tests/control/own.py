"""Policies of one's own for a test: modules in a directory, names in the register, and both gone afterwards."""

import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from steelyard.control import plugins
from steelyard.core import policy
from steelyard.core.policies.rotation import RoundRobin

PICK = """
def pick(request, backends):
    'The first one.'
    return backends[0]
"""


def readers_of(field: str) -> str:
    """The built-in policies that read this field of PolicySpec, as an error names them."""
    return " or ".join(name for name in plugins.built_in() if field in policy.registered(name).options)


class OwnPolicies:
    """A directory for modules. Names must not be those of installed ones."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def write(self, path: str, source: str = PICK) -> Path:
        """A module; the file it was written to."""
        file = self.directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(source), encoding="utf-8")
        return file

    def register(self, name: str, options: tuple[str, ...] = (), ours: bool = True) -> None:
        """A policy that reads these fields of PolicySpec; built in, as far as anybody can tell."""
        policy.register(name, RoundRobin, "for a test", options, ours)

    def config(self, policy: str, path: str = "balancer.yaml") -> Path:
        """A configuration file with one pool of this policy, in line 5."""
        head = "listeners: {web: {bind: '127.0.0.1:0', pool: app}}\npools:\n  app:\n    backends: [a:1, b:1]\n"
        return self.write(path, f"{head}    policy: {policy}\n")


@contextmanager
def own_policies(directory: Path) -> Iterator[OwnPolicies]:
    """Whatever is registered, imported or searched within it is forgotten after it."""
    register, origins, path, modules = policy._REGISTER, plugins._origins, sys.path, set(sys.modules)
    posing = set(plugins._posing)
    kept_register, kept_origins, kept_path = dict(register), dict(origins), list(path)
    try:
        yield OwnPolicies(directory)
    finally:
        register.clear()
        register.update(kept_register)
        origins.clear()
        origins.update(kept_origins)
        plugins._posing.intersection_update(posing)
        path[:] = kept_path
        for name in set(sys.modules) - modules:
            if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(directory)):
                del sys.modules[name]
