"""A spec's values as they are written in a file: units put back on, and quoted where YAML would misread them.

The reverse of fields.py. What a field's number means is in its name, as everywhere: `_s` is a duration,
`_bytes` a size.
"""

import json
import re
from typing import Any, Final

from yaml.nodes import ScalarNode
from yaml.resolver import Resolver

from steelyard.control import rules, units
from steelyard.control.unshown import Filled
from steelyard.core.spec import After

_SHARES: Final = frozenset(
    {"jitter", "budget", "quantile", "panic_threshold", "max_ejected", "error_rate", "slow_rate"}
)
# How it is written that there is none, where that is not `off`.
_ABSENT: Final = {"key": rules.DEFAULT_KEY, "workers": "auto", "burst": "auto", "directory": "."}
# Mappings of names to texts, any of which may be a secret.
UNSHOWN: Final = frozenset({"options", "environment"})
# Plain in block and flow style alike; everything else is quoted.
_PLAIN = re.compile(r"[A-Za-z0-9/.][A-Za-z0-9_./*%+-]*(?::[A-Za-z0-9_./*%+-]+)*")
_STRING_TAG: Final = "tag:yaml.org,2002:str"
_resolver: Any = Resolver()


def plain(name: str, value: Any) -> Any:
    """The value of the spec's field `name` in the form of the file, as what JSON knows: `2s`, 3, true, [...]."""
    if value is None:
        return _ABSENT.get(name, "off")
    if name == "expect":
        return [_statuses(low, high) for low, high in value]
    if name in UNSHOWN:
        raw = getattr(value, "raw", {})
        return {key: Filled(text, raw[key]) if key in raw else text for key, text in value}
    if name == "headers":
        return dict(value)
    if isinstance(value, After):
        if value.seconds is not None:
            return units.format_duration(value.seconds)
        assert value.quantile is not None
        return f"p{round(value.quantile * 100, 3):g}"
    if isinstance(value, tuple):
        return list(value)
    if name == "rate":
        return units.format_rate(value)
    if name == "min_body_rate":
        return units.format_byte_rate(value)
    if name.endswith("_s"):
        return units.format_duration(value)
    if name.endswith("_bytes"):
        return units.format_size(value)
    return units.format_percent(value) if name in _SHARES else value


def flow(value: Any) -> str:
    """What `plain` makes, on one line of YAML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_word(key)}: {flow(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(part) for part in value) + "]"
    if isinstance(value, Filled):
        return _word(value.raw)
    if isinstance(value, str):
        return value if value == "off" else scalar(value)
    return json.dumps(value)


def scalar(text: str) -> str:
    """The text as a YAML value; `$` is doubled, as the reader would look for a variable's name behind it."""
    return _word(text.replace("$", "$$"))


def _word(text: str) -> str:
    if _PLAIN.fullmatch(text) and _resolver.resolve(ScalarNode, text, (True, False)) == _STRING_TAG:
        return text
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _statuses(low: int, high: int) -> int | str:
    if low == high:
        return low
    return f"{low // 100}xx" if low % 100 == 0 and high == low + 99 else f"{low}-{high}"
