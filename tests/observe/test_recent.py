"""observe/recent.py: the latest requests, and no more of them than there is room for."""

import pytest

from steelyard.core.policy import Pick
from steelyard.observe.recent import Recent
from tests.fakes_core import a_pool, no_chance


def paths(recent: Recent) -> list[tuple[int, str, str, str]]:
    return [(request.key, listener, pool, backend) for request, listener, pool, backend in recent.latest()]


def test_nothing_is_remembered_at_first() -> None:
    assert [] == Recent(3).latest()


@pytest.mark.parametrize("count", range(9))
@pytest.mark.parametrize("size", [1, 3])
def test_the_latest_come_oldest_first_and_older_ones_are_overwritten(size: int, count: int) -> None:
    recent = Recent(size)
    for key in range(count):
        recent.add(Pick(no_chance, key), f"listener {key}", f"pool {key}", f"backend {key}")
    expected = range(max(0, count - size), count)
    assert [(key, f"listener {key}", f"pool {key}", f"backend {key}") for key in expected] == paths(recent)


def test_to_be_looked_at_changes_nothing() -> None:
    recent = Recent(2)
    recent.add(Pick(no_chance, 1), "web", "-", "-")
    assert paths(recent) == paths(recent) == [(1, "web", "-", "-")]


def test_a_request_that_is_remembered_keeps_no_backend_alive() -> None:
    request = Pick(no_chance, tried=list(a_pool().backends))
    Recent(1).add(request, "web", "web", "a:80")
    assert request.tried is None
