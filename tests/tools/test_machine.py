"""tools/machine.py: the picture and the table show what the state machine's table says, all of it and no more."""

import re
from enum import Enum
from typing import Any
from xml.etree import ElementTree

import pytest

from steelyard.core import breaker, health
from tools import machine


class State(Enum):
    """Three states of a door."""

    OPEN = "open"
    SHUT = "shut"
    LOCKED = "locked & bolted"


class Event(Enum):
    """What happens to it."""

    PUSH = "pushed"
    TURN_KEY = "key turned"


DOOR: dict[State, dict[Event, State]] = {
    State.OPEN: {Event.PUSH: State.SHUT, Event.TURN_KEY: State.OPEN},
    State.SHUT: {Event.PUSH: State.OPEN, Event.TURN_KEY: State.LOCKED},
    State.LOCKED: {Event.PUSH: State.LOCKED, Event.TURN_KEY: State.SHUT},
}


def test_an_arc_is_a_change_with_all_events_that_make_it() -> None:
    assert {
        (State.OPEN, State.SHUT): [Event.PUSH],
        (State.SHUT, State.OPEN): [Event.PUSH],
        (State.SHUT, State.LOCKED): [Event.TURN_KEY],
        (State.LOCKED, State.SHUT): [Event.TURN_KEY],
    } == machine.arcs(DOOR)


@pytest.mark.parametrize(
    ("table", "good"),
    [
        (DOOR, {State.OPEN}),
        (health.TRANSITIONS, health.HEALTHY),
        (breaker.TRANSITIONS, breaker.LETS_THROUGH),
    ],
)
def test_the_picture_is_xml_with_one_path_an_arc_and_one_box_a_state(table: Any, good: Any) -> None:
    text = machine.picture(table, good, "a < b & c")
    ElementTree.fromstring(text)
    assert len(machine.arcs(table)) == text.count("marker-end")
    assert len(table) == text.count('rx="8"')
    assert len(good) == text.count("#dafbe1")


def test_nothing_is_drawn_outside_of_the_picture() -> None:
    root = ElementTree.fromstring(machine.picture(health.TRANSITIONS, health.HEALTHY, "health"))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for element in root:
        if element.tag.endswith("text"):
            assert 0 < float(element.attrib["x"]) < width
            assert 10 < float(element.attrib["y"]) < height
        elif element.tag.endswith("path"):
            # A cubic stays within three quarters of the way to its control points.
            x0, y0, _, control, *_, x1, _ = map(float, re.findall(r"-?\d+", element.attrib["d"]))
            assert 0 < min(x0, x1) <= max(x0, x1) < width
            assert 0 < y0 + (control - y0) * 3 / 4 < height


def test_the_table_has_a_row_for_each_event_and_where_it_leads_from_each_state() -> None:
    assert [
        "| event | what was seen | from open | from shut | from locked |",
        "| --- | --- | --- | --- | --- |",
        "| push | pushed | shut | open | locked |",
        "| turn key | key turned | open | locked | shut |",
    ] == machine.markdown(DOOR).splitlines()
