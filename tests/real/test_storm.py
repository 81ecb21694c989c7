"""No storm of retries: with every backend failing, two workers try at most 1.2 times as often as they are asked, plus
three, which are free in each ten seconds. docs/cases.md E 51, docs/retries.md.

It is counted at the backends, and by the balancer, and both must agree.
"""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from time import monotonic
from typing import Any, Final

import pytest

from steelyard.testing import FaultyBackend, faults
from steelyard.testing.faults import Answer, Fault
from tests.processes.balancer import balancing, with_workers
from tests.real.support import ON_UVLOOP

CLIENTS: Final = 16
REQUESTS: Final = 40  # of each
BUDGET: Final = 0.2
FLOOR: Final = 3
WINDOW_S: Final = 10.0


@ON_UVLOOP
@pytest.mark.parametrize("ejection", [{}, {"ejection": {"max_ejected": "100%", "penalty": "200ms"}}])
@pytest.mark.parametrize(
    ("fault", "status"),
    [(Answer(503), 503), (faults.Close(), 502), (faults.Reset(), 502), (faults.Close("accept"), 502)],
)
async def test_with_every_backend_failing_tries_stay_within_the_budget(
    tmp_path: Path, fault: Fault, status: int, ejection: dict[str, Any]
) -> None:
    """GET, which may run twice. Nothing was answered well before, so no retry was earned by it."""
    async with AsyncExitStack() as stack:
        behind = [await stack.enter_async_context(FaultyBackend(f"b{number}")) for number in range(3)]
        for one in behind:
            one.fault = fault
        config = with_workers(2, *[one.port for one in behind], retry={"on_status": [503]}, **ejection)
        lb = await stack.enter_async_context(balancing(tmp_path, config))

        async def ask() -> list[int]:
            client = await lb.client()
            statuses = [(await client.ask()).status for _ in range(REQUESTS)]
            client.close()
            return statuses

        began = monotonic()
        assert [[status] * REQUESTS] * CLIENTS == await asyncio.gather(*[ask() for _ in range(CLIENTS)])
        free = FLOOR * (1 + (monotonic() - began) // WINDOW_S)  # a slow machine needs longer than one window
        asked = CLIENTS * REQUESTS
        counted = (await lb.status())["counters"]
        # One that closes what it accepts is tried by a connection, whether a request was sent or not.
        tries = sum(one.connections if fault == faults.Close("accept") else len(one.requests) for one in behind)
        assert asked * (1 + BUDGET / 2) < tries <= asked * (1 + BUDGET) + free
        assert tries == asked + counted["retries"]
        assert 2 * asked - counted["retries"] >= counted["retries_refused"] > 0
