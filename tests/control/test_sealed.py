"""A secret is read, kept, and never shown: not when it is right, and not when it is wrong."""

import pickle

import pytest

from steelyard.control import config, effective, sealed
from steelyard.control.fault import Fault
from steelyard.control.unshown import HIDDEN, Filled
from tests.control.own import OwnPolicies
from tests.control.said import load, pool, problems

LONG = "0123456789abcdef"


@pytest.mark.parametrize("text", [LONG, "a" * 100, HIDDEN, "sixteen letters "[:15] + "!"])
def test_a_secret_is_what_was_written(text: str) -> None:
    assert text == sealed.secret(text)


@pytest.mark.parametrize("text", ["", LONG[:15], " " * 20, f"   {LONG[:15]}   ", "*" * 4])
def test_a_short_one_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(Fault, match="is shorter than 16 characters") as caught:
        sealed.secret(text)
    assert ("", True) == (caught.value.value, "${NAME}" in str(caught.value.mend))


def test_a_short_one_in_a_file_is_not_in_the_message() -> None:
    (said,) = problems(pool("sticky: {cookie: lb, secret: hunter2}"))
    assert said.startswith("a.yaml:5: pools.app.sticky.secret: is shorter than 16 characters; write ${NAME}")
    (said,) = problems(pool('sticky: {cookie: lb, secret: "${S}"}'), {"S": "hunter2"})
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("shown", "raw"),
    [("${S}", "${S}"), ("***", "${S:-0123456789abcdef}"), ("***", "a${S}"), ("***", "${S}${S}"), ("***", "$$")],
)
def test_it_is_shown_by_the_name_of_its_variable_if_that_is_all_that_was_written(shown: str, raw: str) -> None:
    assert shown == sealed.shown(Filled(LONG, raw))
    assert "***" == sealed.shown(LONG)


def test_how_it_was_written_is_not_lost_on_the_way_into_the_specification() -> None:
    sticky = load(pool('sticky: {cookie: lb, secret: "${S}"}'), {"S": LONG}).pools[0].sticky
    assert sticky is not None
    assert (LONG, "${S}") == (sticky.secret, sealed.shown(sticky.secret))


def test_nor_on_the_way_to_another_process() -> None:
    other = pickle.loads(pickle.dumps(Filled(LONG, "${S}")))
    assert (LONG, "${S}") == (other, sealed.shown(other))


def test_what_is_read_from_a_variable_is_a_plain_text_elsewhere() -> None:
    """Compiled code takes no subclass of str."""
    made = load(pool('policy: {name: hash, key: "${K}"}'), {"K": "path"}).pools[0].policy
    assert ("path", str) == (made.key, type(made.key))


def test_options_are_plain_texts_that_are_shown_as_they_were_written(own: OwnPolicies) -> None:
    """Also where more than a variable was written, as that loads again to the same."""
    own.write("sealed_own.py")
    written = '{a: "${S}", b: "x${S}", c: "${T:-d}", d: "$$", e: plain}'
    file = own.config(f"{{name: 'sealed_own:pick', options: {written}}}")
    made = config.load(file, {"S": LONG})
    options = made.pools[0].policy.options
    assert (("a", LONG), ("b", f"x{LONG}"), ("c", "d"), ("d", "$"), ("e", "plain")) == options
    assert {str} == {type(text) for _, text in options}
    for printed in (effective.effective(made), effective.explained(made)):
        assert f"      options: {written}" in printed
        assert LONG not in printed
        assert made == config.loads(printed, environ={"S": LONG})
    again = pickle.loads(pickle.dumps(options))
    assert (options, {"a", "b", "c", "d"}) == (again, set(again.raw))
