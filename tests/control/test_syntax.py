"""A file that is not YAML is answered with the slip that was probably made, and its line."""

from unittest.mock import patch

import pytest
import yaml

from steelyard.control import lines
from tests.control.said import problems

CASES = [
    (
        'a.yaml:3: YAML: an address in brackets reads as a list (got [::]:8080); put quotes around it: "[::]:8080"',
        "listeners:\n  web:\n    bind: [::]:8080\n    pool: app\n",
    ),
    (
        'a.yaml:1: YAML: an address in brackets reads as a list (got [::1]:80); put quotes around it: "[::1]:80"',
        "pools: {app: {backends: [[::1]:80, b:1]}}",
    ),
    (
        'a.yaml:2: YAML: a variable inside braces or brackets ends them (got ${X}); put quotes around it: "${X}"',
        "a:\n  b: {c: ${X}, d: 1}\n",
    ),
    (
        "a.yaml:1: YAML: a variable inside braces or brackets ends them (got ${X:-...}); "
        'put quotes around it: "${X:-...}"',
        "a: [${X:-y}, b]\n",
    ),
    (
        "a.yaml:1: YAML: brackets inside braces or brackets read as a list (got body:a.b[:9]); "
        'put quotes around it: "body:a.b[:9]"',
        "policy: {name: hash, key: body:a.b[:9]}\n",
    ),
    ("a.yaml:2: YAML: is indented with a tab; indent with spaces", "a:\n\tb: 1\n"),
    ("a.yaml:1: YAML: has a value that begins with '@'; put quotes around it", "a: @x\n"),
    (
        "a.yaml:1: YAML: has a ': ' where no key can stand; "
        "check the indentation, and put quotes around a value that has ': ' in it",
        "a: b: c\n",
    ),
    ("a.yaml:2: YAML: has a quote that is not closed; close it", "a:\n  - 'x\n  - b\n"),
    ("a.yaml:1: YAML: has a value that begins with '*' or '&'; put quotes around it", "host: *.example.org\n"),
    (
        "a.yaml:1: YAML: has a value that begins with '*'; put quotes around it, or define the alias before",
        "path: *x\n",
    ),
    ("a.yaml:3: YAML: holds a second document; keep one, and leave out '---'", "---\na: 1\n---\nb: 1\n"),
    (
        "a.yaml:1: YAML: has a '{' that is not closed by line 2; close it, or look for a missing ','",
        "a: {b: 1\nc: 2\n",
    ),
    (
        "a.yaml:3: YAML: does not fit the lines above; give it the indentation of the lines that it belongs to",
        "a:\n  b: 1\n c: 2\n",
    ),
    ("a.yaml:2: YAML: has no value where one should stand; write it, or close the bracket", "a: [\n,]\n"),
    ("a.yaml:2: YAML: has a control character; take it out", "a: 1\nb: \x01\n"),
    ("a.yaml:2: YAML: has a control character; take it out", "\n\x01\n"),
]


@pytest.mark.parametrize(("expected", "text"), CASES)
def test_a_slip_is_named_with_its_line_and_mend(expected: str, text: str) -> None:
    assert [expected] == problems(text)


@pytest.mark.parametrize(("expected", "text"), CASES)
def test_the_parser_that_is_written_in_python_is_understood_too(expected: str, text: str) -> None:
    with patch.object(lines, "_Loader", yaml.SafeLoader):
        assert [expected] == problems(text)


def test_a_slip_that_is_not_known_has_the_words_of_the_parser() -> None:
    assert ["a.yaml:1: YAML: found unknown escape character"] == problems('a: "\\q"\n')
