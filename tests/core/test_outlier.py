"""core/outlier.py: who is ejected, for how long, and never too many."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

import pytest

from steelyard.core.backend import Backend
from steelyard.core.outlier import AT_ONCE, MOST_ERRORS, Outliers, ones
from steelyard.core.policy import Pick
from steelyard.core.spec import BackendSpec, EjectionSpec
from steelyard.core.table import DOWN, EJECTED, GENERATION, OUTCOMES, PENALTIES, WINDOW, Table
from tests.fakes_core import no_chance, seeded

HOME = 0
SPEC = EjectionSpec()
IN_A_ROW = "ejected for 30 s: 5 errors in a row"
AMONG_TWENTY = "ejected for 30 s: 5 errors in 20 requests, while the others answer well"


def least(n: int) -> int:
    """No jitter."""
    return 0


class Judge:
    """One worker's view of the backends `0`, `1`... of a pool; others may share its buffer. now: turned by hand."""

    def __init__(
        self,
        size: int = 4,
        spec: EjectionSpec = SPEC,
        *,
        buffer: bytearray | None = None,
        worker: int = 0,
        below: Callable[[int], int] = least,
    ) -> None:
        self.spec = spec
        self.buffer = buffer if buffer is not None else bytearray(Table.size_bytes(size + 1, 2))
        self.table = Table(self.buffer, size + 1, 2, worker)
        specs = [BackendSpec(str(index), 80) for index in range(size)]
        self.backends = [Backend(its, self.table, row, HOME, fresh=buffer is None) for row, its in enumerate(specs, 1)]
        self.rules = Outliers(spec, self.table, HOME, self.backends)
        self.pick = Pick(below)
        self.now = 100.0

    def beside(self) -> "Judge":
        """The same as the other worker sees it."""
        return Judge(len(self.backends), self.spec, buffer=self.buffer, worker=1)

    def end(self, at: int, failed: bool, status: int | None = None, count: int = 1) -> list[tuple[str, str]]:
        """So many requests to a backend; who was ejected by them, and how that was said."""
        gone: list[tuple[str, str]] = []
        for _ in range(count):
            backend = self.backends[at]
            backend.begin()
            backend.finish(failed)
            answer = (500 if failed else 200) if status is None else status
            for one, said in self.rules.ended(self.pick, backend, failed, answer, self.now) or ():
                gone.append((one.host, said))
        return gone

    def serve(self, count: int, besides: Sequence[int] = ()) -> None:
        """So many good answers from everyone else."""
        for at in range(len(self.backends)):
            if at not in besides:
                assert [] == self.end(at, False, count=count)

    def until(self, at: int) -> float:
        return self.backends[at].ejected_until_ms() / 1000

    def away(self) -> list[int]:
        return [at for at in range(len(self.backends)) if self.until(at) > 0.0]

    def back(self, at: int) -> None:
        """Its time is over."""
        self.now = max(self.now, self.until(at))
        assert self.backends[at].put_back(self.now, False)


# Errors in a row.


def test_five_errors_in_a_row_eject_and_four_do_not() -> None:
    made = Judge()
    assert [] == made.end(1, True, count=4)
    assert [] == made.end(1, False)
    assert [] == made.end(1, True, count=4)
    generation = made.table.get(HOME, GENERATION)
    assert [("1", IN_A_ROW)] == made.end(1, True)
    assert ([1], 130.0, 1) == (made.away(), made.until(1), made.backends[1].ejections)
    assert not made.backends[1].available
    assert generation + 1 == made.table.get(HOME, GENERATION)


@pytest.mark.parametrize(("errors", "said"), [(1, "an error"), (2, "2 errors in a row"), (20, "20 errors in a row")])
def test_how_many_is_configured(errors: int, said: str) -> None:
    made = Judge(spec=replace(SPEC, errors=errors))
    assert [] == made.end(0, True, count=errors - 1)
    assert [("0", f"ejected for 30 s: {said}")] == made.end(0, True)


def test_each_worker_counts_its_own() -> None:
    one = Judge()
    other = one.beside()
    assert [] == one.end(0, True, count=4) + other.end(0, True, count=4)
    assert [("0", IN_A_ROW)] == other.end(0, True)


def test_a_success_with_nothing_before_it_writes_nothing() -> None:
    made = Judge()
    made.end(0, False)  # begins the window
    backend = made.backends[0]
    backend.begin()
    backend.finish(False)
    before = bytes(made.buffer)
    assert made.rules.ended(made.pick, backend, False, 200, made.now) is None
    assert before == bytes(made.buffer)


def test_old_errors_are_forgotten_after_four_times_as_many_successes() -> None:
    made = Judge()
    made.end(0, True, count=4)
    made.end(0, False, count=19)
    assert 0 != made.table.mine(1, OUTCOMES)
    made.end(0, False)
    assert 0 == made.table.mine(1, OUTCOMES)


def test_with_errors_off_none_counts() -> None:
    made = Judge(spec=replace(SPEC, errors=None))
    assert [] == made.end(0, True, count=90)
    assert 0 == made.table.mine(1, OUTCOMES)


@pytest.mark.parametrize(("bits", "count"), [(0, 0), (1, 1), (0b10110, 3), ((1 << 2 * MOST_ERRORS) - 1, 40)])
def test_bits_are_counted(bits: int, count: int) -> None:
    assert count == ones(bits)


# Errors among others.


def test_a_backend_that_fails_every_second_request_goes_after_its_fifth_error() -> None:
    made = Judge()
    made.serve(200, besides=[2])
    for _ in range(4):
        assert [] == made.end(2, True) + made.end(2, False)
    assert [("2", AMONG_TWENTY)] == made.end(2, True)


def test_errors_that_are_further_apart_do_not_eject() -> None:
    made = Judge()
    made.serve(200, besides=[2])
    for _ in range(50):
        assert [] == made.end(2, True) + made.end(2, False, count=4)


def test_one_that_fails_half_of_its_requests_at_random_goes_after_its_fifth_error_nearly_always() -> None:
    fifth = 0
    for seed in range(500):
        chance = Random(seed)
        made = Judge()
        made.serve(200, besides=[2])
        errors = 0
        gone: list[tuple[str, str]] = []
        while not gone:
            failed = chance.random() < 0.5
            errors += failed
            gone = made.end(2, failed)
        fifth += errors == 5
    assert fifth >= 495


@pytest.mark.parametrize(
    ("well", "failed", "ejected"), [(100, 0, True), (297, 3, False), (301, 3, True), (0, 0, False)]
)
def test_it_stays_while_the_others_do_not_answer_well(well: int, failed: int, ejected: bool) -> None:
    """Well is fewer than 1 failed in 100."""
    made = Judge(2)
    made.end(1, False)  # begins the window
    for _ in range(failed):
        made.end(1, True)
        made.end(1, False, count=10)
    made.end(1, False, count=max(well - 10 * failed, 0))
    for _ in range(4):
        made.end(0, True)
        made.end(0, False)
    assert ejected == bool(made.end(0, True))


def test_one_that_takes_no_requests_is_not_among_the_others() -> None:
    made = Judge(3)
    made.serve(100, besides=[0, 1])
    made.end(1, True, count=50)
    assert [1] == made.away()
    other = Judge(3, replace(SPEC, max_ejected=1.0))
    other.serve(100, besides=[0, 1])
    other.end(1, True, count=50)
    for _ in range(4):
        other.end(0, True)
        other.end(0, False)
    assert [("0", AMONG_TWENTY)] == other.end(0, True)


def test_that_the_others_do_not_answer_well_is_looked_up_once_in_a_while() -> None:
    made = Judge(2)
    made.end(1, True)
    for _ in range(4):
        made.end(0, True)
        made.end(0, False)
    assert [] == made.end(0, True)
    made.serve(1000, besides=[0])
    made.end(0, False)
    assert [] == made.end(0, True)
    made.now += 0.1
    made.end(0, False)
    assert [("0", AMONG_TWENTY)] == made.end(0, True)


def test_lately_is_this_window_and_the_one_before() -> None:
    made = Judge(2)
    for _ in range(10):
        made.end(1, True)
        made.end(1, False, count=4)
    for window, ejected in ((1, False), (2, True)):
        made.now = 100.0 + 10.1 * window
        made.end(1, False, count=100)  # turns the window
        for _ in range(4):
            made.end(0, True)
            made.end(0, False)
        assert ejected == bool(made.end(0, True))
        made.end(0, False, count=20)


# Gateway errors.

GATEWAY = replace(SPEC, errors=None, deviations=None, gateway_errors=3)


@pytest.mark.parametrize("status", [502, 503, 504, 0, 200])
def test_gateway_errors_in_a_row_eject(status: int) -> None:
    """So does an answer of 200 that broke off."""
    made = Judge(spec=GATEWAY)
    assert [] == made.end(0, True, status, count=2)
    assert [("0", "ejected for 30 s: 3 gateway errors in a row")] == made.end(0, True, status)


@pytest.mark.parametrize("status", [500, 501, 505])
def test_an_application_s_own_errors_are_none(status: int) -> None:
    made = Judge(spec=GATEWAY)
    assert [] == made.end(0, True, status, count=50)
    made.end(0, True, 503, count=2)
    made.end(0, True, status)
    assert [] == made.end(0, True, 503, count=2)
    assert made.end(0, True, 503)


def test_a_success_ends_a_row_of_gateway_errors() -> None:
    made = Judge(spec=GATEWAY)
    made.end(0, True, 503, count=2)
    made.end(0, False)
    assert [] == made.end(0, True, 503, count=2)
    assert 0 == Judge(spec=replace(GATEWAY, gateway_errors=None)).table.mine(1, OUTCOMES)


def test_one_gateway_error_may_be_enough_and_a_thousand_may_be_needed() -> None:
    assert [("0", "ejected for 30 s: a gateway error")] == Judge(spec=replace(GATEWAY, gateway_errors=1)).end(
        0, True, 502
    )
    made = Judge(spec=replace(SPEC, errors=20, gateway_errors=1000, max_ejected=0.1))
    made.backends[0].set_draining(True)  # it may not go for its errors, which leaves the count of the others alone
    assert [] == made.end(0, True, 502, count=999)


def test_both_are_counted_apart() -> None:
    made = Judge(spec=replace(SPEC, gateway_errors=3))
    made.end(0, True, 500, count=2)
    made.end(0, True, 503, count=2)
    assert [("0", IN_A_ROW)] == made.end(0, True, 500)
    made.end(1, True, 503, count=2)
    assert [] == made.end(1, True, 503)  # the cap: one of four
    made.back(0)
    made.end(1, True, 503, count=2)
    assert [("1", "ejected for 30 s: 3 gateway errors in a row")] == made.end(1, True, 503)


# Never too many.


def test_the_only_backend_is_never_ejected() -> None:
    made = Judge(1)
    assert [] == made.end(0, True, count=100)


def test_the_last_one_that_takes_requests_is_not_either() -> None:
    made = Judge(3, replace(SPEC, max_ejected=1.0))
    assert made.end(0, True, count=5)
    made.backends[1].set_status(DOWN, 0.0)
    assert [] == made.end(2, True, count=100)
    assert [0] == made.away()


@pytest.mark.parametrize(
    ("size", "share", "most"), [(4, 0.1, 1), (19, 0.1, 1), (20, 0.1, 2), (100, 0.29, 29), (10, 0.5, 5), (10, 1.0, 9)]
)
def test_no_more_go_than_the_cap_allows_but_one_always_may(size: int, share: float, most: int) -> None:
    made = Judge(size, replace(SPEC, max_ejected=share))
    for at in range(size):
        made.end(at, True, count=5)
    assert most == len(made.away())


def test_members_are_counted_without_those_that_take_no_requests_by_order() -> None:
    made = Judge(20)
    made.backends[19].set_weight(0)
    for at in range(19):
        made.end(at, True, count=5)
    assert 1 == len(made.away())


def test_one_that_may_not_go_is_asked_for_as_many_errors_again() -> None:
    """To look whether it may costs a look at everyone."""
    made = Judge()
    made.end(0, True, count=5)
    assert [] == made.end(1, True, count=5)
    made.back(0)
    assert [] == made.end(1, True, count=4)
    assert [("1", IN_A_ROW)] == made.end(1, True)


def test_one_that_takes_no_requests_needs_no_ejection() -> None:
    made = Judge()
    made.backends[0].set_status(DOWN, 0.0)
    assert [] == made.end(0, True, count=50)


def test_one_that_has_left_the_pool_is_not_ejected_any_more() -> None:
    made = Judge()
    made.rules = Outliers(SPEC, made.table, HOME, made.backends[1:])
    assert [] == made.end(0, True, count=50)


@pytest.mark.interpreted
def test_of_two_workers_that_eject_the_last_two_at_once_none_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sees that the other has, and takes it back: better none than all."""
    one = Judge(2, replace(SPEC, max_ejected=1.0))
    other = one.beside()
    swap = Table.swap
    meanwhile = [other.backends[1]]

    def swapped_meanwhile(table: Table, row: int, cell: int, before: int, value: int) -> bool:
        if cell == EJECTED and before == 0 and meanwhile:
            assert swap(other.table, meanwhile.pop().row, EJECTED, 0, 500_000)
        return swap(table, row, cell, before, value)

    one.end(0, True, count=4)
    monkeypatch.setattr(Table, "swap", swapped_meanwhile)
    assert [] == one.end(0, True)
    assert ([1], 0, 0) == (one.away(), one.backends[0].ejections, one.table.get(1, PENALTIES))


@pytest.mark.interpreted
def test_of_two_workers_that_eject_one_backend_one_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Judge()
    other = one.beside()
    other.end(0, True, count=4)
    one.end(0, True, count=4)
    others: list[str] = []

    def meanwhile(n: int) -> int:
        one.pick.below = least
        others.extend(said for _, said in other.end(0, True))
        return 0

    one.pick.below = meanwhile
    assert [] == one.end(0, True)
    assert ([IN_A_ROW], 1) == (others, one.backends[0].ejections)


# Penalties.


def test_who_is_ejected_again_soon_stays_out_longer_up_to_a_limit() -> None:
    made = Judge(spec=replace(SPEC, max_penalty_s=100.0))
    lasted = []
    for _ in range(5):
        began = made.now
        made.end(0, True, count=5)
        lasted.append(made.until(0) - began)
        made.back(0)
    assert [30.0, 60.0, 90.0, 100.0, 100.0] == lasted


def test_for_each_penalty_without_an_ejection_one_is_forgotten() -> None:
    made = Judge()
    lasted = []
    for rest in (0.0, 0.0, 0.0, 29.0, 61.0, 10_000.0):
        made.now += rest
        began = made.now
        made.end(0, True, count=5)
        lasted.append(round(made.until(0) - began))
        made.back(0)
    assert [30, 60, 90, 120, 90, 30] == lasted


def test_how_often_is_counted_as_far_as_it_matters() -> None:
    made = Judge(spec=replace(SPEC, penalty_s=1.0, max_penalty_s=1000.0))
    for _ in range(300):
        made.end(0, True, count=5)
        made.back(0)
    began = made.now
    made.end(0, True, count=5)
    assert 256.0 == made.until(0) - began


def test_a_penalty_has_up_to_a_tenth_more() -> None:
    lasted = set()
    for seed in range(40):
        made = Judge(below=seeded(seed))
        made.end(0, True, count=5)
        lasted.add(made.until(0) - 100.0)
    assert 30.0 <= min(lasted) < 30.6 < 32.4 < max(lasted) <= 33.0


# Success rates.


def window(made: Judge, failed: Sequence[int], total: int = 100) -> list[tuple[str, str]]:
    """One whole window: so many requests to each, of which so many failed, never two after another."""
    for at, count in enumerate(failed):
        for number in range(total):
            failing = number * count // total != (number + 1) * count // total
            assert [] == made.end(at, failing)
    made.now += 10.1
    return made.end(0, False)


def begun(size: int = 5, **settings: float | None) -> Judge:
    """Judged by rates alone; a window has begun."""
    made = Judge(size, replace(SPEC, errors=None, **settings))  # type: ignore[arg-type]
    made.end(0, False)
    return made


def test_one_far_below_the_mean_is_ejected_at_the_end_of_the_window() -> None:
    made = begun()
    assert [("3", "ejected for 30 s: success rate 70 %, where 5 backends have 94 % on average")] == window(
        made, [0, 0, 0, 30, 0]
    )
    assert [3] == made.away()


def test_one_that_is_hardly_worse_than_perfect_others_stays() -> None:
    """By the deviation alone, one error in a hundred would be enough."""
    made = begun()
    assert [] == window(made, [0, 0, 1, 0, 0])
    assert [] == window(made, [0, 0, 6, 0, 0])
    assert window(made, [0, 0, 7, 0, 0])


def test_where_all_fail_alike_nobody_is_ejected() -> None:
    made = begun()
    assert [] == window(made, [48, 50, 52, 49, 51])
    assert [] == window(made, [100] * 5)


def test_too_few_backends_or_too_few_requests_are_not_compared() -> None:
    made = begun(4)
    assert [] == window(made, [0, 0, 50, 0])
    made = begun()
    assert [] == window(made, [0, 0, 49, 0, 0], total=98)


def test_another_deviation_is_another_line() -> None:
    rates = [0, 10, 20, 30, 40, 50]
    assert [] == window(begun(6), rates)
    assert ["5"] == [host for host, _ in window(begun(6, deviations=1.2), rates)]


def test_without_deviations_nobody_is_compared() -> None:
    assert [] == window(begun(deviations=None), [0, 0, 90, 0, 0])


def test_with_nothing_to_count_in_windows_there_are_none() -> None:
    made = begun(deviations=None)
    assert 0 == made.table.get(HOME, WINDOW)


def test_the_worst_goes_first_where_not_all_may() -> None:
    made = begun(15, deviations=1.0)
    assert ["7"] == [host for host, _ in window(made, [0, 30, *[0] * 5, 60, *[0] * 7])]


def test_all_may_go_that_are_below_where_the_cap_allows_it() -> None:
    made = begun(15, deviations=1.0, max_ejected=0.5)
    assert ["7", "1"] == [host for host, _ in window(made, [0, 60, *[0] * 5, 70, *[0] * 7])]


def test_no_more_than_so_many_go_at_once() -> None:
    made = begun(80, deviations=1.0, max_ejected=1.0)
    assert AT_ONCE == len(window(made, [*[0] * 55, *[50] * 25]))
    assert AT_ONCE == len(made.away())


def test_one_worker_compares_for_all_and_by_what_all_have_seen() -> None:
    one = begun()
    other = one.beside()
    for at in range(5):
        for made in (one, other):
            for number in range(50):
                assert [] == made.end(at, at == 3 and number % 2 == 0)
    for made in (one, other):
        made.now += 10.1
    assert ["3"] == [host for host, _ in other.end(0, False)]
    assert [] == one.end(0, False)


@pytest.mark.interpreted
def test_of_two_workers_that_see_the_end_of_a_window_one_compares(monkeypatch: pytest.MonkeyPatch) -> None:
    one = begun()
    swap = Table.swap

    def lost(table: Table, row: int, cell: int, before: int, value: int) -> bool:
        if cell == WINDOW:
            swap(table, row, cell, before, value)
            return False
        return swap(table, row, cell, before, value)

    monkeypatch.setattr(Table, "swap", lost)
    assert [] == window(one, [0, 0, 50, 0, 0])


def test_what_was_counted_over_a_long_time_is_no_window() -> None:
    """Nobody looked: ejection was off, or nobody came."""
    made = begun()
    for at in range(5):
        for number in range(100):
            made.end(at, at == 2 and number % 2 == 0)
    made.now += 25.0
    assert [] == made.end(0, False)
    assert window(made, [0, 0, 50, 0, 0])


def test_a_worker_that_died_took_its_counts_along() -> None:
    """What is less than before is no difference."""
    one = begun()
    other = one.beside()
    other.end(2, False, count=500)
    one.now += 10.1
    one.end(0, False)
    one.table.clear_column(1)
    assert [] == window(one, [0, 0, 50, 0, 0])
    assert window(one, [0, 0, 50, 0, 0])


def test_an_error_in_a_row_and_a_window_may_eject_with_one_request() -> None:
    made = Judge(20)
    made.end(0, False)
    for at in range(1, 20):
        for number in range(100):
            made.end(at, at == 3 and number % 6 == 0)
    assert [] == made.end(0, True, count=4)
    made.now += 10.1
    gone = made.end(0, True)
    assert ["0", "3"] == [host for host, _ in gone]


# Left alone because it asked for that.


def test_a_backend_is_left_alone_until_then_and_that_is_no_ejection() -> None:
    made = Judge()
    assert made.rules.hold(made.backends[0], 120.0, 100.0)
    assert (120.0, 0, 0) == (made.until(0), made.backends[0].ejections, made.table.get(1, PENALTIES))
    made.back(0)
    made.end(0, True, count=5)
    assert 30.0 == made.until(0) - made.now


def test_it_is_not_left_alone_for_no_time_nor_for_longer_than_the_longest_penalty() -> None:
    made = Judge()
    assert not made.rules.hold(made.backends[0], 100.0, 100.0)
    assert not made.rules.hold(made.backends[0], 100.00025, 100.00025)  # not until the end of that millisecond either
    assert made.rules.hold(made.backends[0], 1e9, 100.0)
    assert 400.0 == made.until(0)


def test_a_hold_makes_an_ejection_longer_and_never_shorter() -> None:
    made = Judge()
    made.end(0, True, count=5)
    assert [True, True] == [made.rules.hold(made.backends[0], until, 100.0) for until in (110.0, 150.0)]
    assert 150.0 == made.until(0)


def test_who_may_not_go_is_not_left_alone_either() -> None:
    made = Judge(2, replace(SPEC, max_ejected=1.0))
    assert made.rules.hold(made.backends[0], 120.0, 100.0)
    assert not made.rules.hold(made.backends[1], 120.0, 100.0)
    made = Judge(4)
    made.end(0, True, count=5)
    assert not made.rules.hold(made.backends[1], 120.0, 100.0)


@pytest.mark.interpreted
def test_a_hold_while_another_worker_changes_it_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Judge()
    made.end(0, True, count=5)
    swap = Table.swap
    meanwhile = [180_000]

    def swapped_meanwhile(table: Table, row: int, cell: int, before: int, value: int) -> bool:
        if meanwhile:
            table.set(row, cell, meanwhile.pop())
        return swap(table, row, cell, before, value)

    monkeypatch.setattr(Table, "swap", swapped_meanwhile)
    assert made.rules.hold(made.backends[0], 150.0, 100.0)
    assert 180.0 == made.until(0)


def test_without_an_ejection_nothing_is_drawn() -> None:
    made = Judge(below=no_chance)
    assert [] == made.end(0, True, count=4)
    assert made.rules.hold(made.backends[0], 120.0, 100.0)


def test_that_nobody_may_go_is_believed_for_a_while() -> None:
    """To find out costs a look at all, and where a service is full every backend asks for it with every answer."""
    made = Judge()
    assert made.rules.hold(made.backends[0], 120.0, 100.0)
    assert not made.rules.hold(made.backends[1], 120.0, 100.0)
    assert made.backends[0].put_back(120.1, False)
    assert not made.rules.hold(made.backends[1], 140.0, 100.05)
    assert made.rules.hold(made.backends[1], 140.0, 100.2)
