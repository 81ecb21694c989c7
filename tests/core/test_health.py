"""core/health.py: the whole table, and what comes of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.health import HEALTHY, TRANSITIONS, Event, HealthMachine, State
from steelyard.core.table import HEALTH_SHIFT, SETTLED, UP

N, U, F, D, R = State.NEW, State.UP, State.FALLING, State.DOWN, State.RISING

# state: after PASSED, ROSE, FAILED, FELL, ANSWERED, CONDEMNED
EXPECTED = {
    N: (U, U, D, D, U, D),
    U: (U, U, F, D, U, D),
    F: (U, U, F, D, U, D),
    D: (R, U, D, D, D, D),
    R: (R, U, D, D, R, D),
}


@pytest.mark.parametrize("state", State)
def test_the_table_is_whole_and_as_agreed(state: State) -> None:
    assert EXPECTED[state] == tuple(TRANSITIONS[state][event] for event in Event)


def test_new_up_and_falling_take_requests() -> None:
    assert {N, U, F} == HEALTHY


def test_a_backend_is_believed_in_until_the_first_result_which_counts_at_once() -> None:
    machine = HealthMachine(rise=2, fall=3)
    assert machine.healthy
    assert machine.failed()
    assert D is machine.state
    other = HealthMachine(rise=2, fall=3)
    assert not other.passed()
    assert U is other.state


def test_it_falls_with_the_last_failure_in_a_row_and_not_before() -> None:
    machine = HealthMachine(rise=2, fall=3)
    machine.passed()
    assert [False, False, True, False] == [machine.failed() for _ in range(4)]


def test_it_rises_with_the_last_pass_in_a_row_and_not_before() -> None:
    machine = HealthMachine(rise=2, fall=3)
    machine.condemned()
    assert [False, True, False] == [machine.passed() for _ in range(3)]


@pytest.mark.parametrize("state", State)
def test_the_first_pass_of_a_new_process_counts_at_once(state: State) -> None:
    machine = HealthMachine(9, 9)
    machine.state = state
    assert (state not in HEALTHY) == machine.rose()
    assert (State.UP, 0) == (machine.state, machine.in_a_row)


def test_a_pass_between_failures_begins_the_count_anew() -> None:
    machine = HealthMachine(rise=1, fall=2)
    machine.passed()
    assert [False, False, False, True] == [machine.failed(), machine.passed(), machine.failed(), machine.failed()]


def test_a_failure_between_passes_begins_the_count_anew() -> None:
    machine = HealthMachine(rise=2, fall=1)
    machine.failed()
    assert [False, False, False, True] == [machine.passed(), machine.failed(), machine.passed(), machine.passed()]


def test_an_answer_forgives_failures() -> None:
    machine = HealthMachine(rise=2, fall=2)
    machine.passed()
    machine.failed()
    assert not machine.answered()
    assert (U, 0) == (machine.state, machine.in_a_row)
    assert not machine.failed()


def test_an_answer_brings_nobody_back_nor_takes_from_the_count() -> None:
    machine = HealthMachine(rise=3, fall=1)
    machine.condemned()
    assert not machine.answered()
    machine.passed()
    machine.passed()
    assert not machine.answered()
    assert (R, 2) == (machine.state, machine.in_a_row)
    assert machine.passed()


def test_condemning_says_once_that_it_went_down() -> None:
    machine = HealthMachine(rise=2, fall=3)
    assert [True, False] == [machine.condemned(), machine.condemned()]


def test_the_cell_that_needs_no_answer_is_that_of_a_machine_which_one_would_not_move() -> None:
    machine = HealthMachine(rise=2, fall=2)
    codes = [machine.code]
    for event in ("answered", "failed", "answered"):
        getattr(machine, event)()
        codes.append(machine.code << HEALTH_SHIFT | UP)
    assert [False, True, False, True] == [code == SETTLED for code in codes]


@given(st.sampled_from(State), st.integers(0, 1000))
def test_where_it_stands_is_one_number(state: State, in_a_row: int) -> None:
    machine, other = HealthMachine(2, 3), HealthMachine(2, 3)
    assert 0 == machine.code
    machine.state, machine.in_a_row = state, in_a_row
    other.load(machine.code)
    assert (state, in_a_row) == (other.state, other.in_a_row)


@given(
    st.integers(1, 4),
    st.integers(1, 4),
    st.lists(st.sampled_from(["passed", "failed", "answered", "condemned"]), max_size=40),
)
def test_it_does_what_the_rule_says_in_words(rise: int, fall: int, story: list[str]) -> None:
    """The rule again, without states: look back at the last run of equal results."""
    machine = HealthMachine(rise, fall)
    up, known, against, on_its_side = True, False, 0, 0
    for event in story:
        before = up
        if event == "condemned":
            up, against, on_its_side = False, 0, 0
        elif event == "failed":
            on_its_side, against = 0, against + 1
            up = up and known and against < fall
        elif event == "passed":
            against, on_its_side = 0, on_its_side + 1
            up = up or on_its_side >= rise
        elif up:
            against = 0
        known = True
        if not up:
            against = 0
        else:
            on_its_side = 0
        assert (up != before) == getattr(machine, event)()
        assert up == machine.healthy
