"""core/breaker.py: closed, open, half-open, and one trial at a time over all workers."""

from math import inf

import pytest

from steelyard.core import breaker as breakers
from steelyard.core.backend import Backend
from steelyard.core.breaker import (
    LETS_THROUGH,
    TRANSITIONS,
    Breaker,
    Event,
    State,
    ends_at_s,
    move,
    state_of,
    wait_is_over,
)
from steelyard.core.spec import BackendSpec, BreakerSpec
from steelyard.core.table import (
    CIRCUIT,
    CIRCUIT_SHIFT,
    CLOSED,
    HALF_OPEN,
    IN_A_ROW,
    OPEN,
    POOL_CIRCUIT,
    RATES_FROM,
    STOPS,
    TRYING,
    Table,
)

ROW = 1


class Circuit:
    """One worker's view of the circuit of a backend; others may share its buffer."""

    def __init__(self, spec: BreakerSpec, buffer: bytearray | None = None, worker: int = 0) -> None:
        self.buffer = bytearray(Table.size_bytes(2, 2)) if buffer is None else buffer
        self.table = Table(self.buffer, 2, 2, worker)
        self.backend = Backend(BackendSpec("a", 1), self.table, ROW, 0)
        self.breaker = Breaker(spec, self.table, CIRCUIT, False)
        self.spec = spec

    def beside(self) -> "Circuit":
        """The same as the other worker sees it."""
        return Circuit(self.spec, self.buffer, 1)

    def end(self, failed: bool, now: float = 0.0, latency_s: float = 0.01) -> str:
        """A request that was no trial, from its beginning to its end."""
        self.backend.begin()
        self.backend.finish(failed)
        return self.breaker.note(ROW, failed, latency_s, now)

    def wait(self, now: float) -> bool:
        return wait_is_over(self.table, ROW, CIRCUIT, self.breaker.circuit(ROW), now)

    @property
    def state(self) -> State:
        return state_of(self.breaker.circuit(ROW))


def in_a_row(count: int = 3, **settings: float) -> Circuit:
    return Circuit(BreakerSpec(count, None, open_for_s=30.0, **settings))  # type: ignore[arg-type]


def opened(**settings: float) -> Circuit:
    """One that was opened at 0."""
    made = in_a_row(1, **settings)
    assert "circuit open for 30 s: a failure" == made.end(True)
    return made


# The machine.


def test_every_event_is_known_in_every_state() -> None:
    assert set(State) == set(TRANSITIONS)
    assert [set(Event)] * 4 == [set(events) for events in TRANSITIONS.values()]


def test_the_numbers_of_the_states_are_those_of_the_table() -> None:
    numbers = {State.CLOSED: CLOSED, State.OPEN: OPEN, State.HALF_OPEN: HALF_OPEN, State.TRYING: TRYING}
    for state, number in numbers.items():
        assert state is state_of(number) is state_of(123_456 << 2 | number)
        assert (state in LETS_THROUGH) == (number & STOPS == 0)


def test_a_circuit_waits_while_it_stops_requests() -> None:
    assert [inf, 1.5, inf, 1.5] == [
        ends_at_s(1500 << CIRCUIT_SHIFT | state if state & STOPS else state)
        for state in (CLOSED, OPEN, HALF_OPEN, TRYING)
    ]


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_it_goes_where_the_table_says_and_nowhere_else(state: State, event: Event) -> None:
    table = Table(bytearray(Table.size_bytes(1, 1)), 1)
    before = list(State).index(state)
    table.set(0, CIRCUIT, before)
    after = move(table, 0, CIRCUIT, before, event, 77)
    assert TRANSITIONS[state][event] is state_of(after)
    assert after == table.get(0, CIRCUIT)
    assert (after == before) == (TRANSITIONS[state][event] is state)


def test_of_two_that_move_it_one_does() -> None:
    table = Table(bytearray(Table.size_bytes(1, 1)), 1)
    assert 5 << CIRCUIT_SHIFT | OPEN == move(table, 0, CIRCUIT, 0, Event.TRIPPED, 5)
    assert 0 == move(table, 0, CIRCUIT, 0, Event.TRIPPED, 6)
    assert 5 << CIRCUIT_SHIFT | OPEN == table.get(0, CIRCUIT)


# What opens it.


def test_so_many_failures_in_a_row_open_it_and_an_answer_forgives_them() -> None:
    made = in_a_row()
    assert ["", "", "", "", ""] == [made.end(failed) for failed in (True, True, False, True, True)]
    assert State.CLOSED is made.state
    assert "circuit open for 30 s: 3 failures in a row" == made.end(True, 5.0)
    assert (State.OPEN, 35.0, 1) == (made.state, ends_at_s(made.backend.circuit()), made.backend.trips)


def test_what_two_workers_see_is_one_row_of_failures() -> None:
    one = in_a_row()
    other = one.beside()
    assert ["", ""] == [one.end(True), other.end(True)]
    assert "circuit open for 30 s: 3 failures in a row" == one.end(True)
    assert State.OPEN is other.state


@pytest.mark.interpreted
def test_of_two_workers_that_open_it_one_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    one = in_a_row(1)
    other = one.beside()

    def meanwhile(*arguments: object) -> int:
        monkeypatch.undo()
        assert other.end(True)
        return move(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(breakers, "move", meanwhile)
    assert "" == one.end(True)
    assert 1 == one.backend.trips


def test_with_no_limit_in_a_row_there_is_none() -> None:
    made = Circuit(BreakerSpec(None, 1.0, min_requests=1000))
    assert [""] * 100 == [made.end(True) for _ in range(100)]


def test_what_ends_while_it_is_open_is_old_news() -> None:
    made = opened()
    for failed in (True, False, True):
        assert "" == made.end(failed, 10.0)
    assert (30.0, 0) == (ends_at_s(made.backend.circuit()), made.table.get(ROW, IN_A_ROW))


def test_too_large_a_share_of_failures_opens_it() -> None:
    made = Circuit(BreakerSpec(None, 0.5, min_requests=20))
    said = [made.end(number % 2 == 0, 100.0) for number in range(19)]
    assert [""] * 19 == said
    assert "" == made.end(False, 100.0)  # 10 of 20, but a success is not what opens a circuit
    assert "circuit open for 30 s: 11 of 21 requests failed" == made.end(True, 100.0)


def test_a_smaller_share_does_not_open_it() -> None:
    made = Circuit(BreakerSpec(None, 0.5, min_requests=20))
    assert {""} == {made.end(number % 5 < 2, 100.0) for number in range(500)}


def test_a_window_begins_with_the_first_failure_after_the_last_one() -> None:
    """What was before it counts no more, be it good or bad."""
    made = Circuit(BreakerSpec(None, 0.5, min_requests=4, window_s=10.0))
    for _ in range(100):
        made.end(False, 100.0)
    assert ["", "", "", "circuit open for 30 s: 4 of 4 requests failed"] == [made.end(True, 200.0) for _ in range(4)]


def test_failures_of_another_window_are_not_added_up() -> None:
    made = Circuit(BreakerSpec(None, 0.5, min_requests=4, window_s=10.0))
    for window in range(10):
        assert [""] * 3 == [made.end(True, 100.0 + 10.0 * window + second) for second in (0.0, 4.0, 9.9)]


def test_the_rates_are_those_of_all_workers() -> None:
    one = Circuit(BreakerSpec(None, 0.5, min_requests=4))
    other = one.beside()
    assert ["", "", ""] == [one.end(True, 50.0), other.end(True, 50.0), one.end(False, 50.0)]
    assert "circuit open for 30 s: 3 of 4 requests failed" == other.end(True, 50.0)


def test_what_is_in_flight_has_neither_failed_nor_been_answered() -> None:
    made = Circuit(BreakerSpec(None, 0.5, min_requests=2))
    for _ in range(100):
        made.backend.begin()
    assert ["", "circuit open for 30 s: 2 of 2 requests failed"] == [made.end(True, 50.0) for _ in range(2)]


def test_too_large_a_share_of_slow_answers_opens_it() -> None:
    made = Circuit(BreakerSpec(None, None, 2.0, 0.5, min_requests=4))
    assert [""] * 3 == [made.end(False, 50.0, latency_s) for latency_s in (2.0, 1.9, 1.9)]
    assert "circuit open for 30 s: 2 of 4 answers took 2 s or longer" == made.end(False, 50.0, 9.0)


def test_slow_answers_below_the_share_do_not_open_it_nor_do_failures_without_a_rate_for_them() -> None:
    made = Circuit(BreakerSpec(None, None, 2.0, 0.5, min_requests=4))
    assert {""} == {made.end(number % 2 == 0, 50.0, 2.0 if number % 5 == 0 else 0.1) for number in range(100)}


def test_no_answer_at_all_is_not_a_slow_one() -> None:
    made = Circuit(BreakerSpec(None, None, 2.0, 0.5, min_requests=4))
    assert {""} == {made.end(True, 50.0, -1.0) for _ in range(100)}


def test_a_success_writes_nothing_while_all_is_well() -> None:
    made = Circuit(BreakerSpec())
    made.backend.begin()
    made.backend.finish(False)
    before = bytes(made.buffer)
    assert "" == made.breaker.note(ROW, False, 0.01, 5.0)
    assert before == bytes(made.buffer)


# Half-open.


def test_it_is_tried_when_its_time_is_over_and_not_before() -> None:
    made = opened()
    assert (False, 0) == (made.wait(29.999), made.breaker.admit(ROW, 29.999))
    assert (True, False) == (made.wait(30.0), made.wait(30.0))
    assert (State.HALF_OPEN, False) == (made.state, made.wait(1e9))


def test_one_request_at_a_time_is_let_through_whoever_asks() -> None:
    one = opened()
    other = one.beside()
    one.wait(30.0)
    trial = one.breaker.admit(ROW, 30.0)
    assert trial > 0
    assert [0, 0] == [one.breaker.admit(ROW, 31.0), other.breaker.admit(ROW, 31.0)]
    assert "circuit closed" == one.breaker.decide(ROW, trial, False, 0.01, 31.0)
    assert (State.CLOSED, 0) == (other.state, other.breaker.admit(ROW, 31.0))


def test_a_trial_that_fails_opens_it_again_for_as_long() -> None:
    made = opened()
    made.wait(30.0)
    trial = made.breaker.admit(ROW, 30.0)
    assert "circuit open for 30 s: the trial failed" == made.breaker.decide(ROW, trial, True, -1.0, 40.0)
    assert (State.OPEN, 70.0, 2) == (made.state, ends_at_s(made.backend.circuit()), made.backend.trips)


def test_a_slow_trial_has_failed() -> None:
    made = Circuit(BreakerSpec(1, None, 2.0))
    made.end(True)
    made.wait(30.0)
    said = made.breaker.decide(ROW, made.breaker.admit(ROW, 30.0), False, 2.0, 32.0)
    assert "circuit open for 30 s: the trial took 2 s or longer" == said


def test_as_many_trials_in_a_row_as_are_wanted_close_it() -> None:
    made = opened(trials=3)
    made.wait(30.0)
    said = [made.breaker.decide(ROW, made.breaker.admit(ROW, 30.0), False, 0.01, 31.0) for _ in range(3)]
    assert ["", "", "circuit closed"] == said
    assert (State.CLOSED, 0) == (made.state, made.table.get(ROW, IN_A_ROW))


def test_one_of_them_that_fails_begins_the_count_anew() -> None:
    made = opened(trials=2)
    for start in (30.0, 70.0):
        made.wait(start)
        assert "" == made.breaker.decide(ROW, made.breaker.admit(ROW, start), False, 0.01, start)
        assert "circuit open" in made.breaker.decide(ROW, made.breaker.admit(ROW, start), True, 0.01, start)


def test_a_trial_without_a_verdict_leaves_room_for_another() -> None:
    made = opened()
    made.wait(30.0)
    trial = made.breaker.admit(ROW, 30.0)
    assert "" == made.breaker.decide(ROW, trial, False, -1.0, 31.0)
    assert State.HALF_OPEN is made.state
    assert made.breaker.admit(ROW, 31.0) > 0


def test_a_trial_that_never_ends_is_given_up_and_has_nothing_to_say_any_more() -> None:
    made = opened(trials=2)
    made.wait(30.0)
    lost = made.breaker.admit(ROW, 30.0)
    assert [False, True] == [made.wait(59.9), made.wait(60.0)]
    trial = made.breaker.admit(ROW, 60.5)
    for failed, latency_s in ((True, -1.0), (False, -1.0), (False, 0.01)):
        assert "" == made.breaker.decide(ROW, lost, failed, latency_s, 61.0)
        assert trial == made.breaker.circuit(ROW)


def test_one_that_takes_longer_than_it_was_open_is_not_lost_while_it_may_still_be_answered() -> None:
    """Else there would be a second trial beside it, and no slow answer would ever close the circuit."""
    made = opened()
    made.wait(30.0)
    patient = Breaker(made.spec, made.table, CIRCUIT, False, longest_s=69.0)
    trial = patient.admit(ROW, 30.0)
    assert [False, 0] == [made.wait(98.9), patient.admit(ROW, 98.9)]
    assert "circuit closed" == patient.decide(ROW, trial, False, 68.9, 98.9)


def test_a_lost_trial_does_not_close_it_either() -> None:
    made = opened()
    made.wait(30.0)
    lost = made.breaker.admit(ROW, 30.0)
    made.wait(60.0)
    assert ("", State.HALF_OPEN) == (made.breaker.decide(ROW, lost, False, 0.01, 61.0), made.state)


def test_what_had_opened_it_is_not_counted_again() -> None:
    """Its window may be longer than it was open."""
    made = Circuit(BreakerSpec(None, 0.5, min_requests=10, window_s=60.0, open_for_s=1.0))
    assert made.end(True, 100.0) == ""
    assert [""] * 8 == [made.end(True, 100.0) for _ in range(8)]
    assert made.end(True, 100.0)
    made.wait(101.0)
    assert made.breaker.decide(ROW, made.breaker.admit(ROW, 101.0), False, 0.01, 101.0)
    assert made.table.get(ROW, RATES_FROM) != 0
    assert [""] * 9 == [made.end(True, 102.0) for _ in range(9)]
    assert made.end(True, 102.0)


# One for a whole pool.


def test_that_of_a_pool_counts_for_itself() -> None:
    """Its row is that of a tier: what is in flight there is the tier's business, and nobody else counts the rest."""
    table = Table(bytearray(Table.size_bytes(1, 1)), 1)
    breaker = Breaker(BreakerSpec(None, 0.5, min_requests=4), table, POOL_CIRCUIT, True)
    assert [""] * 3 == [breaker.note(0, failed, 0.01, 50.0) for failed in (True, True, False)]
    assert "circuit open for 30 s: 3 of 4 requests failed" == breaker.note(0, True, 0.01, 50.0)
    assert wait_is_over(table, 0, POOL_CIRCUIT, breaker.circuit(0), 80.0)
    assert "circuit closed" == breaker.decide(0, breaker.admit(0, 80.0), False, 0.01, 81.0)


def test_a_trial_that_was_given_up_has_nothing_to_say() -> None:
    """Neither of two trials in a row, nor of the one that closes it."""
    table = Table(bytearray(Table.size_bytes(ROW + 1, 1)), ROW + 1)
    rules = Breaker(BreakerSpec(consecutive_failures=1, open_for_s=10.0, trials=2), table, CIRCUIT, False)
    assert rules.note(ROW, True, -1.0, 0.0)
    assert wait_is_over(table, ROW, CIRCUIT, rules.circuit(ROW), 10.1)
    lost = rules.admit(ROW, 10.1)
    assert wait_is_over(table, ROW, CIRCUIT, rules.circuit(ROW), 20.2)
    first = rules.admit(ROW, 20.2)
    assert "" == rules.decide(ROW, lost, False, 10.2, 20.3)
    assert "" == rules.decide(ROW, first, False, 0.1, 20.4)
    assert State.HALF_OPEN is state_of(rules.circuit(ROW))
    second = rules.admit(ROW, 20.5)
    assert wait_is_over(table, ROW, CIRCUIT, rules.circuit(ROW), 31.0)
    assert "" == rules.decide(ROW, second, False, 0.1, 31.1)
    assert State.HALF_OPEN is state_of(rules.circuit(ROW))


def test_a_failure_that_is_counted_late_is_no_trial_that_passed() -> None:
    """By a worker that saw the circuit closed before another one opened it."""
    table = Table(bytearray(Table.size_bytes(ROW + 1, 1)), ROW + 1)
    rules = Breaker(BreakerSpec(consecutive_failures=5, open_for_s=10.0, trials=2), table, CIRCUIT, False)
    for _ in range(5):
        rules.note(ROW, True, -1.0, 0.0)
    table.fetch_add(ROW, IN_A_ROW, 1)
    wait_is_over(table, ROW, CIRCUIT, rules.circuit(ROW), 10.1)
    assert "" == rules.decide(ROW, rules.admit(ROW, 10.1), False, 0.1, 10.2)
    assert State.HALF_OPEN is state_of(rules.circuit(ROW))


def test_a_trial_without_a_verdict_takes_nothing_from_those_before() -> None:
    table = Table(bytearray(Table.size_bytes(ROW + 1, 1)), ROW + 1)
    rules = Breaker(BreakerSpec(consecutive_failures=1, open_for_s=10.0, trials=2), table, CIRCUIT, False)
    rules.note(ROW, True, -1.0, 0.0)
    wait_is_over(table, ROW, CIRCUIT, rules.circuit(ROW), 10.1)
    rules.decide(ROW, rules.admit(ROW, 10.1), False, 0.1, 10.2)
    rules.decide(ROW, rules.admit(ROW, 10.3), False, -1.0, 10.4)
    assert "circuit closed" == rules.decide(ROW, rules.admit(ROW, 10.5), False, 0.1, 10.6)
