"""Which event loop a command runs in: uvloop where it is installed, asyncio's own elsewhere."""

import asyncio
from collections.abc import Coroutine
from typing import Any


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run it to its end in a loop of its own."""
    try:
        from uvloop import run as run_loop
    except ImportError:
        asyncio.run(main)
    else:
        run_loop(main)
