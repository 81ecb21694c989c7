"""What the tests of processes share.

What the processes of a balancer run on is uvloop where it is installed; a channel is tried on asyncio's loop too.
"""

import asyncio
import signal
from collections.abc import Callable, Iterator, Mapping

import pytest
import uvloop

from tests.processes.anyone import NOBODY, Anyone, somebody

ON_BOTH_LOOPS = {"test_wire.py"}
# They start programs as another user, which uvloop's subprocesses cannot.
ON_ASYNCIO = {"test_bad_input.py", "test_user.py"}

# Under nohup we would hand on that it is ignored, and a reload by it would never come.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# What a failing assertion compared is said for these, too.
pytest.register_assert_rewrite("tests.processes.balancer")


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    both: dict[str, Callable[[], asyncio.AbstractEventLoop]]
    both = {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}
    if item.path.name in ON_BOTH_LOOPS:
        return both
    loop = "asyncio" if item.path.name in ON_ASYNCIO else "uvloop"
    return {loop: both[loop]}


@pytest.fixture
def anyone() -> Iterator[Anyone]:
    """Somebody who is not root, with a directory of its own."""
    with somebody(NOBODY) as found:
        yield found


@pytest.fixture
def roots() -> Iterator[Anyone]:
    """A directory of root's that everybody may look into."""
    with somebody("root") as found:
        yield found
