"""`steelyard policies`: what a pool's `policy` can be, one line each."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from steelyard.control.plugins import Offer

EXAMPLES = """
List the policies that a pool can have: how each chooses, and which keys it reads besides its name.

Those of installed packages are among them, and named with their package, also where they cannot be loaded. One of
your own needs no package: `policy: mymodule:pick`.

**Examples:**

    steelyard policies

    steelyard policies --json
"""

WIDE = 10_000  # columns: what is piped has one line a policy, however long


def policies(as_json: Annotated[bool, typer.Option("--json", help="The same as JSON, for programs.")] = False) -> None:
    from steelyard.control import plugins

    offers = plugins.offers()
    if as_json:
        typer.echo(json.dumps([_entry(offer) for offer in offers], indent=2))
    else:
        _print(offers)


policies.__doc__ = EXAMPLES


def _entry(offer: "Offer") -> dict[str, object]:
    """package and error are null where there is none."""
    return {
        "name": offer.name,
        "summary": offer.summary,
        "options": _keys(offer),
        "package": offer.origin,
        "error": offer.error,
    }


def _keys(offer: "Offer") -> list[str]:
    """The options as the file calls them."""
    from steelyard.control.models import Policy

    return [Policy.alias_of(name) for name in offer.options]


def _print(offers: "list[Offer]") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = WIDE
    table = Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False)
    table.add_column("policy", no_wrap=True)
    table.add_column("how it chooses")
    table.add_column("keys it reads")
    foreign = any(offer.origin is not None for offer in offers)
    if foreign:
        table.add_column("package", no_wrap=True)
    for offer in offers:
        cells = [offer.name, offer.error or offer.summary, ", ".join(_keys(offer))]
        table.add_row(*cells, *([offer.origin or ""] if foreign else []))
    console.print(table)
