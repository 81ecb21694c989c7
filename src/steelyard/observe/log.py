"""Where the balancer's own log goes when a program runs it: to one handler of its choice, from INFO on.

The processes of a balancer write to the standard error that they share, a line at a time.
"""

import logging
import sys
from typing import TextIO

from steelyard.observe.streams import say


def to(handler: logging.Handler) -> None:
    """Send the log there and nowhere else, whatever handlers the root logger has."""
    logger = logging.getLogger("steelyard")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def to_standard_error() -> None:
    """Send it there, with the time of each line."""
    handler = _WhereSomebodyReads(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    to(handler)


class _WhereSomebodyReads(logging.StreamHandler[TextIO]):
    """A stream, while somebody takes it: no line of a log is worth the traffic that would wait for its reader."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            say(self.format(record), self.stream)
        except Exception:  # somebody's arguments that do not fit their format
            self.handleError(record)
