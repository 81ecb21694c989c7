"""The configuration reference: every key, what it is, its default and why, as Markdown tables.

Nothing is written here twice: keys and meanings come from control/models.py, defaults and reasons from core/spec.py.
docs/conf.py calls this at each build, so the page cannot fall behind the program.
"""

import dataclasses
import re
import typing
from collections.abc import Iterator
from typing import Any

from steelyard.control import written
from steelyard.control.models import File
from steelyard.control.shapes import Shape

# How the place of a mapping is written; {} is the key, and NAME stands for a name of the user's own.
_IN_MAPPING = "{}.NAME"
_IN_LIST = "{}[]"


def reference(root: type[Shape] = File) -> str:
    """The whole page's body: a heading and a table for each mapping of the file, outer ones first."""
    return "\n".join(line for place, shape in places(root) for line in _section(place, shape))


def places(shape: type[Shape], place: str = "") -> Iterator[tuple[str, type[Shape]]]:
    """The shape and all that are nested in it, with the dotted place of each; the file itself is the empty place."""
    yield place, shape
    for field in shape.model_fields.values():
        form, nested = _nested(field.annotation, "{}")
        if nested is not None:
            inner = form.format(field.alias)
            yield from places(nested, f"{place}.{inner}" if place else inner)


def _nested(annotation: Any, form: str) -> tuple[str, type[Shape] | None]:
    """The shape that a key holds, and the form of its place: itself, one of a list, or one of a mapping by name."""
    if isinstance(annotation, type) and issubclass(annotation, Shape):
        return form, annotation
    origin = typing.get_origin(annotation)
    if origin is dict:
        form = _IN_MAPPING
    elif origin is tuple:
        form = _IN_LIST
    for part in typing.get_args(annotation):
        inner_form, shape = _nested(part, form)
        if shape is not None:
            return inner_form, shape
    return form, None


def _section(place: str, shape: type[Shape]) -> Iterator[str]:
    yield f"## `{place}`" if place else "## The file"
    yield ""
    yield shape.__doc__ or ""
    yield ""
    yield "| key | meaning | default | why |"
    yield "| --- | --- | --- | --- |"
    for name, field in shape.model_fields.items():
        default, why = _default(shape, name)
        yield f"| `{field.alias}` | {_prose(field.description or '')} | {default} | {_prose(why)} |"
    yield ""


def _default(shape: type[Shape], name: str) -> tuple[str, str]:
    """The default as it would be written, and the reason; two empty cells where a table of its own says it."""
    if shape.model_fields[name].is_required():
        return "must be given", ""
    fields = {field.name: field for field in dataclasses.fields(shape.spec_type)}
    field = fields.get(name)
    if field is None or "why" not in field.metadata:
        return "", ""
    return f"`{written.flow(written.plain(name, field.default))}`", field.metadata["why"]


def _prose(text: str) -> str:
    """Text in a cell: what Markdown would take for a mark is meant as it stands."""
    return re.sub(r"([\\|*_<\[\]`])", r"\\\1", text)
