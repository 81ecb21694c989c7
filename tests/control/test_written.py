"""What a spec holds is written so that the file's reader takes it for the same."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.control import lines, written

# Whatever a text field can hold; a lone surrogate cannot be written to a file at all.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("2s", "interval_s", 2.0),
        ("off", "total_s", None),
        ("auto", "workers", None),
        ("4", "workers", 4),
        ("client_ip", "key", None),
        ("64KiB", "hold_body_bytes", 65536),
        ("20%", "budget", 0.2),
        ("10%", "jitter", 0.1),
        ("[200, 3xx, 200-399]", "expect", ((200, 200), (300, 399), (200, 399))),
        ("[200-298, 201-299]", "expect", ((200, 298), (201, 299))),
        ('{x-a: 1a, x-b: "*"}', "headers", (("x-a", "1a"), ("x-b", "*"))),
        ("[]", "on_status", ()),
        ("[502]", "on_status", (502,)),
        ("true", "mark_down", True),
        ("3", "tries", 3),
        ("random", "name", "random"),
    ],
)
def test_a_field_is_written_in_the_form_of_the_file(text: str, name: str, value: Any) -> None:
    assert text == written.flow(written.plain(name, value))


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("localhost:8000", "localhost:8000"),
        ("/api/*", "/api/*"),
        ("text/plain", "text/plain"),
        ('"[::]:80"', "[::]:80"),
        ('"*.a.org"', "*.a.org"),
        ('"-"', "-"),
        ('""', ""),
        ('"a: b"', "a: b"),
        ('"off"', "off"),
        ('"12"', "12"),
        ('"1:30"', "1:30"),
        ('"null"', "null"),
        ('"2026-07-01"', "2026-07-01"),
        ('"$$$${A} $$$$"', "$${A} $$"),
        ('"\\"\\\\"', '"\\'),
        ('"\\x00\\x0a\\x7f\\x85"', "\0\n\x7f\x85"),
        ('"\\u2028é\\U000e0001"', "\u2028é\U000e0001"),
    ],
)
def test_a_text_is_quoted_where_yaml_would_misread_it(expected: str, text: str) -> None:
    assert expected == written.scalar(text)


def test_off_is_a_word_of_the_file_and_not_a_text() -> None:
    assert "off" == written.flow("off")


@given(TEXTS)
def test_any_text_is_read_as_it_was_written(text: str) -> None:
    page = lines.read(f"a: {written.scalar(text)}\nb: [{written.scalar(text)}]\n", "a.yaml", {})
    assert ([], {"a": text, "b": [text]}) == (page.problems, page.data)


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1))
def test_any_header_name_is_read_as_it_was_written(name: str) -> None:
    page = lines.read(f"a: {written.flow({name: 'x'})}\n", "a.yaml", {})
    assert ([], {"a": {name: "x"}}) == (page.problems, page.data)
