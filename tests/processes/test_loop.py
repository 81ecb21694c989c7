"""A command runs in uvloop's loop where there is one, in asyncio's own elsewhere."""

import asyncio
import sys

import pytest

from steelyard.processes import loop


def module_of_the_loop() -> str:
    """Where the class of the loop that a command gets comes from."""
    found: list[str] = []

    async def main() -> None:
        found.append(type(asyncio.get_running_loop()).__module__)

    loop.run(main())
    return found[0]


def test_with_uvloop_it_is_uvloops() -> None:
    pytest.importorskip("uvloop")
    assert "uvloop" == module_of_the_loop()


def test_without_uvloop_it_is_asyncios(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert module_of_the_loop().startswith("asyncio.")
