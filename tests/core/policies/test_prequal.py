"""core/policies/prequal.py: hot and cold, and a pool of answers that ages, is used up and is weeded."""

from collections import Counter
from math import sqrt

import pytest

from steelyard.core.backend import Backend
from steelyard.core.learning import FLOOR_EVERY
from steelyard.core.policies.prequal import UNKNOWN, Prequal, uses
from steelyard.core.policy import UNKNOWN_S, Pick
from steelyard.core.spec import PolicySpec, ProbeSpec
from steelyard.core.table import CURSOR
from tests.core.policies.arrivals import Scene, quick
from tests.fakes_core import a_policy, seeded

NOW = 100.0
Said = tuple[int, int, float]  # which backend, its requests in flight, its milliseconds


def prequal(weights: list[int], *, quantile: float = 0.84, **probe: float) -> tuple[Prequal, list[Backend]]:
    made, backends = a_policy("prequal", weights)
    spec = PolicySpec("prequal", quantile=quantile, probe=ProbeSpec(**probe))  # type: ignore[arg-type]
    policy = Prequal(spec, made.table, 0)
    policy.rebuild(backends)
    return policy, backends


def hear(policy: Prequal, backends: list[Backend], *said: Said, now: float = NOW) -> None:
    for index, in_flight, ms in said:
        policy.heard(backends[index], in_flight, ms / 1000, now)


def picked(policy: Prequal, now: float = NOW, tried: list[Backend] | None = None, seed: int = 1) -> str:
    """Whom it picks when it is not the floor's turn."""
    policy.table.set(0, CURSOR, 0)
    backend = policy.pick(Pick(seeded(seed), now=now, tried=tried))
    assert backend is not None
    return backend.host


def pool_of(policy: Prequal) -> list[str]:
    """Of whom there are answers, oldest first."""
    return [heard.seat.backend.host for heard in policy.pool if heard.seat.backend is not None]


# The rule.


@pytest.mark.parametrize(
    ("quantile", "said", "expected"),
    [
        # All cold but the busiest: 4 of 5 answers are 0.8 of them, so 0.84 is the fifth, and nobody is above it.
        (0.84, [(0, 1, 50.0), (1, 2, 40.0), (2, 3, 30.0), (3, 4, 20.0), (4, 5, 10.0)], "4"),
        # 0.8 is the fourth: the quickest is hot.
        (0.8, [(0, 1, 50.0), (1, 2, 40.0), (2, 3, 30.0), (3, 4, 20.0), (4, 5, 10.0)], "3"),
        (0.79, [(0, 1, 50.0), (1, 2, 40.0), (2, 3, 30.0), (3, 4, 20.0), (4, 5, 10.0)], "3"),
        (0.6, [(0, 1, 50.0), (1, 2, 40.0), (2, 3, 30.0), (3, 4, 20.0), (4, 5, 10.0)], "2"),
        # 0 leaves the idlest alone cold, 1 leaves nobody hot: requests in flight, or times, decide alone.
        (0.0, [(0, 1, 50.0), (1, 2, 40.0), (2, 3, 30.0), (3, 4, 20.0), (4, 5, 10.0)], "0"),
        (1.0, [(0, 1, 50.0), (1, 2, 40.0), (2, 3, 30.0), (3, 4, 20.0), (4, 5, 10.0)], "4"),
        # As many in flight as the quantile is not above it.
        (0.5, [(0, 3, 50.0), (1, 3, 10.0), (2, 9, 1.0), (3, 9, 1.0)], "1"),
        # Alike in flight: times decide, whatever the quantile.
        (0.0, [(0, 7, 30.0), (1, 7, 10.0), (2, 7, 20.0)], "1"),
    ],
)
def test_of_the_cold_ones_the_quickest(quantile: float, said: list[Said], expected: str) -> None:
    policy, backends = prequal([1] * 5, quantile=quantile)
    hear(policy, backends, *said)
    assert expected == picked(policy)


def test_the_order_of_the_answers_does_not_matter() -> None:
    said = [(0, 1, 50.0), (1, 2, 40.0), (2, 3, 30.0), (3, 4, 20.0), (4, 5, 10.0)]
    for turn in range(5):
        policy, backends = prequal([1] * 5, quantile=0.6)
        hear(policy, backends, *said[turn:], *said[:turn])
        assert "2" == picked(policy)


def test_when_all_are_hot_the_one_with_the_fewest_in_flight() -> None:
    """The quantile is of all answers of late, the pool only the last ones: here everybody has got busy since."""
    policy, backends = prequal([1] * 4, quantile=0.5)
    for _ in range(10):
        hear(policy, backends, (0, 1, 1.0), (1, 1, 1.0), (2, 1, 1.0), (3, 1, 1.0))
    hear(policy, backends, (0, 9, 10.0), (1, 5, 40.0), (2, 7, 20.0), (3, 6, 30.0))
    assert "1" == picked(policy)


def test_the_quantile_forgets_what_was_long_ago() -> None:
    """128 answers later the quiet times are gone: those of 5 and 6 in flight are cold again, and the quicker wins."""
    policy, backends = prequal([1] * 4, quantile=0.5)
    for _ in range(10):
        hear(policy, backends, (0, 1, 1.0), (1, 1, 1.0), (2, 1, 1.0), (3, 1, 1.0))
    for _ in range(32):
        hear(policy, backends, (0, 9, 10.0), (1, 5, 40.0), (2, 7, 20.0), (3, 6, 30.0))
    assert 128 == len(policy.recent)
    assert [5.0] * 32 + [6.0] * 32 + [7.0] * 32 + [9.0] * 32 == policy.recent
    assert "3" == picked(policy)


def test_requests_in_flight_and_times_count_per_weight() -> None:
    """9 in flight on a weight of 3 are 3, and 24 ms are 8; and a quarter of the answers are hot."""
    policy, backends = prequal([1, 3, 1, 1], quantile=0.75)
    hear(policy, backends, (0, 3, 10.0), (1, 9, 24.0), (2, 3, 11.0), (3, 4, 1.0))
    assert "1" == picked(policy)
    hear(policy, backends, (1, 9, 36.0))
    assert "0" == picked(policy)


def test_those_that_may_not_be_taken_are_passed_over() -> None:
    policy, backends = prequal([1] * 5)
    hear(policy, backends, (0, 1, 10.0), (1, 1, 20.0), (2, 1, 30.0), (3, 1, 40.0))
    assert "0" == picked(policy)
    assert "1" == picked(policy, tried=[backends[0]])
    backends[0].set_healthy(False)
    backends[1].set_draining(True)
    assert "2" == picked(policy)


def test_one_that_fails_is_neither_quick_nor_idle() -> None:
    """Half of its answers are failures: 10 ms count as 20, and 3 in flight as 7 of others."""
    policy, backends = prequal([1] * 3, quantile=1.0)
    for index in range(3):
        for turn in range(1000):
            policy.ended(Pick(seeded(0)), backends[index], index == 0 and turn % 2 == 0, 0.001, NOW)
    hear(policy, backends, (0, 3, 10.0), (1, 6, 19.0), (2, 6, 30.0))
    assert "1" == picked(policy)
    hear(policy, backends, (1, 6, 21.0))
    assert "0" == picked(policy)
    hot, others = prequal([1] * 3, quantile=0.5)
    for index in range(3):
        for turn in range(1000):
            hot.ended(Pick(seeded(0)), others[index], index == 0 and turn % 2 == 0, 0.001, NOW)
    for _ in range(10):
        hear(hot, others, (0, 1, 1.0), (1, 1, 1.0), (2, 1, 1.0))
    hear(hot, others, (0, 3, 1.0), (1, 6, 1.0), (2, 9, 1.0))
    assert "1" == picked(hot)
    hear(hot, others, (1, 8, 1.0))
    assert "0" == picked(hot)


# The pool.


def test_fewer_than_two_answers_are_none() -> None:
    """Then it is a draw of two by our own numbers: of two backends, always the idle one."""
    policy, backends = prequal([1, 1])
    backends[0].begin()
    assert "1" == picked(policy)
    hear(policy, backends, (0, 0, 1.0))
    assert "1" == picked(policy)
    hear(policy, backends, (1, 0, 2.0))
    assert "0" == picked(policy)
    backends[1].set_healthy(False)
    backends[0].set_healthy(False)
    backends[1].set_healthy(True)
    assert "1" == picked(policy)


def test_the_draw_of_two_is_by_chance() -> None:
    """Loads 0, 1, 2, 3: 3 of 6 pairs, 2, 1, and none (5 standard deviations)."""
    policy, backends = prequal([1] * 4)
    for load, backend in enumerate(backends):
        for _ in range(load):
            backend.begin()
    draws = 3000
    found = Counter(picked(policy, seed=seed) for seed in range(draws))
    for index, part in enumerate((3 / 6, 2 / 6, 1 / 6, 0)):
        assert abs(found[str(index)] - draws * part) <= 5 * sqrt(draws * part * (1 - part))


def test_an_answer_grows_too_old() -> None:
    policy, backends = prequal([1] * 4, max_age_s=2.0)
    hear(policy, backends, (0, 1, 1.0), now=NOW)
    hear(policy, backends, (1, 1, 2.0), (2, 1, 3.0), now=NOW + 1.0)
    assert "0" == picked(policy, NOW + 2.0)
    assert "1" == picked(policy, NOW + 2.001)
    assert ["1", "2"] == pool_of(policy)
    picked(policy, NOW + 4.0)
    assert [] == pool_of(policy)


def test_a_second_answer_takes_the_place_of_the_first() -> None:
    policy, backends = prequal([1] * 4)
    hear(policy, backends, (0, 1, 1.0), (1, 1, 2.0))
    hear(policy, backends, (0, 1, 3.0), now=NOW + 0.5)
    assert ["1", "0"] == pool_of(policy)
    assert "1" == picked(policy)


def test_it_keeps_no_more_than_so_many_and_drops_the_oldest() -> None:
    policy, backends = prequal([1] * 10, keep=4)
    hear(policy, backends, *[(index, 1, 1.0) for index in range(6)])
    assert list("2345") == pool_of(policy)


def test_each_request_adds_one_to_what_its_backend_said() -> None:
    """Also one that stickiness sent there."""
    policy, backends = prequal([1] * 4, quantile=0.0)
    hear(policy, backends, (0, 1, 1.0), (1, 3, 1.0))
    request = Pick(seeded(1), now=NOW)
    for _ in range(3):
        assert "0" == picked(policy)
        policy.began(request, backends[0])
    assert "1" == picked(policy)
    policy.began(request, backends[3])  # of whom nothing was heard
    assert [4, 3] == [heard.in_flight for heard in policy.pool]


@pytest.mark.parametrize(
    ("per_request", "keep", "backends", "expected"),
    [
        (3.0, 16, 100, 2.0 / (0.84 * 3.0 - 1.0)),  # the paper's numbers: each answer serves 1.3 requests
        (3.0, 16, 10**6, 2.0 / (0.999984 * 3.0 - 1.0)),
        (5.0, 16, 1000, 1.0),  # answers enough: each serves one
        (1.0, 16, 100, 16.0),  # fewer are asked than are dropped
        (3.0, 16, 16, 16.0),  # all are in the pool
        (3.0, 16, 3, 16.0),
        (3.0, 16, 0, 16.0),
        (1.2, 16, 160, 16.0),  # 2 / 0.08 = 25, but no more than `keep`
    ],
)
def test_how_often_an_answer_serves(per_request: float, keep: int, backends: int, expected: float) -> None:
    assert pytest.approx(expected) == uses(per_request, keep, backends)


def test_an_answer_that_is_used_up_is_gone() -> None:
    policy, backends = prequal([1] * 1000, per_request=5.0)
    assert 1.0 == policy.reuse
    hear(policy, backends, (0, 1, 1.0), (1, 1, 2.0), (2, 1, 3.0))
    policy.began(Pick(seeded(1), now=NOW), backends[0])
    assert ["1", "2"] == pool_of(policy)


def test_uses_that_are_no_whole_number_are_so_on_average() -> None:
    policy, backends = prequal([1] * 100)
    given = []
    for index in range(100):
        hear(policy, backends, (index, 1, 1.0))
        given.append(policy.pool[-1].uses)
    assert {1, 2} == set(given)
    assert abs(sum(given) - 100 * policy.reuse) <= 1


def test_each_request_drops_the_oldest_or_in_turn_the_worst_answer_while_there_are_more_than_half() -> None:
    """The worst: the hottest, or where nobody is hot the slowest."""
    policy, backends = prequal([1] * 20, keep=8, quantile=0.7)
    hear(policy, backends, *[(index, 1, float(index)) for index in (5, 9, 1, 3, 2)], (4, 8, 0.1), (6, 9, 0.1))
    nobody = Pick(seeded(1), now=NOW)
    left = []
    for _ in range(4):
        policy.began(nobody, backends[19])
        left.append("".join(pool_of(policy)))
    assert ["913246", "91324", "1324", "1324"] == left
    hear(policy, backends, (11, 1, 0.5))
    policy.began(nobody, backends[19])
    assert ["1", "3", "2", "11"] == pool_of(policy)


def test_a_hot_one_is_worse_than_any_cold_one_however_slow() -> None:
    policy, backends = prequal([1] * 20, keep=8, quantile=0.7)
    hear(policy, backends, *[(index, 1, 1.0) for index in (5, 9, 1)], (3, 1, 1e9), (4, 8, 0.1), (2, 1, 1.0))
    nobody = Pick(seeded(1), now=NOW)
    policy.began(nobody, backends[19])
    policy.began(nobody, backends[19])
    assert ["9", "1", "3", "2"] == pool_of(policy)


def test_where_nobody_is_hot_the_slowest_is_the_worst() -> None:
    policy, backends = prequal([1] * 20, keep=8, quantile=1.0)
    hear(policy, backends, *[(index, 1, float(index)) for index in (5, 9, 1, 3, 2, 4)])
    nobody = Pick(seeded(1), now=NOW)
    policy.began(nobody, backends[19])
    policy.began(nobody, backends[19])
    assert ["1", "3", "2", "4"] == pool_of(policy)


def test_an_answer_without_numbers_stands_for_our_own() -> None:
    """The requests in flight of the table, and the mean of our answers for each of them and one more."""
    policy, backends = prequal([1] * 3)
    backends[0].begin()
    backends[0].begin()
    for backend in backends:
        for _ in range(1000):
            policy.ended(Pick(seeded(0)), backend, False, 0.010, NOW)
    policy.heard(backends[0], UNKNOWN, UNKNOWN_S, NOW)
    policy.heard(backends[1], 7, UNKNOWN_S, NOW)
    policy.heard(backends[2], UNKNOWN, 0.5, NOW)
    assert [2, 7, 0] == [heard.in_flight for heard in policy.pool]
    assert pytest.approx([0.030, 0.080, 0.5]) == [heard.latency_s for heard in policy.pool]


def test_rebuilding_keeps_the_answers_of_those_that_stay() -> None:
    policy, backends = prequal([1] * 5)
    hear(policy, backends, (0, 1, 1.0), (1, 1, 2.0), (2, 1, 3.0))
    for _ in range(10):
        policy.began(Pick(seeded(1), now=NOW), backends[4])
    policy.rebuild(backends[1:4])
    assert ["1", "2"] == pool_of(policy)
    assert set(backends[1:4]) >= set(policy.targets())
    hear(policy, backends, (4, 1, 0.1))
    assert ["1", "2"] == pool_of(policy)


# Whom to ask.


def test_three_distinct_ones_are_asked_for_each_request_all_alike() -> None:
    policy, backends = prequal([1] * 6)
    request = Pick(seeded(5), now=NOW)
    asked: Counter[str] = Counter()
    for _ in range(2000):
        policy.began(request, backends[0])
        targets = policy.targets()
        assert 3 == len(set(targets)) == len(targets)
        asked.update(backend.host for backend in targets)
    assert [] == policy.targets()
    assert all(abs(asked[str(index)] - 1000) <= 5 * sqrt(2000 * 0.25) for index in range(6))


def test_a_part_of_a_probe_is_one_now_and_then() -> None:
    policy, backends = prequal([1] * 6, per_request=0.75)
    request = Pick(seeded(5), now=NOW)
    counts = []
    for _ in range(8):
        policy.began(request, backends[0])
        counts.append(len(policy.targets()))
    assert [0, 1, 1, 1, 0, 1, 1, 1] == counts


def test_those_that_take_no_requests_are_not_asked() -> None:
    policy, backends = prequal([1] * 6)
    for backend in backends[2:]:
        backend.set_healthy(False)
    request = Pick(seeded(5), now=NOW)
    for _ in range(20):
        policy.began(request, backends[0])
    assert {backends[0], backends[1]} == set(policy.targets())


def test_where_nobody_asks_the_list_does_not_grow() -> None:
    policy, backends = prequal([1] * 6)
    for _ in range(1000):
        policy.began(Pick(seeded(5), now=NOW), backends[0])
    assert 64 == len(policy.targets())


def test_the_pool_stays_filled_as_the_paper_has_it() -> None:
    """100 servers, 3 asked a request, each answer used 1.3 times: never fewer than two to choose among."""
    made, backends = a_policy("prequal", [1] * 100)
    policy = Prequal(PolicySpec("prequal"), made.table, 0)
    policy.rebuild(backends)
    scene = Scene(policy, backends, 5000.0)
    scene.run(0.1)
    sizes = []
    for _ in range(200):
        scene.run(0.002)
        sizes.append(len(policy.pool))
    assert min(sizes) >= 7
    assert max(sizes) <= 16


def test_a_pool_of_unequal_servers_is_served_better_than_by_turns() -> None:
    """Two of five are four times slower, at 0.69 of what all can do: in turn their queues would grow without end."""
    served = {}

    def serve(index: int, now: float, chance: object) -> tuple[float, bool]:
        takes, failed = quick(index, now, chance)  # type: ignore[arg-type]
        return (4 * takes, failed) if index < 2 else (takes, failed)

    for name in ("round_robin", "prequal"):
        policy, backends = a_policy(name, [1] * 5)
        scene = Scene(policy, backends, 240.0)
        scene.run(20.0, serve)
        served[name] = sorted(scene.waited)[int(0.99 * len(scene.waited))]
    assert served["prequal"] < served["round_robin"] / 5
    assert served["prequal"] < 0.3


def test_the_floor_holds_whatever_the_answers_say() -> None:
    policy, backends = prequal([1] * 4)
    hear(policy, backends, (0, 0, 1.0), (1, 50, 1000.0), (2, 50, 1000.0), (3, 50, 1000.0))
    pick = Pick(seeded(1), now=NOW)
    found = Counter(policy.pick(pick) for _ in range(40 * FLOOR_EVERY))
    assert all(7 <= found[backend] <= 13 for backend in backends[1:])
