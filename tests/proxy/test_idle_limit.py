"""How long a backend keeps idle connections is learnt from what it says and from what it does."""

from math import inf

import pytest

from steelyard.proxy.idle_limit import FORGET_S, IdleLimit


def test_without_any_sign_ours_are_kept_as_long_as_configured() -> None:
    assert 30.0 == IdleLimit().keep_s(30.0, 100.0)


def test_one_close_is_no_sign_and_two_alike_are() -> None:
    limit = IdleLimit()
    assert not limit.closed(5.0, 100.0)
    assert inf == limit.limit_s(100.0)
    assert limit.closed(5.1, 110.0)
    assert 5.0 == limit.limit_s(110.0)
    assert 4.5 == limit.keep_s(30.0, 110.0)


def test_a_server_that_restarts_closes_all_it_has_and_teaches_nothing() -> None:
    limit = IdleLimit()
    for age_s in (3.0, 3.01, 3.02, 2.99):
        assert not limit.closed(age_s, 100.0)
    assert 30.0 == limit.keep_s(30.0, 100.0)


def test_closes_after_different_times_teach_nothing() -> None:
    limit = IdleLimit()
    for number, age_s in enumerate((3.0, 9.0, 5.0, 20.0)):
        assert not limit.closed(age_s, 100.0 + 50 * number)


def test_the_shorter_of_two_is_believed() -> None:
    limit = IdleLimit()
    limit.closed(20.0, 100.0)
    assert limit.closed(19.0, 200.0)
    assert 19.0 == limit.limit_s(200.0)
    assert not limit.closed(20.5, 300.0)  # alike, but nothing new


def test_who_closes_at_once_does_not_keep_connections() -> None:
    limit = IdleLimit()
    assert not limit.closed(0.1, 100.0)
    assert not limit.closed(0.1, 200.0)


@pytest.mark.parametrize(("value", "limit_s"), [
    (b" timeout=5", 5.0),
    (b" timeout=5, max=100", 5.0),
    (b" max=100, Timeout=60", 60.0),
    (b" timeout=0", 0.5),
    (b" timeout=", inf),
    (b" timeout=-5", inf),
    (b" timeout=5.5", inf),
    (b" timeout=99999999999", inf),
    (b" max=100", inf),
    (b"", inf),
])  # fmt: skip
def test_what_the_backend_says_is_believed_at_once(value: bytes, limit_s: float) -> None:
    limit = IdleLimit()
    assert (limit_s < inf) == limit.told(value, 100.0)
    assert limit_s == limit.limit_s(100.0)
    assert not limit.told(value, 101.0)


def test_what_was_learnt_is_forgotten_in_the_end() -> None:
    limit = IdleLimit()
    limit.told(b"timeout=5", 100.0)
    assert 4.5 == limit.keep_s(30.0, 100.0 + FORGET_S)
    assert 30.0 == limit.keep_s(30.0, 101.0 + FORGET_S)


def test_what_is_said_again_is_remembered_for_as_long_again() -> None:
    limit = IdleLimit()
    limit.told(b"timeout=5", 100.0)
    limit.told(b"timeout=5", 100.0 + FORGET_S)
    assert 4.5 == limit.keep_s(30.0, 200.0 + FORGET_S)


def test_a_very_short_time_is_halved() -> None:
    limit = IdleLimit()
    limit.told(b"timeout=0", 100.0)
    assert 0.25 == limit.keep_s(30.0, 100.0)


def test_ours_is_never_longer_than_configured() -> None:
    limit = IdleLimit()
    limit.told(b"timeout=300", 100.0)
    assert 30.0 == limit.keep_s(30.0, 100.0)
