"""Signals of the supervisor come as bytes, in their turn; the other processes leave them to it."""

import os
import signal
from collections.abc import Iterator

import pytest

from steelyard.processes import signals

ALL = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """This process has its own handlers again afterwards."""
    before = {number: signal.getsignal(number) for number in ALL}
    yield
    wakeup = signal.set_wakeup_fd(-1)
    if wakeup >= 0:
        os.close(wakeup)
    for number, handler in before.items():
        signal.signal(number, handler)


def test_each_is_a_byte_in_their_order() -> None:
    with signals.as_bytes((signal.SIGTERM, signal.SIGUSR2)) as read:
        for number in (signal.SIGUSR2, signal.SIGTERM, signal.SIGUSR2):
            signal.raise_signal(number)
        assert bytes([signal.SIGUSR2, signal.SIGTERM, signal.SIGUSR2]) == read.recv(9)


def test_a_hangup_is_ignored_where_whoever_started_us_said_so() -> None:
    """As nohup does."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with signals.as_bytes((signal.SIGHUP, signal.SIGTERM)) as read:
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGTERM)
        assert bytes([signal.SIGTERM]) == read.recv(9)


def test_the_others_ignore_them() -> None:
    signals.ignore()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.raise_signal(number)
