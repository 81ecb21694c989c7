"""`steelyard upgrade`: start the program anew on the sockets of the running one."""

import typer

from steelyard.cli.running import Pid, ask


def upgrade(pid: Pid = None) -> None:
    """Start the program anew on the sockets of the running one, after a new version was installed.

    Ends when the new one serves: the old one then finishes what it has in flight, and ends. If the new one does not
    come up, the old one goes on, and the exit code is 1. It also takes what a reload cannot change: workers,
    max_backends, user.
    """
    typer.echo(f"the new program serves (pid {ask(pid, do='upgrade')['pid']}); the old one finishes what it has")
