"""Everything here runs on asyncio's own loop, as embedding programs may, and on uvloop, as `steelyard run` does.

`@ON_UVLOOP` (support.py) keeps a long test to the loop that is used in production.
"""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pytest
import uvloop

# What a failing assertion compared is said for these, too.
pytest.register_assert_rewrite("tests.real.backends", "tests.real.client", "tests.real.support")

HERE: Final = Path(__file__).parent


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.real)
