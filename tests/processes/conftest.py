"""What the tests with real processes share."""

from collections.abc import Iterator

import pytest

from tests.processes.anyone import NOBODY, Anyone, somebody

# What a failing assertion compared is said for these, too.
pytest.register_assert_rewrite("tests.processes.balancer")


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
