"""core/paths.py: the normal form of paths, and the other readings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.paths import decoded, normal, readings

NORMAL = {
    "/": "/",
    "/a/b": "/a/b",
    "/a?b=/../c": "/a",
    "?": "",
    "": "",
    "*": "*",
    "a/../b": "a/../b",  # no path of ours begins so: left alone
    "//": "/",
    "//a///b//": "/a/b/",
    # dot segments: RFC 3986 section 5.2.4 and 5.4
    "/a/b/c/./../../g": "/a/g",
    "/.": "/",
    "/..": "/",
    "/../a": "/a",
    "/a/.": "/a/",
    "/a/..": "/",
    "/a/b/..": "/a/",
    "/a/../..": "/",
    "/a/./b": "/a/b",
    "/a/.b/..c/...": "/a/.b/..c/...",
    "/a//../b": "/b",  # as nginx: slashes are merged first
    # percent-encoding: section 2.1
    "/%61": "/a",
    "/%2e%2e/a": "/a",
    "/a/%2E/b": "/a/b",
    "/caf%C3%A9": "/café",
    "/caf%c3%a9": "/café",
    "/%ff": "/\udcff",
    "/a%2": "/a%2",
    "/%": "/%",
    "/%zz%41": "/%zzA",
    "/%252F": "/%2F",  # once, and only once
    "/%3F": "/?",
    "/%00": "/\x00",
    # the two that stay
    "/a%2fb": "/a%2Fb",
    "/a%5cb": "/a%5Cb",
    "/a%2F..": "/a%2F..",
    "/a\\..\\b": "/a\\..\\b",
    "/é/../\udcff": "/\udcff",
    "/\ud800": "/\ud800",
}


@pytest.mark.parametrize(("path", "expected"), NORMAL.items(), ids=repr)
def test_normal_form(path: str, expected: str) -> None:
    assert expected == normal(path)


READINGS = {
    "/a/b": ("/a/b",),
    "/a%20b": ("/a b",),
    "/a?x=%2F": ("/a",),
    "/a%2Fb": ("/a%2Fb", "/a/b"),
    "/a%2F..%2Fb": ("/a%2F..%2Fb", "/b"),
    "/a%5C..%5Cb": ("/a%5C..%5Cb", "/a\\..\\b", "/b"),
    "/a\\..\\b": ("/a\\..\\b", "/b"),
    "/a%2Fb%5Cc": ("/a%2Fb%5Cc", "/a/b\\c", "/a%2Fb/c", "/a/b/c"),
    "/%252F": ("/%2F",),
    "/%2F%2Fa": ("/%2F%2Fa", "/a"),
}


@pytest.mark.parametrize(("path", "expected"), READINGS.items(), ids=repr)
def test_every_way_to_read_it(path: str, expected: tuple[str, ...]) -> None:
    assert expected == readings(path)


def test_decoding_a_pattern_changes_nothing_else() -> None:
    assert "/.well-known//..%2F" == decoded("/.well-known//..%2f")
    assert "/a b" == decoded("/a%20b")


PIECES = st.sampled_from(["/", "//", ".", "..", "%2e", "%2F", "%5c", "\\", "a", "%61", "%", "%C3", "é", "\ud800", "?"])
PATHS = st.one_of(st.text(), st.lists(PIECES, max_size=12).map(lambda pieces: "/" + "".join(pieces)))


@given(PATHS)
def test_any_text_has_a_normal_form_without_dot_segments_or_double_slashes(path: str) -> None:
    for reading in readings(path):
        if path.startswith("/"):
            assert reading.startswith("/")
            assert "//" not in reading
            assert not {".", ".."} & set(reading.split("/"))


@given(PATHS)
def test_the_normal_form_comes_first_and_each_reading_once(path: str) -> None:
    found = readings(path)
    assert normal(path) == found[0]
    assert len(set(found)) == len(found)


@given(PATHS.filter(lambda path: "%25" not in path and "%" not in normal(path).replace("%2F", "").replace("%5C", "")))
def test_normalising_twice_is_normalising_once(path: str) -> None:
    """As long as no percent sign was encoded itself."""
    once = normal(path)
    assert "?" in once or once == normal(once)
