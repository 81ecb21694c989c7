"""The command `steelyard`: its options and its commands; each command has a file of its own.

Exit codes: 0, 1 (a configuration that cannot run, an address that cannot be listened on), 2 (wrong usage).
Commands import what they need when they run, so that `--version` and `--help` answer at once.
"""

import os
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Annotated

import typer

from steelyard.cli import check, demo, diff, policies, reload, run, simulate, status, task, upgrade

HELP = """
A load balancer written, configured and programmed in Python.

**Try it:**

    steelyard demo

    steelyard run localhost:8000 localhost:8001 --listen :8080

    steelyard run -c balancer.yaml

    steelyard check balancer.yaml

    steelyard diff balancer.yaml && steelyard reload

    steelyard policies

    steelyard simulate -p round_robin -p least_connections
"""

app = typer.Typer(
    name="steelyard",
    help=HELP,
    rich_markup_mode="markdown",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(run.run)
app.command()(check.check)
app.command()(diff.diff)
app.command()(reload.reload)
app.command()(upgrade.upgrade)
app.command()(status.status)
app.command()(policies.policies)
app.command()(simulate.simulate)
app.command()(demo.demo)
app.add_typer(task.app, name="task")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line (without `argv`, this process's own); always ends in SystemExit."""
    # pydantic looks for plugins of its own in every installed package, and one broken package would end us.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    app(args=None if argv is None else list(argv), prog_name="steelyard")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version())
        raise typer.Exit


def version() -> str:
    """`steelyard 0.1.0 (compiled)`, or `(interpreted)` where no module was compiled."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    scanner = find_spec("steelyard.wire.http1")
    interpreted = scanner is None or scanner.origin is None or scanner.origin.endswith(".py")
    try:
        number = installed("steelyard")
    except PackageNotFoundError:  # run from a source tree that was never installed
        number = "0 from source"
    return f"steelyard {number} ({'interpreted' if interpreted else 'compiled'})"


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Say the version, and whether it is compiled."
        ),
    ] = False,
) -> None:
    pass
