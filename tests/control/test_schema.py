"""The schema tells an editor every key, its form, its default and why that is so."""

import json
from typing import Any

import pytest

from steelyard.control import models
from steelyard.control.schema import json_schema
from steelyard.control.shapes import Shape

SCHEMA: dict[str, Any] = json_schema()


def part(name: str) -> dict[str, Any]:
    found: dict[str, Any] = SCHEMA if name == "File" else SCHEMA["$defs"][name]
    return found


def shapes() -> list[type[Shape]]:
    return [
        models.File,
        models.Listener,
        models.ListenerTimeouts,
        models.Route,
        models.Respond,
        models.Pool,
        models.Probe,
        models.Policy,
        models.SlowStart,
        models.Sticky,
        models.Backend,
        models.HealthCheck,
        models.Retry,
        models.PoolTimeouts,
    ]


def test_the_schema_is_json_of_the_2020_12_dialect() -> None:
    assert "https://json-schema.org/draft/2020-12/schema" == SCHEMA["$schema"]
    assert "Steelyard configuration" == SCHEMA["title"]
    assert SCHEMA == json.loads(json.dumps(SCHEMA))


@pytest.mark.parametrize("shape", shapes(), ids=lambda shape: shape.__name__)
def test_every_key_is_described_and_no_other_is_allowed(shape: type[Shape]) -> None:
    found = part(shape.__name__)
    assert set(shape.keys()) == set(found["properties"])
    assert found["additionalProperties"] is False
    assert all(entry["description"] for entry in found["properties"].values())


@pytest.mark.parametrize(
    ("default", "description", "name", "key"),
    [
        (
            3,
            "backends asked for one request, with the first (default 3: backends asked for one request",
            "Retry",
            "tries",
        ),
        ("20%", "retries, as a share of the requests (default 20%: retries per request", "Retry", "budget"),
        ("off", "for a whole exchange, all tries included (default off: downloads", "PoolTimeouts", "total"),
        (
            ["200-399"],
            "statuses of a healthy backend: 200, 2xx, 200-299, or a list of them (default [200-399]: as",
            "HealthCheck",
            "expect",
        ),
        (
            False,
            "a backend whose tries are used up is down until a check is good (default false: a",
            "Retry",
            "mark_down",
        ),
        ("32KiB", "a larger request head is refused with 431 (default 32KiB: nginx", "Listener", "max_head"),
        ("auto", "processes that serve; auto is one a core (default auto: one a core", "File", "workers"),
        ("off", "who the workers run as: a name or a number (default off: whoever", "File", "user"),
    ],
)
def test_a_default_has_its_reason(default: object, description: str, name: str, key: str) -> None:
    entry = part(name)["properties"][key]
    assert default == entry["default"]
    assert entry["description"].startswith(description)


def test_what_has_no_default_of_its_own_has_none_in_the_schema() -> None:
    for name, key in (("Listener", "bind"), ("Listener", "routes"), ("Pool", "retry"), ("Route", "path")):
        assert "default" not in part(name)["properties"][key]
    assert ["listeners"] == SCHEMA["required"]
    required = tuple(part(name)["required"] for name in ("Listener", "Pool", "Sticky"))
    assert (["bind"], ["backends"], ["cookie", "secret"]) == required


@pytest.mark.parametrize(
    ("forms", "name", "key"),
    [
        ([{"type": "string"}, {"$ref": "#/$defs/Policy"}], "Pool", "policy"),
        ([{"enum": ["off", False]}], "Pool", "health_check"),
        ([{"type": ["string", "integer"]}], "Route", "host"),
        ([{"type": "integer", "minimum": 0, "maximum": 1000}], "Backend", "weight"),
        ([{"type": "integer", "minimum": 1}, {"enum": ["off", False]}], "Backend", "max_connections"),
        ([{"enum": ["auto"]}, {"type": "integer", "minimum": 1, "maximum": 256}], "File", "workers"),
        ([{"enum": ["off", False]}], "File", "pid_file"),
    ],
)
def test_shorter_forms_are_allowed_too(forms: list[Any], name: str, key: str) -> None:
    allowed = part(name)["properties"][key]["anyOf"]
    assert [form for form in forms if form not in allowed] == []
