"""wire/cookies.py: one cookie out of the Cookie fields."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.wire.cookies import cookie, cookies


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([b"id=1"], b"1"),
        ([b"a=2; id=1; b=3"], b"1"),
        ([b"a=2;id=1"], b"1"),
        ([b"a=2 ;\t id = 1 ; b=3"], b"1"),
        ([b"a=2", b"b=3; id=1"], b"1"),
        ([b"id=1; id=2", b"id=3"], b"1"),
        ([b"id=a=b=="], b"a=b=="),
        ([b"id="], b""),
        ([b'id="1"'], b'"1"'),
        ([b"id=a b,c"], b"a b,c"),
        ([b";;=;id=1"], b"1"),
        ([b"id; id=1"], b"1"),
    ],
)
def test_the_first_pair_of_the_name_is_found_and_its_value_is_as_it_was_sent(
    fields: list[bytes], expected: bytes
) -> None:
    assert expected == cookie(fields, b"id")


@pytest.mark.parametrize("field", [b"", b"id", b"ID=1", b"xid=1", b"idx=1", b"a=id=1", b"a=id", b"i d=1", b"=id"])
def test_a_name_is_exact(field: bytes) -> None:
    assert cookie([field], b"id") is None


def test_no_field_has_no_cookie() -> None:
    assert cookie([], b"id") is None


@given(st.lists(st.binary(max_size=40), max_size=4))
def test_no_bytes_are_an_error(fields: list[bytes]) -> None:
    found = cookie(fields, b"a")
    assert found is None or any(found in field for field in fields)


@given(
    st.lists(st.tuples(st.sampled_from([b"a", b"b", b"A"]), st.text("xy=", max_size=3)), max_size=6),
    st.integers(0, 6),
)
def test_one_field_or_several_mean_the_same(pairs: list[tuple[bytes, str]], at: int) -> None:
    written = [name + b"=" + value.encode() for name, value in pairs]
    expected = next((value.encode() for name, value in pairs if name == b"a"), None)
    assert expected == cookie([b"; ".join(written)], b"a")
    assert expected == cookie([b"; ".join(written[:at]), b"; ".join(written[at:])], b"a")


def test_all_pairs_of_the_name_can_be_had_in_order() -> None:
    assert [b"1", b"2", b"1"] == list(cookies([b"id=1; x=3; id=2", b"y=4", b"id=1"], b"id"))
    assert [] == list(cookies([b"x=3"], b"id"))
