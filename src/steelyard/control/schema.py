"""The JSON Schema of the configuration file, for editors: keys, forms, descriptions, defaults and their reasons.

Dialect 2020-12. Descriptions come from models.py, defaults and reasons from core/spec.py. Rules over several
values (rules.py) are beyond what a schema says well; `steelyard check` has the last word.
"""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from steelyard.control import written
from steelyard.control.models import File
from steelyard.control.shapes import Shape

_TITLE = "Steelyard configuration"


def json_schema() -> dict[str, Any]:
    """A fresh schema; write it to a file and name that in the editor, or in the file's first line:
    `# yaml-language-server: $schema=steelyard.schema.json`."""
    made = File.model_json_schema(by_alias=True)
    parts = {"File": made, **made["$defs"]}
    for shape in _shapes(Shape):
        for name in shape.model_fields:
            _describe(parts[shape.__name__]["properties"][shape.alias_of(name)], shape, name)
    # The order of the keys is the order in which a reader wants them.
    return {"$schema": GenerateJsonSchema.schema_dialect, **made, "title": _TITLE}


def _shapes(base: type[Shape]) -> list[type[Shape]]:
    return [shape for direct in base.__subclasses__() for shape in (direct, *_shapes(direct))]


def _describe(entry: dict[str, Any], shape: type[Shape], name: str) -> None:
    """Add the default and its reason to a key; drop what pydantic says about the absence of one."""
    entry.pop("default", None)
    entry.pop("title", None)
    fields = shape.spec_fields()
    why = fields[name].metadata.get("why") if name in fields else None
    if why is not None:
        default = written.plain(name, fields[name].default)
        entry["default"] = default
        entry["description"] += f" (default {written.flow(default)}: {why})"
