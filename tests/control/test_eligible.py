"""What would fail with every request is refused as a policy before the first one."""

from functools import partial
from typing import Any

import pytest

from steelyard.control.eligible import a_type, summary_of, why_not
from steelyard.core.policies.least import LeastConnections
from steelyard.core.policy import Policy


async def late(request: Any, backends: Any) -> None: ...


async def late_many(request: Any, backends: Any) -> Any:
    yield


class LateCall:
    async def __call__(self, request: Any, backends: Any) -> None: ...


class Callable:
    def __call__(self, request: Any, backends: Any) -> None: ...


def of_class(pick: Any) -> type[Policy]:
    return type("Own", (Policy,), {"pick": pick})


async def late_method(self: Any, request: Any) -> None: ...


def generating(self: Any, request: Any) -> Any:
    yield


def of_two(self: Any, request: Any) -> None: ...


@pytest.mark.parametrize("made", [late, late_many, LateCall(), partial(late)])
def test_a_function_answers_at_once(made: Any) -> None:
    fault = why_not(made)
    assert fault is not None
    assert "does not answer at once" == fault.message


@pytest.mark.parametrize(
    ("expected", "pick"),
    [
        ("does not answer at once", late_method),
        ("does not answer at once", generating),
        ("cannot be called with a request: too many positional arguments", lambda self: None),
        ("cannot be called with a request: missing a required argument: 'b'", lambda self, request, b: None),
        ("cannot be called with a request: too many positional arguments", staticmethod(lambda: None)),
        ("cannot be called with a request: too many positional arguments", classmethod(lambda cls: None)),
        ("is a Policy whose pick is an int", 5),
    ],
    ids=["async", "a generator", "of none", "of two", "static", "of the class", "no method"],
)
def test_a_method_takes_one_request_and_answers_at_once(expected: str, pick: Any) -> None:
    fault = why_not(of_class(pick))
    assert fault is not None
    assert expected == fault.message


@pytest.mark.parametrize(
    "pick",
    [
        of_two,
        lambda self, *rest: None,
        lambda self, request, more=1: None,
        staticmethod(lambda request: None),
        classmethod(lambda cls, request: None),
        partial(of_two, None),
    ],
    ids=["of one", "any number", "a default", "static", "of the class", "no method"],
)
def test_any_method_that_takes_one_request_will_do(pick: Any) -> None:
    assert why_not(of_class(pick)) is None


def test_objects_and_heirs_of_built_in_policies_will_do() -> None:
    assert why_not(Callable()) is None
    assert why_not(type("Heir", (LeastConnections,), {})) is None


def test_what_is_no_text_is_no_summary() -> None:
    made = Callable()
    made.__doc__ = 5  # type: ignore[assignment]
    assert ["", "", "One."] == [
        summary_of(made),
        summary_of(Callable()),
        summary_of(type("C", (), {"__doc__": "One.\n2"})),
    ]


def test_a_type_has_its_article() -> None:
    assert ["an int", "a str", "a NoneType"] == [a_type(3), a_type(""), a_type(None)]
