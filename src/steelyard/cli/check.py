"""`steelyard check`: is this configuration right, and what exactly would run?"""

import json
import textwrap
from pathlib import Path
from typing import Annotated, Final

import typer

CONFIGURATION: Final = """\
listeners:
  web: {bind: "127.0.0.1:8080", pool: app}
pools:
  app:
    policy: least_connections
    backends: [localhost:8000, localhost:8001]
"""

EXAMPLES = f"""
Check a configuration, and print everything that would run, defaults included.

What is wrong goes to standard error, a line each with file and line, key, value and the way to mend it;
the exit code is then 1.

**Examples:**

    steelyard check balancer.yaml

    steelyard check balancer.yaml --explain

    steelyard check --json-schema > steelyard.schema.json

**A configuration:**

{textwrap.indent(CONFIGURATION, "    ")}"""


def check(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", readable=False, help="The configuration.", show_default=False)
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="FILE", readable=False, help="The same.", show_default=False),
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say of every default what it is and why.")] = False,
    json_schema: Annotated[
        bool, typer.Option("--json-schema", help="Print the JSON Schema of the file, for editors.")
    ] = False,
) -> None:
    from steelyard.control import config as configuration
    from steelyard.control import effective
    from steelyard.errors import ConfigError

    chosen = [path for path in (file, config) if path is not None]
    if json_schema:
        if chosen or explain:
            raise typer.BadParameter("it is the same for every file: leave out the rest", param_hint="--json-schema")
        typer.echo(json.dumps(configuration.json_schema(), indent=2))
        return
    if len(chosen) != 1:
        raise typer.BadParameter("name one file: steelyard check balancer.yaml", param_hint="FILE")
    try:
        spec = configuration.load(chosen[0])
    except ConfigError as exc:
        typer.echo(exc, err=True)
        raise typer.Exit(1) from None
    typer.echo(effective.explained(spec) if explain else effective.effective(spec), nl=False)


check.__doc__ = EXAMPLES
