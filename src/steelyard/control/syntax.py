"""What is wrong with a file that is not YAML, and the mend: a parser says what it expected, people made a slip.

The slips: an address or a body's field in brackets, a `*`, a `: ` or a `${...}` without quotes, a quote that stays
open, a tab.
"""

import re

import yaml

from steelyard.errors import Problem

# `[::]:8080` without quotes is to YAML a list, and then something that must not follow a list.
_BARE_BRACKETS = re.compile(r"(?:^|[\s,{\[-])(\[[0-9A-Fa-f:.%]*:[0-9A-Fa-f:.%]*\]:[0-9]+)")
_BARE_VARIABLE = re.compile(r"[{\[](?:.*[\s,{\[:])?(\$\{[^}\s]*\})")
# `body:messages.0.content[:256]` is to YAML a word, and then a list where none can be.
_BARE_BODY = re.compile(r"[{\[](?:.*[\s,{\[:])?(body:[^\s,{}\[\]\"']+\[:[0-9]+\])")

# Characters of a line that are looked at: the search is quadratic in them, and nobody writes longer ones by hand.
_LONGEST_LINE = 2000

_INDENTATION = ("does not fit the lines above", "give it the indentation of the lines that it belongs to")
# What libyaml (and PyYAML's own parser, in nearly the same words) complains of -> message and mend.
_SLIPS = (
    (
        "mapping values are not allowed",
        "has a ': ' where no key can stand",
        "check the indentation, and put quotes around a value that has ': ' in it",
    ),
    ("alphabetic or numeric character", "has a value that begins with '*' or '&'", "put quotes around it"),
    ("found undefined alias", "has a value that begins with '*'", "put quotes around it, or define the alias before"),
    ("did not find expected key", *_INDENTATION),
    ("expected <block end>", *_INDENTATION),
    ("did not find expected '-' indicator", *_INDENTATION),
    ("node content", "has no value where one should stand", "write it, or close the bracket"),
    ("found another document", "holds a second document", "keep one, and leave out '---'"),
)


def problem(exc: yaml.YAMLError, text: str, name: str) -> Problem:
    """The problem to report for an error that reading the text of the file `name` ended in."""
    mark = getattr(exc, "problem_mark", None)
    if mark is None:  # yaml.reader.ReaderError: a character that no YAML file may have
        line = text.count("\n", 0, getattr(exc, "position", 0)) + 1
        return Problem(f"{name}:{line}", "YAML", "has a control character", mend="take it out")
    lines = [*text.splitlines(), ""]
    complaint = str(getattr(exc, "problem", ""))
    opened = getattr(exc, "context_mark", None)
    context = str(getattr(exc, "context", ""))
    if opened is not None and "quoted scalar" in context and "end of stream" in complaint:
        return Problem(f"{name}:{opened.line + 1}", "YAML", "has a quote that is not closed", mend="close it")
    # The parser stops behind what is wrong, often at the beginning of the next line that says something.
    for number in range(min(mark.line, len(lines) - 1), max(mark.line - 3, -1), -1):
        where = f"{name}:{number + 1}"
        piece = lines[number][:_LONGEST_LINE]
        if (bare := _BARE_BRACKETS.search(piece)) is not None:
            mend = f'put quotes around it: "{bare[1]}"'
            return Problem(where, "YAML", "an address in brackets reads as a list", bare[1], mend)
        if (bare := _BARE_VARIABLE.search(piece)) is not None:
            shown = re.sub(r":-.*", ":-...}", bare[1])  # a default may be a secret
            mend = f'put quotes around it: "{shown}"'
            return Problem(where, "YAML", "a variable inside braces or brackets ends them", shown, mend)
        if (bare := _BARE_BODY.search(piece)) is not None:
            mend = f'put quotes around it: "{bare[1]}"'
            return Problem(where, "YAML", "brackets inside braces or brackets read as a list", bare[1], mend)
    if opened is not None and ("flow sequence" in context or "flow mapping" in context):
        bracket = "[" if "sequence" in context else "{"
        message = f"has a {bracket!r} that is not closed by line {mark.line + 1}"
        return Problem(f"{name}:{opened.line + 1}", "YAML", message, mend="close it, or look for a missing ','")
    where = f"{name}:{mark.line + 1}"
    here = lines[min(mark.line, len(lines) - 1)]
    if "cannot start any token" in complaint:
        if here[mark.column : mark.column + 1] == "\t":
            return Problem(where, "YAML", "is indented with a tab", mend="indent with spaces")
        first = here[mark.column : mark.column + 1]
        return Problem(where, "YAML", f"has a value that begins with {first!r}", mend="put quotes around it")
    for sign, message, mend in _SLIPS:
        if sign in complaint:
            return Problem(where, "YAML", message, mend=mend)
    return Problem(where, "YAML", complaint or "cannot be read")
