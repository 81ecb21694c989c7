"""What a balancer costs at rest: memory, and the CPU time from the command to the first request served."""

import os
from pathlib import Path
from typing import Final

import pytest

from tests.processes.balancer import Balancer, balancing, cpu_s, status_field, with_workers
from tests.real.backends import backend

pytestmark = pytest.mark.real

MIB: Final = 1024  # in KiB, as the kernel counts


def resident_mib(pid: int) -> float:
    return int(status_field(pid, "VmRSS")[0]) / MIB


async def test_memory_at_rest_and_the_cost_of_a_start(tmp_path: Path) -> None:
    """Bounds of the issue, in MiB of each process: supervisor 25, worker 60, control process 90. A start: what has to
    be done one after the other (command and supervisor, control process, one worker) in CPU time; a busy machine makes
    it later, not longer."""
    async with backend() as one, balancing(tmp_path, with_workers(2, one.port)) as lb:
        workers, control = await lb.workers(), lb.control()
        cost_s = [cpu_s(lb.pid), cpu_s(control), *map(cpu_s, workers)]
        _show("CPU time until it listens", [f"{one:.2f} s" for one in cost_s])
        assert sum(cost_s[:2]) + max(cost_s[2:]) < 4.0
        assert ["one"] * 20 == [await lb.name() for _ in range(20)]
        await lb.reload()
        memory = [resident_mib(pid) for pid in (lb.pid, control, *workers)]
        _show("resident", [f"{one:.1f} MiB" for one in memory])
        assert memory[0] < 25
        assert memory[1] < 90
        assert max(memory[2:]) < 60


def _show(what: str, values: list[str]) -> None:
    print(f"{what}: supervisor {values[0]}, control {values[1]}, workers {', '.join(values[2:])}")


async def test_reloads_leave_nothing_behind(tmp_path: Path) -> None:
    """Neither descriptors nor rows of the table, however often backends and a listener come and go."""
    async with backend() as one, backend() as two, balancing(tmp_path, with_workers(2, one.port)) as lb:
        extra = with_workers(2, one.port, two.port)
        extra["listeners"]["extra"] = {"bind": "127.0.0.1:0", "pool": "web"}
        before: list[int] = []
        for turn in range(12):
            await lb.reload(extra)
            await lb.reload(with_workers(2, one.port))
            if turn == 3:
                before = await _descriptors(lb)
        assert before == await _descriptors(lb)


async def _descriptors(lb: Balancer) -> list[int]:
    """How many each process has open, without the connections to backends that are kept a while."""
    return [len(os.listdir(f"/proc/{pid}/fd")) for pid in (lb.pid, *await lb.workers())]
