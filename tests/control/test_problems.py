"""A problem names the key as it is written in the file, though pydantic has its own idea of where it is."""

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, BeforeValidator, ValidationError

from steelyard.control import config, lines, problems
from steelyard.control.fault import Fault
from steelyard.control.models import Pool
from steelyard.errors import ConfigError, Problem

CONTEXT = {"beside": None, "pools": ()}


def noted(text: str, *blamed: lines.Path) -> list[str]:
    page = lines.read(text, "a.yaml", {"X": " x"})
    page.blamed |= set(blamed)
    with pytest.raises(ValidationError) as caught:
        Pool.model_validate(page.data, context=CONTEXT)
    problems.note(page, caught.value, Pool)
    return [str(problem) for problem in page.problems]


def problems_of(text: str) -> list[Problem]:
    """Of a whole file."""
    with pytest.raises(ConfigError) as caught:
        config.loads(text, "a.yaml", {})
    return list(caught.value.problems)


def test_the_key_of_a_short_form_is_not_named() -> None:
    assert ["a.yaml:2: policy: unknown policy (got rnd); did you mean random?"] == noted(
        "backends: [a:1]\npolicy: rnd\n"
    )


def test_the_index_of_a_single_value_is_not_named() -> None:
    assert ["a.yaml:2: retry.on_status: is not a status that can be retried (got 1); use 502, 503 or 504"] == noted(
        "backends: [a:1]\nretry: {on_status: 1}\n"
    )


def test_a_missing_key_is_named_with_the_line_of_its_mapping() -> None:
    assert ["a.yaml:2: sticky.cookie: is missing; write cookie: steelyard"] == noted(
        f"backends: [a:1]\nsticky: {{secret: {'s' * 16}}}\n"
    )


def test_a_value_that_ends_in_nothing_is_shown_in_quotes() -> None:
    assert ["a.yaml:1: backends[0]: has no port (got ''); write localhost:8000"] == noted("backends: ['']\n")
    assert ["a.yaml:1: backends[0]: has no port (got ' x' from ${X}); write  x:8000"] == noted("backends: ['${X}']\n")


def test_a_value_of_several_lines_is_shown_on_one() -> None:
    assert [r"a.yaml:2: nots: unknown key (got 'one\ntwo'); known: policy, backends, health_check, retry"] == [
        said.partition(", timeouts")[0] for said in noted("backends: [a:1]\nnots: |-\n  one\n  two\n")
    ]


def test_an_unknown_key_is_shown_with_its_value_unless_that_is_a_whole_mapping_or_list() -> None:
    assert ["unknown key (got rnd)", "unknown key", "unknown key"] == [
        said.split(": ", 2)[2].partition(";")[0]
        for said in noted("backends: [a:1]\npolcy: rnd\nretri: {tries: 2}\nbckends: [a:1]\n")
    ]


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("it belongs to listeners.NAME.routes", "pools: {app: {rate_limit: 5/s}}"),
        ("it belongs to pools.NAME.retry", "pools: {app: {tries: 2}}"),
        ("it belongs to listeners.NAME and pools.NAME.backends", "pools: {app: {max_connections: 5}}"),
        ("it belongs to the top of the file", "listeners: {web: {user: root}}"),
        ("did you mean timeouts?", "pools: {app: {timeout: 5s}}"),  # it belongs to many
    ],
)
def test_of_a_key_in_the_wrong_place_it_is_said_where_it_belongs(expected: str, text: str) -> None:
    assert expected in [problem.mend for problem in problems_of(text) if problem.message == "unknown key"]


def test_what_is_blamed_already_is_not_blamed_again() -> None:
    assert [] == noted("backends: ['']\n", ("backends", 0))


def test_a_fault_can_bring_its_own_value() -> None:
    page = lines.read("a: 1\n", "a.yaml", {})
    problems.note_fault(page, Fault("is wrong", "mend it", value="2"), ("a",))
    problems.note_fault(page, Fault("is wrong", value=""), ("a",))
    problems.note_fault(page, Fault("is wrong"), ("a",))
    assert ["a.yaml:1: a: is wrong (got 2); mend it", "a.yaml:1: a: is wrong", "a.yaml:1: a: is wrong (got 1)"] == [
        str(problem) for problem in page.problems
    ]


def test_an_error_that_is_no_fault_is_one_line_all_the_same() -> None:
    """Somebody else's code may be called while a value is read."""

    class Strange(BaseModel):
        a: Annotated[Any, BeforeValidator(int)] = None
        b: Annotated[Any, BeforeValidator(lambda value: _assert_not())] = None

    page = lines.read("a: x\nb: y\n", "a.yaml", {})
    with pytest.raises(ValidationError) as caught:
        Strange.model_validate(page.data)
    problems.note(page, caught.value, Pool)
    a, b = (str(problem) for problem in page.problems)
    assert a.startswith("a.yaml:1: a: cannot be taken: ValueError: invalid literal for int() with base 10: 'x'")
    assert "a.yaml:2: b: cannot be taken (got y); Assertion failed, never" == b


def _assert_not() -> None:
    raise AssertionError("never")


def test_null_has_no_value() -> None:
    assert ["a.yaml:2: policy: has no value; write one, or take the key out"] == noted(
        "backends: [a:1]\npolicy: null\n"
    )


def test_what_nothing_reads_is_shown_as_it_was_written() -> None:
    """What the environment has put there may be a secret."""
    assert ["a.yaml:2: polcy: unknown key (got ${X}); did you mean policy?"] == noted(
        "backends: [a:1]\npolcy: '${X}'\n"
    )
