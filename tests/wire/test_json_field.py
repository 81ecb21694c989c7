"""wire/json_field.py: one field out of a JSON body."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.wire.json_field import field, field_path, is_json, parse

CHAT = b'{"model": "m", "n": 1, "messages": [{"role": "user", "content": "Hello \\u00fc world"}, {"content": null}]}'


def found(body: bytes, path: str) -> str | None:
    return field(parse(body), field_path(path))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("model", "m"),
        ("messages.0.content", "Hello \xfc world"),
        ("messages.0.content[:7]", "Hello \xfc"),
        ("messages.0.content[:0]", ""),
        ("messages.0.content[:999999999]", "Hello \xfc world"),
        ("n", "1"),
        ("messages", None),
        ("messages.0", None),
        ("messages.1.content", None),
        ("messages.2.content", None),
        ("messages.-1.role", None),
        ("messages.00.role", "user"),
        ("messages.0x0.role", None),
        ("messages.\u0660.role", None),
        ("messages.9999999999.role", None),
        ("messages.role", None),
        ("model.0", None),
        ("n.0", None),
        ("other", None),
        ("other.more", None),
        ("", None),
        (".", None),
        ("model.", None),
        ("[:3]", None),
        ("model[:-1]", None),
        ("model[:x]", None),
        ("model[:]", None),
        ("model[1:2]", None),
        ("model[:9999999999]", None),
    ],
)
def test_a_path_leads_to_the_text_of_a_field_or_nowhere(path: str, expected: str | None) -> None:
    assert expected == found(CHAT, path)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (b'"x"', "x"),
        (b'""', ""),
        (b"0", "0"),
        (b"-0", "-0"),
        (b"1.50", "1.50"),
        (b"1e400", "1e400"),
        (b"12345678901234567890", "12345678901234567890"),
        (b"true", "true"),
        (b"false", "false"),
        (b"null", None),
        (b"[1]", None),
        (b"{}", None),
    ],
)
def test_strings_are_as_they_are_and_numbers_as_they_were_written(written: bytes, expected: str | None) -> None:
    assert expected == found(b'{"a": ' + written + b"}", "a")


def test_a_list_may_be_the_whole_and_a_number_may_be_a_name() -> None:
    assert "b" == found(b'["a", {"1": "b"}]', "1.1")


def test_an_empty_name_is_a_name() -> None:
    assert "x" == found(b'{"": {"": "x"}}', ".")


def test_of_equal_names_the_last_counts() -> None:
    assert "2" == found(b'{"a": 1, "a": 2}', "a")


def test_half_a_surrogate_pair_is_passed_on_as_such() -> None:
    assert "\ud800" == found(b'{"a": "\\ud800"}', "a")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b'{"a": 1',
        b'{"a": 1} x',
        b'{"a": 1}{"a": 2}',
        b"{'a': 1}",
        b'{"a": 01}',
        b'{"a": +1}',
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": "\t"}',
        b'{"a": 1, "b": \xff}',
        b'{"a": "\xff"}',
        b'\xef\xbb\xbf{"a": 1}',
        '{"a": 1}'.encode("utf-16"),
        b'{"a": 1, "b": "\\ud"}',
        b"[" * 65536,
        b'{"a":' * 13000,
        b"[" * 30000 + b"]" * 30000,
    ],
)
def test_what_is_no_json_in_utf_8_or_nested_too_deep_has_no_fields(body: bytes) -> None:
    assert parse(body) is None
    assert found(body, "a") is None


def test_a_number_of_any_length_costs_nothing_and_is_its_own_text() -> None:
    """Python refuses to convert more than 4300 digits, and takes seconds for a few more zeros."""
    digits = "9" * 65000
    assert digits == found(b'{"a": %b}' % digits.encode(), "a")


def test_nesting_that_a_parser_of_some_stack_can_follow_is_followed() -> None:
    assert "x" == found(b'{"a":' * 100 + b'"x"' + b"}" * 100, ".".join(["a"] * 100))


@pytest.mark.parametrize(
    "kind",
    [
        b"application/json",
        b"Application/JSON",
        b"application/json; charset=utf-8",
        b"application/json;x",
        b"application/vnd.api+json",
        b"model/gltf+json ; a=b",
    ],
)
def test_json_is_known_by_its_type(kind: bytes) -> None:
    assert is_json(kind)


@pytest.mark.parametrize(
    "kind",
    [
        None,
        b"",
        b"json",
        b"+json",
        b"text/json",
        b"text/plain",
        b"application/jsonp",
        b"application/json-seq",
        b"application/x-ndjson",
        b"text/plain; application/json",
        b"application/json, text/plain",
    ],
)
def test_nothing_else_is_json(kind: bytes | None) -> None:
    assert not is_json(kind)


@given(st.binary(max_size=100))
def test_no_bytes_are_an_error(body: bytes) -> None:
    field(parse(body), field_path("a.0[:3]"))


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "0"]), inner, max_size=3),
)


@given(DOCUMENTS, st.lists(st.sampled_from(["a", "b", "0", "1"]), min_size=1, max_size=4))
def test_a_path_finds_what_walking_the_document_finds(document: object, steps: list[str]) -> None:
    here = document
    for step in steps:
        if isinstance(here, dict):
            here = here.get(step)
        elif isinstance(here, list):
            here = here[int(step)] if step in "01" and int(step) < len(here) else None
        else:
            here = None
    if isinstance(here, bool | int):
        here = json.dumps(here)
    expected = here if isinstance(here, str) else None
    assert expected == found(json.dumps(document).encode(), ".".join(steps))
