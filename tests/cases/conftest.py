"""The cases of docs/cases.md, each by its number, on real sockets; on asyncio's own loop and on uvloop.

Those of processes run on uvloop alone, since what they are about is elsewhere.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import pytest
import uvloop

from steelyard import worker
from steelyard.proxy.clock import Wheel
from tests.cases.clock import Clock

# What a failing assertion compared is said for these, too.
pytest.register_assert_rewrite(
    "tests.cases.scene", "tests.real.backends", "tests.real.client", "tests.real.support", "tests.processes.balancer"
)

HERE: Final = Path(__file__).parent
ON_UVLOOP_ALONE: Final = {"test_g_reload.py"}


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    both: dict[str, Callable[[], asyncio.AbstractEventLoop]]
    both = {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}
    return {"uvloop": both["uvloop"]} if item.path.name in ON_UVLOOP_ALONE else both


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.real)


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Clock]:
    """What the balancers of this test measure the deadlines of requests and connections with."""
    clock = Clock()
    monkeypatch.setattr(worker, "Wheel", partial(Wheel, clock=clock))
    clock.start()
    yield clock
    clock.stop()
