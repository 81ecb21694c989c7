"""control/prober.py: checks that go on whatever happens. Real checks are in tests/real/test_health.py."""

import asyncio
import logging

import pytest

from steelyard.control.prober import Prober
from steelyard.core.backend import Backend
from steelyard.core.spec import HealthCheckSpec
from tests.fakes_core import a_pool


class Broken(Prober):
    """A prober with a bug that shows in its first checks alone."""

    probes = 0
    well = asyncio.Event()

    async def probe(self, backend: Backend) -> tuple[str | None, bool]:
        self.probes += 1
        if self.probes < 4:
            raise UnicodeError("label too long")
        if backend.healthy:
            self.well.set()
        return None, True


async def test_a_check_that_itself_fails_counts_as_failed_is_said_and_is_made_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A backend that nobody checks any more would stay as it is for ever."""
    pool = a_pool(1, check=HealthCheckSpec(interval_s=0.001, rise=1))
    with caplog.at_level(logging.INFO, "steelyard"):
        prober = Broken(asyncio.get_running_loop(), pool)
        await asyncio.wait_for(prober.well.wait(), 10)
        prober.stop()
    assert [line for line in caplog.messages if "[down]" in line and "the check itself failed: label too long" in line]
    assert pool.backends[0].healthy
