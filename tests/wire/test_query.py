"""wire/query.py: one value out of a target's query."""

from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.wire.query import query_value, query_values


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/?a=1", "1"),
        (b"/x?b=2&a=1&c=3", "1"),
        (b"/?a=1&a=2", "1"),
        (b"/?&&a=1", "1"),
        (b"/?a=", ""),
        (b"/?a", ""),
        (b"/?a=b=c", "b=c"),
        (b"/?a=b?c", "b?c"),
        (b"/?a=1;a=2", "1;a=2"),
        (b"/?a=one+two%20three%2B", "one two three+"),
        (b"/?%61=1", "1"),
        (b"/?a=%C3%BC", "\xfc"),
        (b"/?a=%zz%4%", "%zz%4%"),
        (b"/?a=%ff", "\ufffd"),
        (b"/?a=%00", "\0"),
    ],
)
def test_the_first_value_of_the_name_is_decoded_as_a_form_is(target: bytes, expected: str) -> None:
    assert expected == query_value(target, "a")


@pytest.mark.parametrize("target", [b"/", b"/?", b"/a=1", b"/?A=1", b"/?aa=1", b"/?b=a", b"*", b"/?=1", b"/?&"])
def test_a_name_that_is_not_there_is_none(target: bytes) -> None:
    assert query_value(target, "a") is None


@pytest.mark.parametrize(("target", "name"), [(b"/?one%20two=1", "one two"), (b"/?%C3%BC=1", "\xfc"), (b"/?=1", "")])
def test_a_name_may_be_written_in_any_way(target: bytes, name: str) -> None:
    assert "1" == query_value(target, name)


def test_an_empty_name_is_no_empty_pair() -> None:
    assert query_value(b"/?&a=1", "") is None


@given(st.binary(max_size=60))
def test_no_bytes_are_an_error(query: bytes) -> None:
    query_value(b"/?" + query, "a")


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "\xfc ", "a+"]), st.text(max_size=5)), max_size=4))
def test_what_a_form_writes_is_read_again(pairs: list[tuple[str, str]]) -> None:
    """Held against Python's own writer, and its reader."""
    pairs = [(name, value.encode("utf-8", "replace").decode()) for name, value in pairs]
    target = b"/?" + urlencode(pairs).encode()
    read = parse_qsl(target[2:].decode(), keep_blank_values=True)
    for name in ("a", "b", "\xfc ", "a+"):
        found = query_value(target, name)
        assert next((value for key, value in pairs if key == name), None) == found
        assert next((value for key, value in read if key == name), None) == found


def test_all_values_of_the_name_can_be_had_in_order() -> None:
    assert ["1", "", "1"] == list(query_values(b"/?a=1&b=2&%61&a=1", "a"))
    assert [] == list(query_values(b"/?b=2", "a"))
