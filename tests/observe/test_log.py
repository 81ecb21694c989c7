"""The balancer's log goes where the command says, and only there."""

import logging
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
