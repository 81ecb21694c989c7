"""A command line is split as a shell splits it, and its placeholders are filled in after that."""

import pytest

from steelyard.backends.command import BadCommand, filled, place_in, placeholders, split


def test_words_are_those_of_a_shell() -> None:
    assert ["python", "-c", "print('a b')", "--port", "{port}"] == split("""python -c "print('a b')" --port {port}""")


@pytest.mark.parametrize(("command", "problem"), [("a 'b", "no closing quotation"), ("  ", "names no program")])
def test_what_is_no_command_is_refused(command: str, problem: str) -> None:
    with pytest.raises(BadCommand, match=problem):
        split(command)


def test_what_is_filled_in_stays_one_word() -> None:
    words = [
        filled(word, {"socket": "/a b/c", "port": 1, "index": 2}) for word in split("x {socket} {{{index}}} {port}")
    ]
    assert ["x", "/a b/c", "{2}", "1"] == words


@pytest.mark.parametrize(("command", "place"), [("a {port} {index}", "port"), ("a --uds={socket}", "socket")])
def test_where_the_process_listens_is_found(command: str, place: str) -> None:
    assert place == place_in(command)


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("a", "does not say where the process is to listen; write {port} or {socket}"),
        ("a {index}", "does not say where"),
        ("a {{port}}", "does not say where"),
        ("a {port} {socket}", "has both"),
        ("a {prot}", "has {prot}, which stands for nothing; there are {port}, {socket}, {index}"),
        ("a {port", "has a '{' of its own; write {{ for a plain {"),
        ("a {port} }", "has a '}' of its own; write }} for a plain }"),
    ],
)
def test_a_command_that_does_not_say_one_place_is_refused(command: str, problem: str) -> None:
    with pytest.raises(BadCommand) as caught:
        place_in(command)
    assert problem in str(caught.value)


def test_names_are_found_where_they_stand() -> None:
    assert {"port", "index"} == placeholders("{port}-{index}-{{socket}}")
