"""backends/task.py: what a function is given."""

from dataclasses import FrozenInstanceError

import pytest

import steelyard
from steelyard.backends.task import Task


def test_a_task_is_made_by_hand_from_a_body_alone() -> None:
    task = Task(b"1 2")
    assert (b"1 2", "", "/", {}, "", "POST", "") == (
        *(task.body, task.content_type, task.path, task.headers),
        *(task.query, task.method, task.worker),
    )
    assert {} == Task(b"").headers
    assert Task(b"").headers is not task.headers


def test_a_task_is_not_changed_by_the_function_that_has_it() -> None:
    with pytest.raises(FrozenInstanceError):
        Task(b"").body = b"other"  # type: ignore[misc]


def test_the_front_door_has_it_and_nothing_that_is_not_there() -> None:
    assert steelyard.Task is Task
    assert steelyard.TaskRefused("no").status == 422
    with pytest.raises(AttributeError, match="has no attribute 'Tusk'"):
        _ = steelyard.Tusk
