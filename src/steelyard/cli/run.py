"""`steelyard run`: start a balancer from a file, or from backends on the command line.

This process becomes the supervisor (exec), which is small and knows nothing of command lines; the configuration is
read by another process of its own (processes/control_process.py).
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from steelyard.processes.source import Words

EXAMPLES = """
Start a balancer, from a configuration file or from the backends named here.

SIGTERM and SIGINT (Ctrl-C) let requests in flight finish, then end it; a second Ctrl-C ends it at once. SIGHUP, or
steelyard reload, reads its file anew and closes no connection; SIGUSR2, or steelyard upgrade, starts the program anew
on the same sockets.

**Examples:**

    steelyard run localhost:8000 localhost:8001

    steelyard run localhost:8000 localhost:8001 --listen :8080 --policy least_connections

    steelyard run -c balancer.yaml --workers 4 --access-log -
"""

USAGE = "name backends or a file, such as: steelyard run localhost:8000 localhost:8001 --listen :8080"
LISTEN = ":8080"
MOST_WORKERS = 256  # as in a file


def run(
    backends: Annotated[
        list[str] | None, typer.Argument(metavar="BACKENDS", help="host:port of each backend.", show_default=False)
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            help="A configuration file, in place of backends.",
            readable=False,  # what cannot be read is told like all else about it
            show_default=False,
        ),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(
            "--listen",
            "-l",
            metavar="ADDRESS",
            help=f"Where to accept: host:port, :port for every IPv4 address, or unix:/path. [default: {LISTEN}]",
            show_default=False,
        ),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            "--policy",
            "-p",
            metavar="NAME",
            help="How a backend is chosen: one that steelyard policies lists, or mymodule:pick. [default: round_robin]",
            show_default=False,
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            "--key",
            metavar="KEY",
            help="What a policy that hashes is given: client_ip (the default), path, url, header:NAME, cookie:NAME, "
            "query:NAME or body:FIELD.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        str | None,
        typer.Option(
            "--workers",
            "-w",
            metavar="N",
            help="How many processes serve; auto is one a core. [default: auto, or what the file says]",
            show_default=False,
        ),
    ] = None,
    access_log: Annotated[
        str | None,
        typer.Option(
            "--access-log",
            metavar="PATH",
            help="Log every request to this file; '-' is standard output, off is none.",
            show_default=False,
        ),
    ] = None,
    pid_file: Annotated[
        str | None,
        typer.Option("--pid-file", metavar="PATH", help="Write the process id there.", show_default=False),
    ] = None,
) -> None:
    overrides: dict[str, Any] = {}
    if workers is not None:
        overrides["workers"] = _number_of(workers)
    if access_log is not None:
        overrides["access_log"] = None if access_log == "off" else access_log
    if pid_file is not None:
        overrides["pid_file"] = pid_file
    become(_source(backends or [], config, listen, policy, key, overrides))


run.__doc__ = EXAMPLES


def become(source: "Words") -> None:
    """Be the supervisor of this balancer from now on: never returns."""
    from steelyard.processes.succession import SUPERVISOR, command

    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    words = command(SUPERVISOR, source)
    os.execv(words[0], words)


def _source(
    backends: list[str],
    config: Path | None,
    listen: str | None,
    policy: str | None,
    key: str | None,
    overrides: dict[str, Any],
) -> "Words":
    """What to run; ends the program where the arguments do not go together."""
    from steelyard.processes import source

    if not backends and config is None:
        raise typer.BadParameter(USAGE, param_hint="BACKENDS")
    if backends and config is not None:
        raise typer.BadParameter("name backends or a file, not both: the file names its own", param_hint="--config")
    if config is None:
        return source.from_backends(backends, listen or LISTEN, policy, key, **overrides)
    for option, value in (("--listen", listen), ("--policy", policy), ("--key", key)):
        if value is not None:
            raise typer.BadParameter(f"belongs in the file {config} when there is one", param_hint=option)
    return source.from_file(config, **overrides)


def _number_of(workers: str) -> int | None:
    """How many; None for one a core."""
    if workers == "auto":
        return None
    if not (workers.isascii() and workers.isdigit() and 1 <= int(workers) <= MOST_WORKERS):
        raise typer.BadParameter(
            f"{workers!r} is neither auto nor a number from 1 to {MOST_WORKERS}", param_hint="--workers"
        )
    return int(workers)
