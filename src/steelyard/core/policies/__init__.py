"""The built-in policies; importing this package registers them."""

from steelyard.core.policies import first, hashing, latency, least, prequal, random, rotation, sticky

__all__ = ["first", "hashing", "latency", "least", "prequal", "random", "rotation", "sticky"]
