"""The table of failures, and what an error says."""

from http import HTTPStatus

import pytest

from steelyard.core.retry import may_retry
from steelyard.errors import (
    BAD_REQUEST,
    KINDS,
    ConfigError,
    Kind,
    ListenError,
    Phase,
    Problem,
    ProtocolError,
    Retry,
    Side,
    SteelyardError,
)


def test_every_kind_has_a_word_of_its_own() -> None:
    assert KINDS == {kind.word: kind for kind in KINDS.values()}
    assert 23 <= len(KINDS)
    assert all(word.replace("_", "").isalpha() and word.islower() for word in KINDS)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_kind_is_answered_with_an_error_that_fits_whose_fault_it_is(kind: Kind) -> None:
    """Or with nothing, where nobody hears it. 501, 505 and 508 are the client's: it asked for what we do not do."""
    if kind.status == 0:
        assert kind.side in (Side.CLIENT, Side.OURS)
        return
    assert HTTPStatus(kind.status).phrase
    expected = (500, 599) if kind.side is not Side.CLIENT or kind.status in (501, 505, 508) else (400, 499)
    assert expected[0] <= kind.status <= expected[1]
    assert kind.text
    assert "\n" not in kind.text


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_kind_may_be_retried_only_if_that_cannot_do_harm(kind: Kind) -> None:
    """Always only when nothing of the request has left; never once an answer has begun, or by the client's fault."""
    if kind.retry is Retry.ALWAYS:
        assert Phase.CONNECT is kind.phase
    if kind.retry is not Retry.NEVER:
        assert Side.BACKEND is kind.side
        assert kind.phase is not Phase.ANSWER
    assert not may_retry(kind, True, True, True)
    assert not may_retry(kind, True, False, False)
    assert may_retry(kind, False, True, False) == (kind.retry is Retry.ALWAYS)
    assert may_retry(kind, True, True, False) == (kind.retry is not Retry.NEVER)


def test_only_what_was_read_whole_leaves_the_connection_as_it_is() -> None:
    """Where a client's request itself went wrong nobody knows where the next one begins."""
    kept = {kind.word for kind in KINDS.values() if kind.side is Side.CLIENT and not kind.closes}
    assert {"no_route", "rate_limited"} == kept
    assert not any(kind.closes for kind in KINDS.values() if kind.side is not Side.CLIENT)


def test_what_took_too_long_is_a_504_and_is_not_asked_again_once_it_was_sent() -> None:
    slow = [kind for kind in KINDS.values() if kind.word.endswith("timeout") and kind.side is Side.BACKEND]
    # Who waited for a place in vain was not late: there was none. And the time of one try is there to be cut short.
    assert {"queue_timeout"} == {kind.word for kind in slow if kind.status != 504}
    assert {"connect_timeout", "try_timeout"} == {kind.word for kind in slow if kind.retry is not Retry.NEVER}


def test_a_protocol_error_carries_its_kind_and_says_which_rule() -> None:
    error = ProtocolError(BAD_REQUEST, "two Host fields")
    assert (BAD_REQUEST, "two Host fields") == (error.kind, error.detail)
    assert "bad_request: two Host fields" == str(error)


def test_all_our_exceptions_have_one_root() -> None:
    assert all(issubclass(error, SteelyardError) for error in (ProtocolError, ListenError, ConfigError))


def test_a_problem_names_place_key_value_and_mend() -> None:
    whole = Problem("a.yaml:12", "pools.web.policy", "is not a policy", "roud_robin", "did you mean round_robin?")
    assert "a.yaml:12: pools.web.policy: is not a policy (got roud_robin); did you mean round_robin?" == str(whole)
    assert "command line: pool: is missing" == str(Problem("command line", "pool", "is missing"))
    assert "x:1: k: m; do" == str(Problem("x:1", "k", "m", mend="do"))


def test_a_problem_is_one_line_that_no_value_can_move_a_cursor_with() -> None:
    """A mend repeats the value: `write a<ESC>[2J:8080` cleared the screen, and a line's end began another line."""
    problem = Problem("a.yaml:3", "pools.\u202eb", "has no port", "'a\\x1b'", "write a\x1b[2J\n\udc80\u2028é:8080")
    expected = r"a.yaml:3: pools.\u202eb: has no port (got 'a\x1b'); write a\x1b[2J\n\udc80\u2028é:8080"
    assert expected == str(problem)


def test_a_configuration_error_says_all_its_problems_in_order() -> None:
    problems = [Problem("a:1", "b", "one"), Problem("a:2", "c", "two")]
    error = ConfigError(problems)
    assert problems == error.problems
    assert "a:1: b: one\na:2: c: two" == str(error)
