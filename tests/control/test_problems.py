"""A problem names the key as it is written in the file, though pydantic has its own idea of where it is."""

import pytest
from pydantic import ValidationError

from steelyard.control import lines, problems
from steelyard.control.fault import Fault
from steelyard.control.models import Pool

CONTEXT = {"beside": None, "pools": ()}


def noted(text: str, *blamed: lines.Path) -> list[str]:
    page = lines.read(text, "a.yaml", {"X": " x"})
    page.blamed |= set(blamed)
    with pytest.raises(ValidationError) as caught:
        Pool.model_validate(page.data, context=CONTEXT)
    problems.note(page, caught.value, Pool)
    return [str(problem) for problem in page.problems]


def test_the_key_of_a_short_form_is_not_named() -> None:
    assert ["a.yaml:2: policy: unknown policy (got rnd); did you mean random?"] == noted(
        "backends: [a:1]\npolicy: rnd\n"
    )


def test_the_index_of_a_single_value_is_not_named() -> None:
    assert ["a.yaml:2: retry.on_status: is not a status that can be retried (got 1); use 502, 503 or 504"] == noted(
        "backends: [a:1]\nretry: {on_status: 1}\n"
    )


def test_a_missing_key_is_named_with_the_line_of_its_mapping() -> None:
    assert ["a.yaml:2: backends[1].address: is missing; write address: localhost:8000"] == noted(
        "backends: [a:1,\n  {weight: 1}]\n"
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
