"""The balancer's log goes where the command says, and only there."""

import logging
import os
import sys
from collections.abc import Iterator

import pytest

from steelyard.observe import log


class Collected(logging.Handler):
    """Keeps the messages."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@pytest.fixture(autouse=True)
def _logger() -> Iterator[None]:
    """As it was."""
    logger = logging.getLogger("steelyard")
    before = (logger.handlers, logger.level, logger.propagate)
    yield
    logger.handlers, logger.level, logger.propagate = before


def test_it_goes_to_the_last_handler_named_and_nowhere_else(caplog: pytest.LogCaptureFixture) -> None:
    first, last = Collected(), Collected()
    log.to(first)
    log.to(last)
    logger = logging.getLogger("steelyard")
    logger.debug("too much")
    logger.info("[down]")
    assert ([], ["[down]"], []) == (first.messages, last.messages, caplog.messages)


def test_what_is_logged_is_not_waited_for_however_long_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    reads, writes = os.pipe()
    with open(writes, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        log.to_standard_error()
        logging.getLogger("steelyard").warning("%s", "x" * 100_000)
        assert 10_000 < os.read(reads, 1 << 20).count(b"x") < 100_000
        logging.getLogger("steelyard").warning("%d problems", 3)
        assert os.read(reads, 1 << 20).endswith(b" 3 problems\n")
        logging.getLogger("steelyard").warning("%d problems", "three")
        stream.flush()
        assert b"--- Logging error ---" in os.read(reads, 1 << 20)
    os.close(reads)
