"""What a local backend's process is bound to before it becomes the command that is to run: the end of its parent.

    python -I -S bound.py PARENT CORE COMMAND...     (CORE: of those that we may use, counted round; -1: any)

The kernel kills it when the process that started it is gone (PR_SET_PDEATHSIG, prctl(2)), so none outlives a balancer
that was killed. That is set here, in a program of its own, and not between fork and exec of the parent
(`preexec_fn`): the parent may have threads, and Python after a fork may then wait for a lock that nobody holds. It also
comes after the change of the user, which clears the setting. Signals that the parent ignores are taken again, as
an ignored signal stays so through exec. Standard library alone, and no site: it costs some 15 ms.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
CANNOT_RUN = 127  # as a shell's


def main(parent: int, core: int, command: list[str]) -> None:
    """Become the command."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        print(f"prctl: {os.strerror(ctypes.get_errno())}; it may outlive the balancer", file=sys.stderr, flush=True)
    if os.getppid() != parent:  # it was gone before we asked
        os._exit(CANNOT_RUN)
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)
    if core >= 0:
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {allowed[core % len(allowed)]})
    try:
        os.execvp(command[0], command)
    except OSError as exc:
        print(f"{command[0]} cannot be run: {(exc.strerror or str(exc)).lower()}", file=sys.stderr, flush=True)
        os._exit(CANNOT_RUN)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
