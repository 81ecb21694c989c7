"""A process takes as many descriptors as the system lets it."""

import resource
import subprocess
import sys

import pytest

PROGRAM = """
import resource
from steelyard.processes.limits import raise_file_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 200))
raise_file_limit()
raise_file_limit()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.real
def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= 200
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=30)
    assert "200 200\n" == done.stdout
