"""What must be true of a Spec before it runs, beyond that it is right: its policies are loaded, its secrets are known.

A Spec may come from a configuration file that was read in this process, from another process, or from a program
that has made it by hand.
"""

from pathlib import Path

from steelyard.control import plugins
from steelyard.control.fault import Fault
from steelyard.control.unshown import HIDDEN, MEND
from steelyard.core.spec import Spec
from steelyard.errors import ConfigError, Problem

_WHERE = "configuration"


def make_ready(spec: Spec, beside: Path | None = None) -> None:
    """Load what the pools' policies need, and make each once. Raises ConfigError with all that is missing.

    beside: the directory of the configuration file, where it was read in another process.
    """
    problems: list[Problem] = []
    for pool in spec.pools:
        found = len(problems)
        for name, key in ((pool.policy.name, "name"), (pool.policy.fallback, "fallback")):
            try:
                plugins.find(name, beside)
            except Fault as fault:
                problems.append(Problem(_WHERE, f"pools.{pool.name}.policy.{key}", fault.message, name, fault.mend))
        if len(problems) == found:
            try:
                plugins.try_out(pool.policy)
            except Fault as fault:
                where = f"pools.{pool.name}.policy"
                problems.append(Problem(_WHERE, where, fault.message, pool.policy.name, fault.mend))
        if pool.sticky is not None and pool.sticky.secret == HIDDEN:
            key = f"pools.{pool.name}.sticky.secret"
            problems.append(Problem(_WHERE, key, "is only what is shown in place of one", HIDDEN, MEND))
    if problems:
        raise ConfigError(problems)
