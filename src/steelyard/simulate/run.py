"""Run one policy through a scenario, in pieces short enough for a progress bar and for Ctrl-C.

The clock by which a policy of somebody else's is watched (core/guard.py) stands still, as the virtual one does while
a policy thinks: its errors are caught as in the data plane, but how fast this machine is changes no result.
"""

from collections.abc import Callable
from time import process_time
from typing import Final

from steelyard.core.guard import Outside
from steelyard.core.spec import PolicySpec
from steelyard.simulate.engine import Engine
from steelyard.simulate.report import Outcome, outcome
from steelyard.simulate.scenario import Scenario

FIRST_PIECE: Final = 256
PIECE_S: Final = 0.05  # of CPU time: ten steps of a bar a second on a slow machine
SHORTEST_PIECE: Final = 1


def _unwatched(done: int) -> None:
    pass


def simulate(
    scenario: Scenario, policy: PolicySpec, label: str | None = None, progress: Callable[[int], None] = _unwatched
) -> Outcome:
    """Simulate all requests under one policy.

    label: what the policy is called in the report. progress: told now and then how many requests have ended.
    Raises what a policy raises when it is made; KeyError for a name that nobody registered.
    """
    notes: list[str] = []
    began = process_time()
    engine = Engine(scenario, policy, Outside(clock=lambda: 0.0, report=notes.append))
    piece = FIRST_PIECE
    going = True
    while going:
        piece_began = process_time()
        going = engine.run(piece)
        took_s = process_time() - piece_began
        if took_s < PIECE_S:
            piece *= 2
        elif took_s > 4 * PIECE_S:  # steps differ: what was short may grow long, and nothing can stop us within it
            piece = max(SHORTEST_PIECE, piece // 4)
        progress(engine.done)
    return outcome(engine, label or policy.name, process_time() - began, tuple(notes))
