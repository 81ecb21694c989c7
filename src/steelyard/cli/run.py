"""`steelyard run`: start a balancer from a file, or from backends on the command line."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from steelyard.core.spec import Spec

EXAMPLES = """
Start a balancer, from a configuration file or from the backends named here.

SIGINT (Ctrl-C), SIGTERM and SIGHUP let requests in flight finish, then end it; a second Ctrl-C ends it at once.
There is no reload yet: start it anew after a change of its file.

**Examples:**

    steelyard run localhost:8000 localhost:8001

    steelyard run localhost:8000 localhost:8001 --listen :8080 --policy least_connections

    steelyard run -c balancer.yaml --access-log -
"""

USAGE = "name backends or a file, such as: steelyard run localhost:8000 localhost:8001 --listen :8080"
LISTEN = ":8080"


def run(
    backends: Annotated[
        list[str] | None, typer.Argument(metavar="BACKENDS", help="host:port of each backend.", show_default=False)
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", metavar="FILE", help="A configuration file, in place of backends.", show_default=False
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
    access_log: Annotated[
        str | None,
        typer.Option(
            "--access-log",
            metavar="PATH",
            help="Log every request to this file; '-' is standard output, off is none.",
            show_default=False,
        ),
    ] = None,
) -> None:
    spec = _spec(backends or [], config, listen, policy, key)
    if access_log is not None:
        spec = dataclasses.replace(spec, access_log=None if access_log == "off" else access_log)
    from steelyard.cli.serve import serve
    from steelyard.errors import ConfigError, ListenError

    try:
        serve(spec)
    except (ConfigError, ListenError) as exc:
        typer.echo(f"--listen: {exc.what}" if isinstance(exc, ListenError) and config is None else exc, err=True)
        raise typer.Exit(1) from None


run.__doc__ = EXAMPLES


def _spec(backends: list[str], config: Path | None, listen: str | None, policy: str | None, key: str | None) -> "Spec":
    """What to run; ends the program where the arguments or the configuration are wrong."""
    if not backends and config is None:
        raise typer.BadParameter(USAGE, param_hint="BACKENDS")
    if backends and config is not None:
        raise typer.BadParameter("name backends or a file, not both: the file names its own", param_hint="--config")
    from steelyard.control import config as configuration
    from steelyard.errors import ConfigError

    try:
        if config is None:
            return configuration.from_arguments(backends, listen or LISTEN, policy, key)
        for option, value in (("--listen", listen), ("--policy", policy), ("--key", key)):
            if value is not None:
                raise typer.BadParameter(f"belongs in the file {config} when there is one", param_hint=option)
        return configuration.load(config)
    except ConfigError as exc:
        typer.echo(exc, err=True)
        raise typer.Exit(1) from None
