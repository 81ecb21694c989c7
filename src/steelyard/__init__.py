"""Steelyard: a load balancer written, configured and programmed in Python."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from steelyard.embed import LoadBalancer

__all__ = ["LoadBalancer"]


def __getattr__(name: str) -> Any:
    """Import on first use, so that `steelyard --version` does not load a whole proxy."""
    if name == "LoadBalancer":
        from steelyard.embed import LoadBalancer

        return LoadBalancer
    raise AttributeError(f"module 'steelyard' has no attribute {name!r}")
