"""A directory for policies of one's own, and none of them left when the test is over."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.control.own import OwnPolicies, own_policies


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OwnPolicies]:
    with own_policies(tmp_path) as made:
        yield made
