"""A function as a backend: how it is found by its name, and what becomes of what it returns.

It is somebody else's code: whatever importing it raises is one line that says where, and whatever it returns that
cannot be sent is an error of its own, never bytes on the wire.
"""

import importlib
import re
import sys
from collections.abc import Callable
from inspect import iscoroutinefunction, signature
from pathlib import Path
from traceback import walk_tb
from typing import Final, NamedTuple

from steelyard.backends.task import Task
from steelyard.errors import SteelyardError, TaskRefused

BYTES_TYPE: Final = "application/octet-stream"
TEXT_TYPE: Final = "text/plain; charset=utf-8"

Function = Callable[[Task], object]

_NAME: Final = re.compile(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*):([^\W\d]\w*(?:\.[^\W\d]\w*)*)")
# It becomes a field's value: visible ASCII that begins with no space.
_CONTENT_TYPE: Final = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")
_SHOWN_CHARS: Final = 60


class FunctionError(SteelyardError):
    """A function that cannot be served, or what it returned that cannot be sent: one line for people."""


class Answer(NamedTuple):
    """What is sent: a status, a content type and a body."""

    status: int
    content_type: str
    body: bytes


def text_answer(status: int, text: str) -> Answer:
    """One sentence as an answer."""
    return Answer(status, TEXT_TYPE, f"{text}\n".encode(errors="replace"))


def load(name: str, directory: Path | None = None) -> Function:
    """The function that `package.module:function` names.

    directory: searched for the module before all others. Raises FunctionError, which says what to write instead.
    Importing the module runs it.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise FunctionError(f"{name!r} names no function; write package.module:function")
    if directory is not None and str(directory) not in sys.path:
        sys.path.insert(0, str(directory))
    module, attributes = found[1], found[2].split(".")
    try:
        made: object = importlib.import_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as exc:  # a module may even end the program
        raise FunctionError(f"{name}: cannot import {module}: {described(exc)}") from exc
    for attribute in attributes:
        try:
            made = getattr(made, attribute)
        except Exception as exc:
            raise FunctionError(f"{name}: {module} has no {found[2]}: {described(exc)}") from exc
    if not callable(made):
        raise FunctionError(f"{name}: is {_a(made)} and cannot be called; name a function(task)")
    if iscoroutinefunction(made):
        raise FunctionError(f"{name}: is an async function; write a plain one, it has a thread of its own")
    why = _cannot_take_a_task(made)
    if why:
        raise FunctionError(f"{name}: cannot be called with a task alone: {why}; write function(task)")
    return made


def answer_of(returned: object) -> Answer:
    """What is sent for what a function has returned: bytes, a str, or either with its content type.

    Raises FunctionError for anything else.
    """
    content_type = ""
    body = returned
    if isinstance(returned, tuple):
        if len(returned) != 2:
            raise FunctionError(f"a tuple of {len(returned)}; return (bytes or str, content type)")
        body, named = returned
        if not isinstance(named, str) or not _CONTENT_TYPE.fullmatch(named):
            raise FunctionError(f"{_shown(named)} as its content type; return one such as 'image/png'")
        content_type = named
    if isinstance(body, bytes):
        return Answer(200, content_type or BYTES_TYPE, body)
    if isinstance(body, str):
        try:
            return Answer(200, content_type or TEXT_TYPE, body.encode())
        except UnicodeEncodeError as exc:
            raise FunctionError(f"a str that is no text: {exc}") from exc
    raise FunctionError(f"{_a(body)}; return bytes, a str, or (bytes or str, content type)")


def refused_answer(refusal: TaskRefused) -> Answer:
    """What is sent for a task that its function will not do."""
    return text_answer(refusal.status, refusal.reason)


def described(exc: BaseException) -> str:
    """An exception on one line, with the last line of somebody's own file that it came through."""
    place = ""
    if not isinstance(exc, SyntaxError):  # which says itself where
        for frame, line in walk_tb(exc.__traceback__):
            file = frame.f_code.co_filename
            if not file.startswith("<") and file not in (__file__, importlib.__file__):
                place = f" ({file}, line {line})"
    name = type(exc).__name__
    try:
        return " ".join(f"{name}: {exc}".removesuffix(": ").split()) + place
    except Exception:
        return f"{name}, which cannot say what it is{place}"


def _cannot_take_a_task(function: Function) -> str:
    """What speaks against `function(task)`; nothing where it can be called so, or where nobody can say."""
    try:
        parameters = signature(function)
    except Exception:  # what is written in C may have none, and somebody's own may raise anything
        return ""
    try:
        parameters.bind(None)
    except TypeError as exc:
        return str(exc)
    return ""


def _a(value: object) -> str:
    """What it is, for people."""
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def _shown(value: object) -> str:
    """A value as it is written, in short."""
    if not isinstance(value, str):
        return _a(value)
    return repr(value) if len(value) <= _SHOWN_CHARS else f"{value[:_SHOWN_CHARS]!r}..."
