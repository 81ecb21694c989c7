"""processes/memory.py: memory that is as long as it ever will be."""

import os

import pytest

from steelyard.processes.memory import shared_memory


def test_it_is_zeroed_and_cannot_be_made_shorter() -> None:
    memory = shared_memory(8192)
    assert bytes(8192) == os.pread(memory, 9000, 0)
    with pytest.raises(PermissionError):
        os.ftruncate(memory, 4096)
    os.close(memory)
