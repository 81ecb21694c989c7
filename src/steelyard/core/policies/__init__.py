"""The built-in policies; importing this package registers them."""

from steelyard.core.policies import hashing, least, random, rotation

__all__ = ["hashing", "least", "random", "rotation"]
