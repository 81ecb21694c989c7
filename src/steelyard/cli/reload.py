"""`steelyard reload`: have a running balancer read its file anew."""

import typer

from steelyard.cli.running import Pid, ask


def reload(pid: Pid = None) -> None:
    """Have the running balancer read its configuration file anew.

    The file is checked first; one that cannot run changes nothing, is explained here, and the exit code is then 1.
    One that can is in force when this ends, and no connection was closed for it.
    What it would change, steelyard diff FILE shows before.
    """
    found = ask(pid, do="reload")
    from steelyard.processes.ready_lines import reload_line

    typer.echo(reload_line(found))
