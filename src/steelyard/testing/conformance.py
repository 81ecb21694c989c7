"""The suite that every policy has to stand, the built-in ones and a user's own.

    from steelyard.testing import PolicyConformance

    class TestMine(PolicyConformance):
        policy = "mymodule:pick"
        counts_load = True

pytest collects such a class as it is; each test needs nothing but itself, so any other runner will do. Tests of what
a policy does not promise (see Subject) are not there. What a failure says is what the policy has done.
"""

from typing import Any

from steelyard.testing.keys import Keys
from steelyard.testing.lawful import Lawful
from steelyard.testing.life import Life
from steelyard.testing.shares import Shares

__all__ = ["PolicyConformance"]


class PolicyConformance(Lawful, Shares, Keys, Life):
    """Subclass it under a name that begins with Test, and set `policy` and its promises (see Subject)."""

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        for name in dir(PolicyConformance):
            test = getattr(PolicyConformance, name)
            promises = getattr(test, "promises", ())
            # A test that a subclass has written anew is its own.
            if promises and getattr(cls, name) in (None, test):
                # None is no test to any runner.
                setattr(cls, name, test if all(getattr(cls, promise) for promise in promises) else None)
