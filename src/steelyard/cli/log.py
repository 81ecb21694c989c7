"""Where the balancer's own log goes when a command runs it: to one handler of the command's choice, from INFO on."""

import logging


def to(handler: logging.Handler) -> None:
    """Send the log there and nowhere else, whatever handlers the root logger has."""
    logger = logging.getLogger("steelyard")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
