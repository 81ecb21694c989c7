"""What a balancer has used, from the kernel's own books: CPU time in nanoseconds, memory in bytes.

Counted is the process that was started and all its descendants, every thread of each: a master, workers, a
control process, checks and all. User and system time together. `schedstat` holds the scheduler's run time of a
thread in ns, where `stat` has 10 ms ticks (proc(5)). On loopback the kernel handles a packet, up to the receiver's
socket, in the sender's time: each balancer is charged for all that it sends, and its peers for what they send.
"""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from bench.failure import BenchError

PROC = Path("/proc")
_CPUCLOCK_SCHED = 2  # of a whole process: linux/posix-timers.h
NS_PER_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def tree(root: int, proc: Path = PROC) -> list[int]:
    """The process and its descendants, root first. Those that end meanwhile are left out."""
    children: dict[int, list[int]] = {}
    for entry in proc.iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:  # ended since the listing
                continue
            # The command's name is in parentheses and may itself hold blanks and parentheses.
            parent = int(stat.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += sorted(children.get(pid, ()))
    return found


def cpu_ns(root: int, proc: Path = PROC) -> dict[int, int]:
    """Run time so far, in ns, of each process of the tree (its living threads together)."""
    return {
        pid: sum(int(path.read_text().split()[0]) for path in (proc / str(pid) / "task").glob("*/schedstat"))
        for pid in tree(root, proc)
    }


def lifetime_ns(root: int, proc: Path = PROC) -> dict[int, int]:
    """As `cpu_ns`, with the threads that have ended: for programs that start and end them as clients come and go.

    It is the kernel's clock of each process (clock_getcpuclockid(3)): in ns, and of one that has ended there is none.
    """
    found = {}
    for pid in tree(root, proc):
        with suppress(OSError):
            found[pid] = time.clock_gettime_ns((~pid << 3) | _CPUCLOCK_SCHED)
    return found


def spent_ns(before: Mapping[int, int], after: Mapping[int, int]) -> int:
    """Run time between two readings. A process that came in between counts in full.

    Raises BenchError when one has ended: its time would be lost, and it should not have.
    """
    ended = sorted(set(before) - set(after))
    if ended:
        raise BenchError(f"process {ended[0]} of the balancer ended during a measurement; see its log")
    return sum(ns - before.get(pid, 0) for pid, ns in after.items())


def core_busy_ns(core: int, proc: Path = PROC) -> int:
    """How long a core has been busy, for whomever, in ns; in steps of a clock tick (10 ms)."""
    line = next(line for line in (proc / "stat").read_text().splitlines() if line.startswith(f"cpu{core} "))
    user, nice, system, _idle, _wait, irq, softirq, steal = (int(ticks) for ticks in line.split()[1:9])
    return (user + nice + system + irq + softirq + steal) * NS_PER_TICK


def memory_bytes(root: int, proc: Path = PROC) -> int:
    """Resident memory of the tree.

    What its processes have written: pages that several of them share are counted once (Pss). And program files and
    libraries: those of the largest process, whoever else on the machine has them mapped too; Pss would give this
    very Python a share of Steelyard's.
    """
    own_kb, file_kb = 0, 0
    for pid in tree(root, proc):
        sizes = _sizes_kb(proc / str(pid) / "smaps_rollup")
        own_kb += sizes["Pss_Anon"] + sizes["Pss_Shmem"]
        file_kb = max(file_kb, _sizes_kb(proc / str(pid) / "status")["RssFile"])
    return (own_kb + file_kb) * 1024


def _sizes_kb(path: Path) -> dict[str, int]:
    """The lines `Name: 123 kB` of a file in /proc."""
    lines = (line.split() for line in path.read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) for words in lines if len(words) == 3 and words[2] == "kB"}
