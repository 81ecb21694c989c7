"""What the configuration says of a file, as the lines that a person would read."""

import textwrap
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from steelyard.control import config
from steelyard.control.fault import Fault
from steelyard.core.spec import Spec
from steelyard.errors import ConfigError


def load(text: str, environ: Mapping[str, str] | None = None) -> Spec:
    """The spec of a file that is right."""
    return config.loads(textwrap.dedent(text), "a.yaml", environ or {})


def problems(text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """The lines for a file that is wrong."""
    with pytest.raises(ConfigError) as caught:
        load(text, environ)
    return [str(problem) for problem in caught.value.problems]


def listener(keys: str) -> str:
    """A file with one listener that has these keys besides `bind` (line 3) and `pool` (line 4)."""
    head = "listeners:\n  web:\n    bind: :8080\n    pool: app\n"
    return head + textwrap.indent(textwrap.dedent(keys), "    ") + "\npools: {app: {backends: [a:1]}}\n"


def route(keys: str) -> str:
    """A file with one route to pool `app` that has these keys, in flow style, in line 5."""
    head = "listeners:\n  web:\n    bind: :8080\n    routes:\n"
    return f"{head}      - {{pool: app, {keys}}}\npools: {{app: {{backends: [a:1]}}}}\n"


def pool(keys: str) -> str:
    """A file with one pool that has these keys besides `backends` (line 4), from line 5 on."""
    head = "listeners: {web: {bind: ':8080', pool: app}}\npools:\n  app:\n    backends: [a:1]\n"
    return head + textwrap.indent(textwrap.dedent(keys), "    ") + "\n"


def fault(read: Callable[[Any], object], value: Any) -> str:
    """`message; mend` of the fault that reading the value ends in."""
    with pytest.raises(Fault) as caught:
        read(value)
    return caught.value.message if caught.value.mend is None else f"{caught.value.message}; {caught.value.mend}"
