"""When Python's garbage collector comes round. Most of what we make is freed when it is let go; cycles are rare.

Python's own thresholds are for programs that do not know that: reading a configuration of 10,000 backends makes half a
million objects, and half of its time went into looking at them again and again.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# Objects made and not freed before a collection; Python's own is 700.
THRESHOLD: Final = 50_000


def seldom() -> None:
    """For the whole process: let it come seldom."""
    gc.set_threshold(THRESHOLD)


def settle() -> None:
    """All that lives now lives long: it need not be looked at again."""
    gc.collect()
    gc.freeze()


@contextmanager
def paused() -> Iterator[None]:
    """Within it, it does not come at all: what is made here is used here."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
