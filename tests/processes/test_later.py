"""What is to be done later is done once, when it is due."""

import time

from steelyard.processes.later import Later


def test_without_a_pause_it_is_done_at_once() -> None:
    done: list[str] = []
    later = Later()
    later.after(0.0, lambda: done.append("a"))
    assert ["a"] == done
    later.do(time.monotonic() + 100)
    assert ["a"] == done


def test_it_is_done_when_it_is_due_and_once() -> None:
    done: list[str] = []
    later, now = Later(), time.monotonic()
    later.after(60.0, lambda: done.append("b"))
    later.after(30.0, lambda: done.append("a"))
    later.do(now + 29.0)
    assert [] == done
    later.do(now + 31.0)
    later.do(now + 31.0)
    assert ["a"] == done
    later.do(now + 61.0)
    assert ["a", "b"] == done


def test_what_is_done_may_ask_for_more() -> None:
    done: list[str] = []
    later, now = Later(), time.monotonic()
    later.after(1.0, lambda: later.after(5.0, lambda: done.append("a")))
    later.do(now + 2.0)
    assert [] == done
    later.do(now + 10.0)
    assert ["a"] == done


def test_who_waits_knows_for_how_long() -> None:
    later = Later()
    assert 0.25 == later.wait_s(0.25)
    later.after(1000.0, lambda: None)
    assert 0.25 == later.wait_s(0.25)
    assert 0.25 < later.wait_s(10_000.0) <= 1000.0
    later.calls.append((0.0, lambda: None))
    assert 0.0 == later.wait_s(0.25)
