"""For the tests of others: what a policy of one's own has to stand, and backends that misbehave as they are told."""

from steelyard.testing import faults
from steelyard.testing.conformance import PolicyConformance
from steelyard.testing.faulty import FaultyBackend

__all__ = ["FaultyBackend", "PolicyConformance", "faults"]
