"""Steelyard: a load balancer written, configured and programmed in Python."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from steelyard.backends.local_pool import LocalPool
    from steelyard.backends.results import Result, TaskFailed
    from steelyard.backends.sync_pool import SyncLocalPool
    from steelyard.backends.task import Task
    from steelyard.embed import LoadBalancer
    from steelyard.errors import TaskRefused

__all__ = ["LoadBalancer", "LocalPool", "Result", "SyncLocalPool", "Task", "TaskFailed", "TaskRefused"]

_HOMES: Final = {
    "LoadBalancer": "steelyard.embed",
    "LocalPool": "steelyard.backends.local_pool",
    "Result": "steelyard.backends.results",
    "SyncLocalPool": "steelyard.backends.sync_pool",
    "Task": "steelyard.backends.task",
    "TaskFailed": "steelyard.backends.results",
    "TaskRefused": "steelyard.errors",
}


def __getattr__(name: str) -> Any:
    """Import on first use, so that `steelyard --version` does not load a whole proxy."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'steelyard' has no attribute {name!r}")
