"""tests/soak: a short soak holds all that a long one must, and its checks can fail."""

from pathlib import Path
from typing import Any

import pytest

from steelyard.observe.counters import NAMES
from tests.soak.checks import Check, Rest, at_rest, of_books, of_clients, of_counters
from tests.soak.echo import answer_body, target, token_in
from tests.soak.run import soak
from tests.soak.tally import ANSWERED, CUT, LOST, Tally

SECONDS = 15.0


@pytest.mark.real
@pytest.mark.slow
async def test_a_short_soak_leaves_nothing_behind_and_loses_nothing(tmp_path: Path) -> None:
    soaked = await soak(SECONDS, 7, tmp_path, lambda *_: None)
    assert [] == [check for check in soaked.checks if not check.holds]
    assert soaked.tally.count(ANSWERED) > 0
    assert soaked.tally.reloads > 0
    assert sum(soaked.met.values()) > 0
    assert soaked.retried > 0


def test_an_answer_is_known_by_the_token_of_its_request() -> None:
    assert "t7" == token_in(target("t7", 5))
    assert "" == token_in("/health")
    body = answer_body(target("t7", 100), b"x")
    assert body.startswith(b"t7 1 ")
    assert answer_body(target("t8", 100), b"x") != body != answer_body(target("t7", 100), b"y")


BACKENDS: dict[str, Any] = {"open": 0, "posts twice": [], "malformed": 0, "requests": 0, "heads": 0, "often": {}}


def failing(checks: list[Check]) -> list[str]:
    return [check.what for check in checks if not check.holds]


def asked(outcome: str, status: int) -> Tally:
    tally = Tally()
    tally.became(tally.begin("keep alive"), outcome, status)
    return tally


def record(tally: Tally, **fields: Any) -> dict[str, Any]:
    (token,) = tally.requests
    return {"target": target(token, 0), "status": 200, "word": "-", "tries": 1, **fields}


def test_books_that_agree_hold() -> None:
    tally = asked(ANSWERED, 200)
    assert [] == failing(of_clients(tally, BACKENDS) + of_books(tally, [record(tally)], {**BACKENDS, "requests": 1}))


@pytest.mark.parametrize(
    ("outcome", "lines", "expected"),
    [
        (ANSWERED, [], "every answer is logged"),
        (ANSWERED, [{}, {}], "nothing is logged twice"),
        (ANSWERED, [{}, {"target": "/soak/other"}], "nothing is logged that nobody asked"),
        (ANSWERED, [{"status": 502}], "the log has the client's status"),
        (ANSWERED, [{}, {"target": "-", "tries": 0}], "garbage is logged once"),
        (CUT, [{}], "a cut answer is logged as one"),
    ],
)
def test_books_that_differ_do_not(outcome: str, lines: list[dict[str, Any]], expected: str) -> None:
    tally = asked(outcome, 200)
    assert [expected] == failing(of_books(tally, [record(tally, **line) for line in lines], BACKENDS))


def test_a_request_at_a_backend_that_the_log_does_not_know_is_seen() -> None:
    tally = asked(ANSWERED, 200)
    once, often = {**BACKENDS, "requests": 2}, {**BACKENDS, "often": dict.fromkeys(tally.requests, 3)}
    assert ["no request reaches backends untold"] == failing(of_books(tally, [record(tally)], once))
    assert ["tries are counted"] == failing(of_books(tally, [record(tally)], often))


COUNTERS: dict[str, int] = {**dict.fromkeys(NAMES, 0), "answered": 2, "retries": 2, "hedges": 1, "stale_saved": 1}
# Two exchanges: one with four tries, the last of which was a hedge, one with one.
LOGGED: list[dict[str, Any]] = [{"word": "-", "tries": 4}, {"word": "-", "tries": 1}]
CAME: dict[str, Any] = {**BACKENDS, "heads": 6}


def test_counters_that_agree_hold() -> None:
    assert [] == failing(of_counters(COUNTERS, LOGGED, CAME))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"answered": 3}, "every request is counted once"),
        ({"answered": 1, "truncated": 1}, "every request is counted once"),
        ({"retries": 3}, "every further try is counted"),
        ({"hedges_won": 2}, "a hedge is won once"),
        ({"stale_saved": 0}, "backends get no try untold"),
    ],
)
def test_counters_that_differ_do_not(change: dict[str, int], expected: str) -> None:
    assert [expected] == failing(of_counters({**COUNTERS, **change}, LOGGED, CAME))


def test_who_gave_up_waiting_and_never_waited_is_seen() -> None:
    late = [{"word": "queue_timeout", "tries": 0}]
    counters = {**COUNTERS, "queue_timeout": 1}
    assert ["who gives up waiting has waited"] == failing(of_counters(counters, LOGGED + late, CAME))
    assert [] == failing(of_counters({**counters, "queued": 1}, LOGGED + late, CAME))


def test_what_clients_and_backends_complain_of_is_seen() -> None:
    tally = asked(LOST, 0)
    tally.wrong.append("t0 was answered with what is for t1")
    complaints = {**BACKENDS, "posts twice": list(tally.requests), "malformed": 1}
    assert 4 == len(failing(of_clients(tally, complaints)))


def test_whatever_is_left_at_the_end_is_seen() -> None:
    status = {"pools": {"web": [{"in_flight": 1}]}, "workers": [{"clients": 1}]}
    before, after = Rest({7: ["a"]}, {7: 1000}), Rest({7: ["a", "b"]}, {7: 1101})
    assert 5 == len(failing(at_rest(before, after, status, {**BACKENDS, "open": 1})))
    calm = {"pools": {"web": [{"in_flight": 0}]}, "workers": [{"clients": 0}]}
    assert [] == failing(at_rest(before, before, calm, BACKENDS))
    assert ["workers live on", "no descriptor is left"] == failing(
        at_rest(before, Rest({8: ["a"]}, {7: 1000}), calm, BACKENDS)
    )
