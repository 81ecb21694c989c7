"""A shape knows its keys, and the shape of every mapping below it."""

import pytest

from steelyard.control import models
from steelyard.control.shapes import Shape, shape_at
from steelyard.core import spec


@pytest.mark.parametrize(
    ("expected", "path"),
    [
        (models.File, ()),
        (models.Listener, ("listeners", "web")),
        (models.ListenerTimeouts, ("listeners", "web", "timeouts")),
        (models.Route, ("listeners", "web", "routes", 3)),
        (models.Respond, ("listeners", "web", "routes", 3, "respond")),
        (models.Pool, ("pools", "listeners")),
        (models.Policy, ("pools", "web", "policy")),
        (models.Backend, ("pools", "web", "backends", 0)),
        (models.HealthCheck, ("pools", "web", "health_check")),
    ],
)
def test_the_shape_of_a_mapping_is_found_by_its_path(expected: type[Shape], path: tuple[str | int, ...]) -> None:
    assert expected is shape_at(models.File, path)


def test_a_value_has_no_shape() -> None:
    with pytest.raises(AssertionError, match="is no mapping of File"):
        shape_at(models.File, ("drain_timeout",))


def test_only_what_is_given_is_passed_on() -> None:
    made = models.Retry.model_validate({"tries": "5", "budget": "off"})
    assert {"tries": 5, "budget": None} == made.given()
    assert spec.RetrySpec(tries=5, budget=None) == made.spec()


def test_keys_are_the_ones_of_the_file() -> None:
    assert ["head", "body", "idle", "write"] == models.ListenerTimeouts.keys()
    assert "drain_timeout" == models.File.alias_of("drain_timeout_s")


def test_a_required_key_has_an_example() -> None:
    assert ("steelyard", "") == (models.Sticky.example("cookie"), models.Backend.example("weight"))
