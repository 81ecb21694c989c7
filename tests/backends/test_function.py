"""backends/function.py: a function by its name, and what it returns as an answer."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from steelyard.backends.function import (
    BYTES_TYPE,
    TEXT_TYPE,
    Answer,
    FunctionError,
    answer_of,
    load,
    refused_answer,
    text_answer,
)
from steelyard.backends.task import Task
from steelyard.errors import TaskRefused

GOOD = """
def tell(task):
    return task.body

class Class:
    @staticmethod
    def tell(task):
        return b"class"

async def later(task):
    return b""

def two(task, other):
    return b""

def none():
    return b""

class Odd:
    __signature__ = property(lambda self: 1 / 0)

    def __call__(self, task):
        return b"odd"

odd = Odd()
number = 5
"""


@pytest.fixture(autouse=True)
def modules(tmp_path: Path) -> Iterator[Path]:
    """A directory with modules of somebody's; they and the way to them are forgotten afterwards."""
    (tmp_path / "good.py").write_text(GOOD)
    (tmp_path / "broken.py").write_text("x = 1\ndef (:\n")
    (tmp_path / "raises.py").write_text("def deep():\n    return 1 / 0\n\ndeep()\n")
    (tmp_path / "ends.py").write_text("import sys\nsys.exit('enough')\n")
    (tmp_path / "needs.py").write_text("import nowhere_to_be_found\n")
    (tmp_path / "mute.py").write_text("class E(Exception):\n    def __str__(self):\n        raise self\nraise E\n")
    before, known = list(sys.path), set(sys.modules)
    yield tmp_path
    sys.path[:] = before
    for name in set(sys.modules) - known:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("name", "expected"), [("good:tell", b"body"), ("good:Class.tell", b"class"), ("good:odd", b"odd")]
)
def test_a_function_is_found_in_the_directory(modules: Path, name: str, expected: bytes) -> None:
    assert expected == load(name, modules)(Task(b"body"))
    assert 1 == sys.path.count(str(modules))
    load(name, modules)
    assert 1 == sys.path.count(str(modules))


def test_without_a_directory_what_is_installed_is_searched() -> None:
    assert json.dumps is load("json:dumps")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("good", "'good' names no function; write package.module:function"),
        ("good:", "'good:' names no function; write package.module:function"),
        (":tell", "':tell' names no function; write package.module:function"),
        ("good:tell:x", "'good:tell:x' names no function; write package.module:function"),
        ("../good:tell", "'../good:tell' names no function; write package.module:function"),
        ("absent:tell", "absent:tell: cannot import absent: ModuleNotFoundError: No module named 'absent'"),
        ("good:absent", "good:absent: good has no absent: AttributeError: module 'good' has no attribute 'absent'"),
        ("good:number", "good:number: is an int and cannot be called; name a function(task)"),
        ("good:later", "good:later: is an async function; write a plain one, it has a thread of its own"),
        (
            "good:two",
            "good:two: cannot be called with a task alone: missing a required argument: 'other'; write function(task)",
        ),
        (
            "good:none",
            "good:none: cannot be called with a task alone: too many positional arguments; write function(task)",
        ),
        ("broken:tell", "broken:tell: cannot import broken: SyntaxError: invalid syntax (broken.py, line 2)"),
        ("raises:x", "raises:x: cannot import raises: ZeroDivisionError: division by zero ({}/raises.py, line 2)"),
        ("ends:x", "ends:x: cannot import ends: SystemExit: enough ({}/ends.py, line 2)"),
        ("mute:x", "mute:x: cannot import mute: E, which cannot say what it is ({}/mute.py, line 4)"),
        (
            "needs:x",
            "needs:x: cannot import needs: ModuleNotFoundError: No module named 'nowhere_to_be_found' "
            "({}/needs.py, line 1)",
        ),
    ],
)
def test_a_function_that_cannot_be_had_is_one_line_that_says_why(modules: Path, name: str, message: str) -> None:
    with pytest.raises(FunctionError) as caught:
        load(name, modules)
    assert message.format(modules) == str(caught.value)


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        (b"\x00\xff", Answer(200, BYTES_TYPE, b"\x00\xff")),
        (b"", Answer(200, BYTES_TYPE, b"")),
        ("grün", Answer(200, TEXT_TYPE, "grün".encode())),
        ((b"\x89PNG", "image/png"), Answer(200, "image/png", b"\x89PNG")),
        (("[]", "application/json; charset=utf-8"), Answer(200, "application/json; charset=utf-8", b"[]")),
    ],
)
def test_bytes_text_and_either_with_its_type_are_answers(returned: object, expected: Answer) -> None:
    assert expected == answer_of(returned)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, "None; return bytes, a str, or (bytes or str, content type)"),
        (5, "an int; return"),
        ({"a": 1}, "a dict; return"),
        (bytearray(b"x"), "a bytearray; return"),
        ((b"x",), "a tuple of 1; return (bytes or str, content type)"),
        ((b"x", "a/b", 200), "a tuple of 3; return"),
        ((b"x", 5), "an int as its content type; return one such as 'image/png'"),
        ((b"x", None), "None as its content type"),
        ((b"x", ""), "'' as its content type"),
        ((b"x", "image/png\r\nX-Evil: 1"), r"'image/png\r\nX-Evil: 1' as its content type"),
        ((b"x", " image/png"), "' image/png' as its content type"),
        ((b"x", "ä"), "'ä' as its content type"),
        ((b"x", "a" * 61 + "\n"), f"'{'a' * 60}'... as its content type"),
        ((5, "image/png"), "an int; return"),
        ("\ud800", "a str that is no text: 'utf-8' codec can't encode"),
    ],
)
def test_anything_else_is_an_error_that_says_what_it_was(returned: object, message: str) -> None:
    with pytest.raises(FunctionError) as caught:
        answer_of(returned)
    assert str(caught.value).startswith(message)


def test_a_refusal_is_answered_with_its_status_and_its_reason() -> None:
    assert Answer(422, TEXT_TYPE, b"not an image\n") == refused_answer(TaskRefused("not an image"))
    assert Answer(503, TEXT_TYPE, b"still loading\n") == refused_answer(TaskRefused("still loading", 503))


@pytest.mark.parametrize("status", [200, 399, 600, -1])
def test_a_refusal_is_an_error_to_the_client(status: int) -> None:
    with pytest.raises(ValueError, match="400 to 599"):
        TaskRefused("", status)


def test_a_reason_that_is_no_text_is_answered_all_the_same() -> None:
    assert Answer(422, TEXT_TYPE, b"?\n") == text_answer(422, "\udcff")
