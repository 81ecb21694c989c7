"""crew.py: how many tasks a worker may hold. What it does with processes: test_local_pool.py."""

from steelyard.backends.crew import AHEAD_S, MOST_AHEAD, Member


def test_a_worker_may_hold_as_much_as_it_does_in_a_moment() -> None:
    for task_s, held in ((1.0, 1), (AHEAD_S, 1), (AHEAD_S / 2, 2), (AHEAD_S / 5, 4), (AHEAD_S / 1000, MOST_AHEAD)):
        assert held == Member(0, "add-0", "m:add").paced(10 * task_s, 10)
    assert MOST_AHEAD == Member(0, "add-0", "m:add").paced(0.0, 10)


def test_one_slow_task_among_quick_ones_is_felt_at_once_and_forgotten_in_time() -> None:
    member = Member(0, "add-0", "m:add")
    assert MOST_AHEAD == member.paced(0.00001, 1)
    assert 1 == member.paced(1.0, 1)
    held = [member.paced(0.00001, 1) for _ in range(60)]
    assert MOST_AHEAD == held[-1]
    assert sorted(held) == held
