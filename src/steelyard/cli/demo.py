"""`steelyard demo`: three servers, the balancer in front of them, and a show of what it does.

Here are the options, the exit status and what to try next; demo_ports.py looks at the ports, demo_server.py is one
of the servers, demo_show.py the show, demo_watch.py its last act.
"""

import shutil
import signal
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

EXAMPLES = """
Start three servers and a balancer in front of them, and show what it does.

Sends nine requests and shows who answered each, kills a server and shows that nobody notices, brings it back, then
shows every request as it happens until Ctrl-C. Without a terminal, or with --once, it ends by itself: with 0 if all
went right.

**Examples:**

    steelyard demo

    steelyard demo --port 9090 --server-port 9000

    steelyard demo --once
"""

SERVERS: Final = 3
LAST_PORT: Final = 65535
EXAMPLE_FILE: Final = Path("examples", "three-servers", "steelyard.yaml")


def demo(
    port: Annotated[
        int, typer.Option("--port", min=0, max=LAST_PORT, help="The balancer's; 0 is any free one.")
    ] = 8080,
    server_port: Annotated[
        int,
        typer.Option(
            "--server-port",
            min=0,
            max=LAST_PORT - SERVERS + 1,
            help="The first server's, the others have the next two; 0 is any free ones.",
        ),
    ] = 8000,
    once: Annotated[bool, typer.Option("--once", help="End after the show: 0 if all went right, else 1.")] = False,
) -> None:
    server_ports = [server_port + index if server_port else 0 for index in range(SERVERS)]
    if port and port in server_ports:
        raise typer.BadParameter(
            f"{port} is Server {server_ports.index(port) + 1}'s; move one of them", param_hint="--port"
        )
    from steelyard.cli.demo_ports import trouble

    if (said := trouble(program(), port, server_ports)) is not None:
        typer.echo(said, err=True)
        raise typer.Exit(1)
    # A Ctrl-C during the imports just ends us: there is nothing to clean up until the show handles it itself.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from steelyard.cli.demo_show import Show
    from steelyard.errors import ListenError

    show = Show(port, server_ports, _hints, stay=sys.stdout.isatty() and not once)
    try:
        all_right = show.run()
    except (ListenError, OSError) as exc:  # somebody took a port since we looked
        typer.echo(exc, err=True)
        all_right = False
    raise typer.Exit(0 if all_right else 1)


demo.__doc__ = EXAMPLES


def program() -> str:
    """How this program is called from where the user is."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return "python -m steelyard"
    return "steelyard" if shutil.which("steelyard") is not None else str(called)


def _hints(balancer: str, servers: list[str], victim_pid: int | None) -> list[tuple[str, str]]:
    """What to try next: (command, what it shows). Addresses are `localhost:port`."""
    next_port = int(balancer.rpartition(":")[2]) + 1
    hints = [
        (f"for i in 1 2 3 4 5 6; do curl -s {balancer}; echo; done", "who answers each of six requests?"),
        (f"curl -s {servers[0]}; echo", "each server keeps its own port"),
        (f"kill -9 {victim_pid}", f"Server {len(servers)} dies; who notices?"),
        (
            f"{program()} run {' '.join(servers)} --listen :{next_port} --policy least_connections",
            "a second balancer, by another policy and without a file",
        ),
    ]
    if EXAMPLE_FILE.exists():
        hints.append((f"{program()} check {EXAMPLE_FILE}", "the same from a file: everything that would run"))
    return hints
