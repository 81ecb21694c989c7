"""`steelyard diff FILE`: what a reload of FILE would change in the running balancer."""

from pathlib import Path
from typing import Annotated, Final

import typer

from steelyard.cli.running import Pid, ask

SIGNS: Final = {"added": "+", "removed": "-", "changed": "~"}
COLOURS: Final = {"added": typer.colors.GREEN, "removed": typer.colors.RED, "changed": typer.colors.YELLOW}


def diff(
    file: Annotated[Path, typer.Argument(metavar="FILE", readable=False, help="The configuration to compare with.")],
    pid: Pid = None,
) -> None:
    """Show what a reload of FILE would change in the running balancer, and which recent requests would go elsewhere.

    Nothing is changed by it. The file is read here, and checked by the balancer, whose environment its ${NAMES} are
    read from. Each worker remembers its latest 256 requests; of those that would now go to another pool or backend it
    says how many, from where to where, and why. The exit code is 0 also where there are changes.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        typer.echo(f"{file}: cannot be read: {exc}", err=True)
        raise typer.Exit(1) from None
    found = ask(pid, do="diff", text=text, file=str(file.resolve()))
    if not found["changes"]:
        typer.echo("no change")
    for kind, key, before, after, by_reload in found["changes"]:
        note = "" if by_reload else "  (not by a reload: steelyard upgrade)"
        typer.secho(f"{SIGNS[kind]} {key}{_values(kind, before, after)}{note}", fg=COLOURS[kind])
    for line in found["moves"]:
        typer.echo(line)


def _values(kind: str, before: str | None, after: str | None) -> str:
    if kind == "changed":
        return "" if before is None and after is None else f": {before} -> {after}"
    value = after if kind == "added" else before
    return "" if value is None else f": {value}"
