"""What every mapping of the configuration file has in common, and the ways in which a key can be declared.

A `Shape`'s attribute has the name of the field of core/spec.py that it fills, its alias is the key in the file.
So `given()` is all that is needed to make a spec, what is not given keeps the spec's own default, and
effective.py walks the same table in the other direction.
"""

from collections.abc import Collection, Iterator
from dataclasses import Field, fields
from typing import Any, ClassVar, get_args

import pydantic
from pydantic import BaseModel, BeforeValidator, ConfigDict


def optional(name: str, description: str) -> Any:
    """A key that may be left out; the attribute is then None and not among `given()`."""
    return pydantic.Field(default=None, alias=name, description=description)


def required(name: str, description: str, example: str) -> Any:
    """A key that must be there; the example is what its absence is answered with."""
    return pydantic.Field(alias=name, description=description, examples=[example])


def shorthand(name: str) -> BeforeValidator:
    """Takes one word for a mapping that has only this key."""
    return BeforeValidator(lambda value: {name: value} if isinstance(value, (str, int)) else value)


class Shape(BaseModel):
    """A mapping of the file. spec_type: the dataclass that it becomes. local_type: one more, that is a part of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    spec_type: ClassVar[Any]
    local_type: ClassVar[Any] = None

    def given(self, leave: Collection[str] = ()) -> dict[str, Any]:
        """The fields of the spec that the file sets, but for those that are left to the caller."""
        return {name: _as_spec(getattr(self, name)) for name in self.model_fields_set if name not in leave}

    def given_keys(self) -> dict[str, str]:
        """Field -> key of what the file sets, in the order of the file."""
        return {name: self.alias_of(name) for name in type(self).model_fields if name in self.model_fields_set}

    def spec(self) -> Any:
        """The checked part of the configuration."""
        return self.spec_type(**self.given())

    @classmethod
    def spec_fields(cls) -> "dict[str, Field[Any]]":
        """The fields of the dataclasses that have a key here, by name, in the order of the file."""
        types = [kind for kind in (cls.spec_type, cls.local_type) if kind is not None]
        found = {field.name: field for kind in types for field in fields(kind)}
        return {name: found[name] for name in cls.model_fields if name in found}

    @classmethod
    def alias_of(cls, name: str) -> str:
        """The key that fills the spec's field."""
        return cls.model_fields[name].alias or name

    @classmethod
    def keys(cls) -> list[str]:
        """All keys, in the order of the file."""
        return [cls.alias_of(name) for name in cls.model_fields]

    @classmethod
    def example(cls, key: str) -> str:
        """What a required key could hold."""
        (field,) = (field for field in cls.model_fields.values() if field.alias == key)
        return str((field.examples or [""])[0])


def _as_spec(value: Any) -> Any:
    if isinstance(value, Shape):
        return value.spec()
    if type(value) is tuple:  # a subclass knows more than its items
        return tuple(_as_spec(item) for item in value)
    return value


def shape_at(shape: type[Shape], path: tuple[str | int, ...]) -> type[Shape]:
    """The shape of the mapping at path below one of `shape`, found through the types of the keys on the way."""
    kind: Any = shape
    for part in path:
        here = _shape_in(kind)
        if here is None:
            kind = _item(kind)
        else:
            (kind,) = (field.annotation for field in here.model_fields.values() if field.alias == part)
    found = _shape_in(kind)
    assert found is not None, f"{path} is no mapping of {shape.__name__}"
    return found


def shapes_below(shape: type[Shape], at: str = "") -> Iterator[tuple[str, type[Shape]]]:
    """A shape and all shapes of mappings within it, each with where it stands: `pools.NAME.retry`."""
    yield at or "the top of the file", shape
    for field in shape.model_fields.values():
        kind: Any = field.annotation
        named = getattr(kind, "__origin__", None) is dict
        within = _shape_in(_item(kind)) if getattr(kind, "__origin__", None) in (dict, tuple) else _shape_in(kind)
        if within is not None:
            yield from shapes_below(within, ".".join(filter(None, [at, str(field.alias), "NAME" if named else ""])))


def _shape_in(kind: Any) -> type[Shape] | None:
    """The shape that a type is, also under Annotated and `| None`; None for a list or a mapping by name."""
    if isinstance(kind, type) and issubclass(kind, Shape):
        return kind
    if getattr(kind, "__origin__", None) in (dict, tuple):
        return None
    return next((shape for inner in get_args(kind) if (shape := _shape_in(inner)) is not None), None)


def _item(kind: Any) -> Any:
    """What the items of a `dict[str, X]` or a `tuple[X, ...]` are."""
    first, second = get_args(kind)
    return first if second is Ellipsis else second
