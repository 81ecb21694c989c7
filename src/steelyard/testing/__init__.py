"""For the tests of others: what a policy of one's own has to stand."""

from steelyard.testing.conformance import PolicyConformance

__all__ = ["PolicyConformance"]
