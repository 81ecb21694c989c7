"""The configuration: YAML, a Python mapping or a command line -> a checked `core.spec.Spec`.

Everything that is wrong is reported at once, each with file and line, key, value and the way to mend it.
The steps have a file each: lines.py reads, models.py and rules.py check, problems.py says what was found.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from steelyard.control import entries, lines, problems, rules
from steelyard.control.models import File, Policy
from steelyard.control.schema import json_schema
from steelyard.core.spec import PolicySpec, Spec
from steelyard.errors import ConfigError, Problem

__all__ = ["from_arguments", "from_mapping", "json_schema", "load", "loads", "policy_from_mapping"]

_FROM_PYTHON = "configuration"
_POLICY = "policy"
_COMMAND_LINE = "command line"
_ONLY_NAME = "web"
_EMPTY = "write listeners: and pools:, or see steelyard check --help"


def load(path: str | os.PathLike[str], environ: Mapping[str, str] = os.environ) -> Spec:
    """Read and check a file; raises ConfigError, also for one that cannot be read."""
    name = os.fspath(path)
    try:
        text = Path(name).read_text(encoding="utf-8")
    except OSError as exc:
        mend = "check the path and its permissions"
        raise ConfigError([Problem(name, "file", f"cannot be read: {exc.strerror}", mend=mend)]) from exc
    except UnicodeDecodeError as exc:
        line = exc.object.count(b"\n", 0, exc.start) + 1
        raise ConfigError([Problem(f"{name}:{line}", "file", "is not UTF-8", mend="save it as UTF-8")]) from exc
    return _checked(lines.read(text, name, environ), Path(name).parent)


def loads(
    text: str, name: str = "<config>", environ: Mapping[str, str] = os.environ, beside: Path | None = None
) -> Spec:
    """Check a configuration that is at hand as text; name stands for the file in messages. Raises ConfigError.

    beside: the directory where its policies' modules may be.
    """
    return _checked(lines.read(text, name, environ), beside)


def from_mapping(config: Mapping[str, Any]) -> Spec:
    """Check a configuration made in Python, of the same shape as the file; raises ConfigError.

    None and False stand for `off`. `${NAME}` is not replaced: a program can read its environment itself.
    """
    page = lines.Page(_FROM_PYTHON)
    page.data = _plain(config)
    return _checked(page)


def policy_from_mapping(options: Mapping[str, Any], where: str = _POLICY) -> PolicySpec:
    """Check a policy by itself: `{"name": ..., "choices": ...}` as below a pool's `policy`. Raises ConfigError.

    where: what stands for the file in messages.
    """
    page = lines.Page(where)
    page.data = _plain(options)
    try:
        made: PolicySpec = Policy.model_validate(page.data, context={"beside": None}).spec()
    except ValidationError as exc:
        problems.note(page, exc, Policy)
        raise ConfigError(page.problems) from None
    return made


def from_arguments(
    backends: Sequence[str], listen: str = ":8080", policy: str | None = None, key: str | None = None
) -> Spec:
    """What `steelyard run BACKENDS` runs: one listener in front of one pool. Raises ConfigError."""
    chosen = {name: value for name, value in (("name", policy), ("key", key)) if value is not None}
    page = lines.Page(_COMMAND_LINE)
    page.data = {
        "listeners": {_ONLY_NAME: {"bind": listen, "pool": _ONLY_NAME}},
        "pools": {_ONLY_NAME: {"backends": list(backends), "policy": chosen}},
    }
    try:
        return _checked(page)
    except ConfigError as exc:
        raise ConfigError([_as_argument(problem) for problem in exc.problems]) from None


# Where the parts of a command line stand in the configuration that is made of it.
_ARGUMENTS = {
    f"listeners.{_ONLY_NAME}.bind": "--listen",
    f"pools.{_ONLY_NAME}.policy.name": "--policy",
    f"pools.{_ONLY_NAME}.policy.key": "--key",
}


def _as_argument(problem: Problem) -> Problem:
    """The problem with the option's name in place of the key."""
    key = _ARGUMENTS.get(problem.key, "BACKENDS")
    return Problem(problem.where, key, problem.message, problem.value, problem.mend)


def _checked(page: lines.Page, beside: Path | None = None) -> Spec:
    """beside: the directory of the file, where its policies' modules may be."""
    if page.data is None and not page.problems:
        raise ConfigError([Problem(page.name, "file", "is empty", mend=_EMPTY)])
    checked: File | None = None
    if page.data is not None:
        for fault in rules.between_parts(page.data):
            problems.note_fault(page, fault, fault.at)
        pools = page.data.get("pools") if isinstance(page.data, dict) else None
        around = {"beside": beside, "pools": dict.fromkeys(pools) if isinstance(pools, dict) else {}}
        try:
            checked = File.model_validate(page.data, context=around)
        except ValidationError as exc:
            problems.note(page, exc, File)
    if page.problems or checked is None:
        raise ConfigError(sorted(page.problems, key=_line))
    spec = checked.spec()
    return replace(spec, pools=tuple(entries.located(pool, page, lines.dotted) for pool in spec.pools))


def _line(problem: Problem) -> int:
    number = problem.where.rpartition(":")[2]
    return int(number) if number.isdigit() else 0


def _plain(value: Any) -> Any:
    """Any mapping as a dict with text keys, any sequence as a list, any path as text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value
