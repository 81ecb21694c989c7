"""results.py: what is said of a task."""

import pickle

from steelyard.backends.results import CANNOT_SAY, Result, TaskFailed, WorkerDied
from tests.backends import work


def test_a_result_says_who_did_what() -> None:
    worker, task, value = Result("add-0", 1, 2)
    assert ("add-0", 1, 2) == (worker, task, value)


def test_a_failure_says_which_task_where_and_why() -> None:
    failure = TaskFailed("photo.jpg", "image-0", ValueError("no image"))
    assert "task 'photo.jpg' at image-0: ValueError: no image" == str(failure)
    assert "task 7: the worker was killed by SIGKILL" == str(
        TaskFailed(7, None, WorkerDied("the worker was killed by SIGKILL"))
    )


def test_the_cause_is_the_cause_for_python_too() -> None:
    cause = ValueError("no image")
    failure = TaskFailed(1, "image-0", cause)
    assert (cause, cause) == (failure.cause, failure.__cause__)


def test_a_huge_task_is_said_briefly() -> None:
    assert 200 > len(str(TaskFailed("x" * 10_000_000, "image-0", ValueError("no"))))


def test_a_failure_can_be_carried_to_another_process() -> None:
    failure = pickle.loads(pickle.dumps(TaskFailed(1, "image-0", ValueError("no"))))
    assert "task 1 at image-0: ValueError: no" == str(failure)
    assert isinstance(failure.__cause__, ValueError)


def test_a_cause_that_cannot_say_what_it_is_can_be_told_of_all_the_same() -> None:
    assert f"task 1 at image-0: Unspeakable: {CANNOT_SAY}" == str(TaskFailed(1, "image-0", work.Unspeakable()))
