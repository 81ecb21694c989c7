"""Memory that all processes of a balancer share: a file without a name that is as long as it ever will be."""

import fcntl
import os

from steelyard.core import table as cells
from steelyard.core.table import Table


def shared_memory(size_bytes: int) -> int:
    """A descriptor of so many zeroed bytes. Nobody can make it shorter: whoever then read behind its end would die."""
    memory = os.memfd_create("steelyard", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(memory, size_bytes)
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    return memory


def clear_column(table: Table, worker: int, lost: bool) -> None:
    """A worker is no more: what it had in flight no longer counts. lost: nobody had told it to end."""
    used = table.get(cells.BALANCER, cells.ROWS_USED)
    table.keep_counters(worker)
    table.clear_column(worker, min(used, table.rows))
    if lost:
        table.fetch_add(cells.BALANCER, cells.WORKERS_LOST, 1)
