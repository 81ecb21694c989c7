"""Is a backend up? A machine of five states, fed by checks and by the traffic itself.

Pure: it is told what happened and says the state. A backend is believed in (NEW) until the first result, which
counts at once; after that it takes `fall` failures in a row to go down and `rise` passed checks in a row to come
back. Traffic may only speak against a backend that is up: an answer forgives its failures, but brings nobody
back, for what answers may be an old connection of a server that takes no new ones.

The table is the whole machine: a pair that is missing is a bug. The picture in the documentation is drawn from it.
Where it stands is one whole number (`code`), which lies in the shared table beside the status: so checks made by one
process and failures seen by others move the same machine, and one that starts anew finds it as it was.
Source: h11 `_state.py` (transitions as data), HAProxy (rise 2, fall 3).
"""

from enum import Enum
from typing import Final


class State(Enum):
    """What is believed of a backend."""

    NEW = "new"  # nothing known yet: up until shown otherwise
    UP = "up"
    FALLING = "falling"  # up, with failures against it
    DOWN = "down"
    RISING = "rising"  # down, with passed checks for it


class Event(Enum):
    """What was seen of a backend."""

    PASSED = "check passed"
    ROSE = "check passed, the last one needed"
    FAILED = "check or connect failed"
    FELL = "check or connect failed, the last one allowed"
    ANSWERED = "answered a request"
    CONDEMNED = "marked down"


_ALWAYS: Final = {Event.CONDEMNED: State.DOWN}

TRANSITIONS: Final[dict[State, dict[Event, State]]] = {
    State.NEW: {
        Event.PASSED: State.UP,
        Event.ROSE: State.UP,
        Event.FAILED: State.DOWN,
        Event.FELL: State.DOWN,
        Event.ANSWERED: State.UP,
        **_ALWAYS,
    },
    State.UP: {
        Event.PASSED: State.UP,
        Event.ROSE: State.UP,
        Event.FAILED: State.FALLING,
        Event.FELL: State.DOWN,
        Event.ANSWERED: State.UP,
        **_ALWAYS,
    },
    State.FALLING: {
        Event.PASSED: State.UP,
        Event.ROSE: State.UP,
        Event.FAILED: State.FALLING,
        Event.FELL: State.DOWN,
        Event.ANSWERED: State.UP,
        **_ALWAYS,
    },
    State.DOWN: {
        Event.PASSED: State.RISING,
        Event.ROSE: State.UP,
        Event.FAILED: State.DOWN,
        Event.FELL: State.DOWN,
        Event.ANSWERED: State.DOWN,
        **_ALWAYS,
    },
    State.RISING: {
        Event.PASSED: State.RISING,
        Event.ROSE: State.UP,
        Event.FAILED: State.DOWN,
        Event.FELL: State.DOWN,
        Event.ANSWERED: State.RISING,
        **_ALWAYS,
    },
}

HEALTHY: Final = frozenset({State.NEW, State.UP, State.FALLING})

# A code: the state's place in this list in the lowest bits, the count above them. Zeroed memory is NEW.
_STATES: Final = tuple(State)
_STATE_BITS: Final = 7
_COUNT_SHIFT: Final = 3


class HealthMachine:
    """One backend's health. rise, fall: how many in a row bring it up or take it down, at least 1.

    in_a_row: passed checks while RISING, failures while FALLING, else 0.
    """

    __slots__ = ("fall", "in_a_row", "rise", "state")

    def __init__(self, rise: int, fall: int) -> None:
        self.rise = rise
        self.fall = fall
        self.state = State.NEW
        self.in_a_row = 0

    @property
    def healthy(self) -> bool:
        """Whether requests may go there."""
        return self.state in HEALTHY

    @property
    def code(self) -> int:
        """Where it stands, as a whole number from 0 on."""
        return self.in_a_row << _COUNT_SHIFT | _STATES.index(self.state)

    def load(self, code: int) -> None:
        """Stand where such a number says."""
        self.state = _STATES[code & _STATE_BITS]
        self.in_a_row = code >> _COUNT_SHIFT

    def passed(self) -> bool:
        """A check passed. This and its sisters return whether the backend came up or went down by it."""
        runs = self.in_a_row + 1 if self.state is State.RISING else 1
        return self._move(Event.ROSE if runs >= self.rise else Event.PASSED, State.RISING, runs)

    def failed(self) -> bool:
        """A check failed, or a connect that a request needed."""
        runs = self.in_a_row + 1 if self.state is State.FALLING else 1
        return self._move(Event.FELL if runs >= self.fall else Event.FAILED, State.FALLING, runs)

    def rose(self) -> bool:
        """A check of a server that has just been started passed: that counts at once."""
        return self._move(Event.ROSE, State.RISING, 0)

    def answered(self) -> bool:
        """A request got an answer."""
        return self._move(Event.ANSWERED, self.state, self.in_a_row)

    def condemned(self) -> bool:
        """Somebody knows that it is down."""
        return self._move(Event.CONDEMNED, self.state, 0)

    def _move(self, event: Event, counting: State, runs: int) -> bool:
        """Go where the table says; keep the count only where that state goes on counting."""
        was_healthy = self.healthy
        self.state = TRANSITIONS[self.state][event]
        self.in_a_row = runs if self.state is counting else 0
        return self.healthy is not was_healthy
