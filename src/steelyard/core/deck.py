"""Distinct backends by chance, however large the pool: a pack of cards that is never shuffled, only dealt from.

Each card dealt is swapped to the front and the next one drawn from the others, so all of a hand are distinct and every
hand is equally likely (Fisher and Yates). Of all cards of a hand one random number is asked of the request; SplitMix64
makes the others of it, since a call into Python costs more than the rest of a deal.
A card that may not be taken is passed over. After too many of those the hand is dealt from the cards that are alive,
a list that is made anew only when some status has changed; and if even of those too many are full or were tried, from
the ones that are left after a look at every one. So a deal always ends, and is O(1) but in the last case.
Source: Finagle `P2CPick` (distinct and unbiased).
"""

from collections.abc import Sequence
from typing import Final

from steelyard.core.learnt import Learnt
from steelyard.core.policy import Pick
from steelyard.core.stable import mix
from steelyard.core.table import Table
from steelyard.core.watch import Watch

SEEDS: Final = 1 << 52  # as many as a random float has
MISSES: Final = 8  # while half may be taken, one deal in 256 needs the living


class Deck:
    """The backends of a tier, each with what was learnt about it. row: the tier's."""

    def __init__(self, table: Table, row: int, cards: Sequence[Learnt]) -> None:
        self.watch = Watch(table, row)
        self.cards = list(cards)
        self.living: list[Learnt] = []

    def deal(self, request: Pick, wanted: int) -> list[Learnt]:
        """So many distinct backends that may be taken; fewer only where there are no more."""
        hand = self.draw(request, self.cards, wanted)
        if len(hand) >= wanted:
            return hand
        hand = self.draw(request, self.alive(request.panic), wanted)
        if len(hand) >= wanted:
            return hand
        left = [card for card in self.living if request.may_take(card.backend)]  # type: ignore[arg-type]
        return self.draw(request, left, wanted)

    def draw(self, request: Pick, cards: list[Learnt], wanted: int) -> list[Learnt]:
        """As many of them as so many draws and a few more find."""
        hand: list[Learnt] = []
        count = len(cards)
        if count == 0:
            return hand
        draws = min(wanted + MISSES, count)
        seed = request.below(SEEDS)
        for drawn in range(draws):
            left = count - drawn
            at = drawn + mix(seed, drawn) % left
            card = cards[at]
            cards[at] = cards[drawn]
            cards[drawn] = card
            if request.may_take(card.backend):  # type: ignore[arg-type]
                hand.append(card)
                if len(hand) == wanted:
                    break
        return hand

    def alive(self, panic: bool) -> list[Learnt]:
        """Those that would be taken if they were not full."""
        if self.watch.stale(panic):
            self.living = [card for card in self.cards if card.backend.takes_requests(panic)]  # type: ignore[union-attr]
        return self.living
