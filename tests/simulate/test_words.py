"""What people write about a simulation: one grammar, and errors that say what to write instead."""

from math import inf

import pytest

from steelyard.simulate import words
from steelyard.simulate.scenario import Server, Service, Trouble
from steelyard.simulate.words import WordError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3x", ("3x", (0, 1, 2, 3), 0.0, inf, False)),
        ("3x:2", ("3x", (1,), 0.0, inf, False)),
        ("10%:1-3,3,4@100-200", ("10%", (0, 1, 2, 3), 100.0, 200.0, True)),
        ("10%@0.5-", ("10%", (0, 1, 2, 3), 0.5, inf, True)),
        (":4@1-2", ("", (3,), 1.0, 2.0, True)),
    ],
)
def test_a_value_is_for_some_backends_and_some_time(text: str, expected: tuple[object, ...]) -> None:
    assert expected == tuple(words.applied(text, 4))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3x:5", "'5' is not a backend; there are backends 1 to 4"),
        ("3x:0", "'0' is not a backend; there are backends 1 to 4"),
        ("3x:3-2", "'3-2' is not a backend; there are backends 1 to 4"),
        ("3x:", "nothing is not a backend; write numbers and ranges from 1, such as 1-3,5"),
        ("3x:a", "'a' is not a backend; write numbers and ranges from 1, such as 1-3,5"),
        ("3x@2", "'2' after '@' is not a time; write FROM-TO, such as 3x:2@100-200 (backends stand after ':')"),
        ("3x@9-3", "ends at 3, before it begins at 9; write FROM-TO, such as 100-200"),
    ],
)
def test_what_is_for_nobody_or_never_is_refused(text: str, message: str) -> None:
    with pytest.raises(WordError) as caught:
        words.applied(text, 4)
    assert message == str(caught.value)


def test_the_only_backend_is_called_so() -> None:
    with pytest.raises(WordError, match="there is backend 1 alone"):
        words.applied("3x:2", 1)


def test_backends_take_what_was_written_last() -> None:
    found = words.servers(3, ["2", "0.5x:3"], ["5:1"], ["8", "1:2"], ["20:2-3"])
    assert (Server(2.0, 8, 5, None), Server(2.0, 1, 1, 20), Server(0.5, 8, 1, 20)) == found
    assert (Server(),) * 2 == words.servers(2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["0"], [], [], []), "--speed 0: '0' is not a number above 0"),
        ((["2@1-2"], [], [], []), "--speed 2@1-2: does not change with time; leave out '@', or use --slow or --down"),
        (([], ["-1"], [], []), "--weight -1: '-1' is not a whole number of at least 0; write 4"),
        (([], ["0"], [], []), "--weight: all are 0, so that no backend gets a request; give one of them more"),
        (([], [], ["0:1"], []), "--concurrency 0:1: '0' is not a whole number of at least 1"),
        (([], [], [], ["x"]), "--limit x: 'x' is not a whole number of at least 1"),
    ],
)
def test_wrong_values_of_backends_are_named(arguments: tuple[list[str], ...], message: str) -> None:
    with pytest.raises(WordError) as caught:
        words.servers(2, *arguments)
    assert str(caught.value).startswith(message)


def test_troubles_of_all_kinds() -> None:
    assert (
        Trouble("slow", 3.0, (1,)),
        Trouble("fail", 0.1, (0, 1), 5.0, inf),
        Trouble("fast_fail", 1.0, (0,)),
        Trouble("down", 0.0, (0, 1), 1.0, 2.0),
    ) == words.troubles(2, ["3x:2"], ["10%@5-"], ["1:1"], ["1-2@1-2"])


@pytest.mark.parametrize(
    ("option", "text", "message"),
    [
        ("slow", "0x", "--slow 0x: '0x' is not a number above 0; write 3x, or 0.5x:2 for backend 2 alone"),
        (
            "slow",
            "999999999999999x",
            "--slow 999999999999999x: '999999999999999x' is beyond all reason; write a number",
        ),
        ("slow", "0.000000001x", "--slow 0.000000001x: '0.000000001x' is beyond all reason"),
        ("fail", "101%", "--fail 101%: '101%' is not a share from 0% to 100%; write 10%, or 10%:2 for backend 2 alone"),
        ("fast_fail", "", "--fast-fail : nothing is not a share"),
        ("down", "3", "--down 3: '3' is not a backend; there are backends 1 to 2"),
    ],
)
def test_wrong_troubles_are_named(option: str, text: str, message: str) -> None:
    with pytest.raises(WordError) as caught:
        words.troubles(2, **{option: [text]})
    assert str(caught.value).startswith(message)


def test_troubles_that_are_beyond_reason_only_together_are_refused_too() -> None:
    assert 3 == len(words.troubles(3, ["1000000x:1", "1000x:1", "1000000x:2"]))
    for texts in (["1000000x:1-3"] * 2, ["0.000001x:3"] * 2):
        with pytest.raises(WordError, match=r"--slow: together they make backend . .* times slower, beyond all reason"):
            words.troubles(3, texts)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("power_of_two", {"name": "power_of_two"}),
        ("power_of_two:choices=3", {"name": "power_of_two", "choices": "3"}),
        ("hash:key=header:X-User,bound=1.25", {"name": "hash", "key": "header:X-User", "bound": "1.25"}),
        ("hash:key=body:messages.0.content[:256]", {"name": "hash", "key": "body:messages.0.content[:256]"}),
        ("mine:pick", {"name": "mine:pick"}),
        ("m:Mine:fallback=hash,options.a=1,2", {"name": "m:Mine", "fallback": "hash", "options": {"a": "1,2"}}),
        ("prequal:probe.keep=8,probe.path=/p", {"name": "prequal", "probe": {"keep": "8", "path": "/p"}}),
    ],
)
def test_a_policy_has_a_name_and_options(text: str, expected: dict[str, object]) -> None:
    assert expected == words.policy(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "nothing is not NAME"),
        (":choices=3", "is not NAME[:option=value,...]; write power_of_two:choices=3"),
        ("a:b:c", "is not NAME[:option=value,...]"),
        ("a:b=1,b=2", "says b twice; keep one of the two"),
        ("a:b=1,b.c=2", "gives b a value and an option of its own; keep one of the two"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused(text: str, message: str) -> None:
    with pytest.raises(WordError) as caught:
        words.policy(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fixed", Service("fixed")),
        ("bimodal", Service("bimodal", 10.0, 0.1)),
        ("bimodal:20x,5%", Service("bimodal", 20.0, 0.05)),
    ],
)
def test_service_times(text: str, expected: Service) -> None:
    assert expected == words.service(text)


@pytest.mark.parametrize("text", ["", "normal", "fixed:3", "bimodal:3", "bimodal:0x,1%", "bimodal:3x,1%,2"])
def test_service_times_that_there_are_not(text: str) -> None:
    with pytest.raises(WordError, match="write"):
        words.service(text)


def test_small_words() -> None:
    assert (0.0, 20.0) == (words.interval("off"), words.interval("20"))
    with pytest.raises(WordError, match="'never' is not a number above 0; write 20, or off"):
        words.interval("never")
    with pytest.raises(
        WordError, match=r"'0\.0000000001' is beyond all reason; write a number from 0\.000001 to 1000000"
    ):
        words.interval("0.0000000001")
    assert "a" == words.one_of("a", ("a", "b"))
    with pytest.raises(WordError, match="there is no 'c'; write a or b"):
        words.one_of("c", ("a", "b"))
