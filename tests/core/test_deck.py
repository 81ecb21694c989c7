"""core/deck.py: distinct backends by chance, only such as may be taken, and all of those alike."""

from collections import Counter
from itertools import combinations, permutations
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.backend import Backend
from steelyard.core.deck import Deck
from steelyard.core.learnt import Learnt
from steelyard.core.policy import Pick
from steelyard.core.spec import BackendSpec
from steelyard.core.table import DOWN, SILENT, UP
from tests.fakes_core import a_table, no_chance, seeded

DEALS = 6_000


def a_deck(size: int, limit: int | None = None) -> tuple[Deck, list[Backend]]:
    table = a_table(size + 1)
    backends = [Backend(BackendSpec(str(row), 80, 1, limit), table, row + 1, 0) for row in range(size)]
    return Deck(table, 0, [Learnt(backend, 10.0) for backend in backends]), backends


def hosts(hand: list[Learnt]) -> list[str]:
    return [card.backend.host for card in hand if card.backend is not None]


@pytest.mark.parametrize("dead", [0, 1, 60])
def test_every_pair_is_as_likely_as_any_other(dead: int) -> None:
    """Whether they are drawn among all, or among the living. 6 pairs, within 5 standard deviations."""
    deck, backends = a_deck(4 + dead)
    for backend in backends[4:]:
        backend.set_healthy(False)
    pick = Pick(seeded(1))
    counted = Counter("".join(sorted(hosts(deck.deal(pick, 2)))) for _ in range(DEALS))
    assert {"".join(pair) for pair in combinations("0123", 2)} == set(counted)
    spread = 5 * sqrt(DEALS * 1 / 6 * 5 / 6)
    assert all(abs(count - DEALS / 6) < spread for count in counted.values())


def test_three_of_four_come_in_any_order() -> None:
    """24 ways from a fresh pack: each draw is a draw of its own (5 standard deviations)."""
    below = seeded(6)
    counted = Counter("".join(hosts(a_deck(4)[0].deal(Pick(below), 3))) for _ in range(4800))
    assert {"".join(hand) for hand in permutations("0123", 3)} == set(counted)
    assert all(abs(count - 200) < 5 * sqrt(200) for count in counted.values())


def test_the_first_of_a_hand_is_anybody() -> None:
    deck, _ = a_deck(5)
    pick = Pick(seeded(2))
    counted = Counter(hosts(deck.deal(pick, 2))[0] for _ in range(DEALS))
    assert all(abs(counted[host] - DEALS / 5) < 5 * sqrt(DEALS * 0.2 * 0.8) for host in "01234")


def test_one_number_is_asked_of_the_request_for_a_whole_hand() -> None:
    asked = []

    def below(n: int) -> int:
        asked.append(n)
        return 12345

    deck, _ = a_deck(100)
    assert 5 == len(set(hosts(deck.deal(Pick(below), 5))))
    assert 1 == len(asked)


def test_nobody_is_drawn_of_none() -> None:
    deck, _ = a_deck(0)
    assert [] == deck.deal(Pick(no_chance), 2)


@given(
    st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), max_size=40),
    st.integers(1, 5),
    st.integers(0, 9),
)
def test_a_hand_is_distinct_lawful_and_as_large_as_can_be(
    states: list[tuple[bool, bool, bool]], wanted: int, seed: int
) -> None:
    deck, backends = a_deck(len(states), limit=1)
    lawful, tried = set(), []
    for backend, (down, full, was_there) in zip(backends, states, strict=True):
        backend.set_healthy(not down)
        if full:
            backend.begin()
        if was_there:
            tried.append(backend)
        if not (down or full or was_there):
            lawful.add(backend)
    pick = Pick(seeded(seed), tried=tried)
    for _ in range(3):
        dealt = [card.backend for card in deck.deal(pick, wanted)]
        assert min(wanted, len(lawful)) == len(dealt) == len(set(dealt))
        assert lawful >= set(dealt)


def test_a_status_that_changes_is_seen_at_once() -> None:
    """The living are remembered, until somebody announces a change."""
    deck, backends = a_deck(400)
    pick = Pick(seeded(3))
    for left in (7, 31, 31, 0):
        for at, backend in enumerate(backends):
            backend.set_healthy(at == left)
        assert [[str(left)]] * 20 == [hosts(deck.deal(pick, 1)) for _ in range(20)]


def test_in_a_panic_those_that_answer_their_checks_wrongly_count_as_alive() -> None:
    deck, backends = a_deck(400)
    for at, backend in enumerate(backends):
        backend.set_status(UP if at == 0 else DOWN if at < 3 else SILENT, 0.0)
    pick = Pick(seeded(4))
    for panic, alive in ((False, {"0"}), (True, {"0", "1", "2"}), (False, {"0"})):
        pick.panic = panic
        counted = Counter(hosts(deck.deal(pick, 1))[0] for _ in range(300))
        assert alive == set(counted)
        assert min(counted.values()) >= 60  # of 100 at least; by luck alone, without the living, 7
