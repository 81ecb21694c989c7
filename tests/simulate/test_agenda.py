"""The agenda: events come in order of time, and those of one time in the order in which they were noted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.simulate.agenda import FIRST_ROOM, Agenda


@given(st.lists(st.one_of(st.none(), st.integers(0, 5)), max_size=120))
def test_it_agrees_with_a_sorted_list(steps: list[int | None]) -> None:
    """None takes the next event, a number notes one at that time: few times, so that many are equal."""
    agenda = Agenda()
    model: list[tuple[float, int]] = []
    for turn, step in enumerate(steps):
        if step is not None:
            agenda.note(step / 2, turn)
            model.append((step / 2, turn))
        elif model:
            model.sort()
            time, what = model.pop(0)
            assert time == agenda.first()
            assert (what, time) == (agenda.take(), agenda.time)
        assert len(model) == agenda.count
    model.sort()
    assert [what for _, what in model] == [agenda.take() for _ in range(len(model))]


def test_it_grows_and_keeps_the_order() -> None:
    agenda = Agenda()
    count = 5 * FIRST_ROOM
    for what in range(count):
        agenda.note(float(what * 7919 % count), what)
    taken = [(agenda.take(), agenda.time) for _ in range(count)]
    assert [float(at) for at in range(count)] == [time for _, time in taken]
    assert all(time == what * 7919 % count for what, time in taken)


def test_there_must_be_something_to_take() -> None:
    with pytest.raises(AssertionError, match="nothing will happen to them any more"):
        Agenda().take()
