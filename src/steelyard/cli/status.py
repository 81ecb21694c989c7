"""`steelyard status`: who runs, and how the backends are."""

import json
from math import ceil
from typing import Annotated, Any, Final

import typer

from steelyard.cli.running import Pid, ask

STATES: Final = {"up": "green", "down": "red", "silent": "red"}
SHOWN: Final = 50  # backends of a pool; the rest are counted


def status(
    pid: Pid = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: one JSON object.")] = False,
) -> None:
    """Show the running balancer: its processes, its configuration, its limits, and each backend with its live numbers.

    silent is a backend that does not answer its checks, down one that answers them wrongly; ejected is one that
    answered requests worse than the others, and for how long it is left alone yet. Below the workers is counted how
    requests have ended (answered, or the word of the access log), and what was done on the way.
    """
    found = ask(pid, do="status")
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    _show(found)


def _show(found: dict[str, Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    file = f" of {found['file']}" if found["file"] else ""
    console.print(
        f"supervisor {found['pid']}, up {_age(found['age_s'])}; configuration {found['configuration']}{file}; "
        f"{found['reloads']} reloads, {found['refused']} refused, {found['workers_lost']} workers lost",
        markup=False,
        soft_wrap=True,
    )
    table = Table("worker", "pid", "up", "clients", "replaced", box=box.SIMPLE_HEAD, pad_edge=False)
    for worker in found["workers"]:
        table.add_row(
            *map(str, (worker["number"], worker["pid"], _age(worker["age_s"]), worker["clients"], worker["replaced"]))
        )
    console.print(table)
    _show_locals(found["locals"], console)
    counted = [(name, count) for name, count in found["counters"].items() if count]
    if counted:
        console.print("  ".join(f"{name} {count}" for name, count in counted), soft_wrap=True)
    _show_listeners(found["listeners"], console)
    # Such as images/0: of the paths of two sockets people see little more than what they have in common.
    called = {one["address"]: one["name"] for one in found["locals"]}
    for name, backends in found["pools"].items():
        table = Table(
            "backend",
            "state",
            "weight",
            "in flight",
            "requests",
            "failed",
            title=escape(f"pool {name}{_of_circuit(found['circuits'].get(name, 'closed'), ', ')}"),
            title_justify="left",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
        )
        for one in backends[:SHOWN]:
            state = _state(one)
            table.add_row(
                escape(called.get(one["address"], one["address"])),
                state,
                *map(str, (one["weight"], one["in_flight"], one["requests"], one["failures"])),
            )
        console.print(table)
        if len(backends) > SHOWN:
            console.print(f"and {len(backends) - SHOWN} more: --json has them all")


def _show_locals(locals_: list[dict[str, Any]], console: Any) -> None:
    """The processes of local backends, where there are some."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    if not locals_:
        return
    table = Table("local", "pid", "state", "up", "restarts", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("address", overflow="fold")
    for one in locals_[:SHOWN]:
        pid, age = (str(one["pid"]), _age(one["age_s"])) if one["pid"] else ("-", "-")
        table.add_row(escape(one["name"]), pid, one["state"], age, str(one["restarts"]), escape(one["address"]))
    console.print(table)
    if len(locals_) > SHOWN:
        console.print(f"and {len(locals_) - SHOWN} more: --json has them all")


def _show_listeners(listeners: dict[str, Any], console: Any) -> None:
    """How full each is, what was turned away, and below that the rate limits of routes, if there are any."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    look: dict[str, Any] = {"box": box.SIMPLE_HEAD, "pad_edge": False}
    table = Table("listener", "connections", "crowded", "in flight", "overloaded", **look)
    limits = Table("rate limit", "rate", "burst", "key", "limited", **look)
    for name, one in listeners.items():
        table.add_row(
            escape(name),
            _of(one["connections"], one["max_connections"]),
            str(one["crowded"]),
            "-" if one["in_flight"] is None else _of(one["in_flight"], one["max_in_flight"]),
            str(one["overloaded"]),
        )
        for limit in one["limits"]:
            count = f"{limit['over']} (dry run)" if limit["dry_run"] else str(limit["limited"])
            words = (f"{name} {limit['route']}", limit["rate"], limit["burst"], limit["key"], count)
            limits.add_row(*(escape(str(word)) for word in words))
    console.print(table)
    if limits.row_count:
        console.print(limits)


def _of(count: int, most: int | None) -> str:
    """Such as `7/100`, or `7` where there is no limit."""
    return str(count) if most is None else f"{count}/{most}"


def _state(one: dict[str, Any]) -> str:
    """What keeps requests from a backend, or `up`; coloured."""
    word, colour = one["state"], STATES[one["state"]]
    if word == "up" and one["ejected_s"] > 0.0:
        word, colour = f"ejected {ceil(one['ejected_s'])} s", "yellow"
    elif word == "up" and one["circuit"] != "closed":
        word, colour = _of_circuit(one["circuit"]), "yellow"
    return f"[{colour}]{word}[/]"


def _of_circuit(circuit: str, before: str = "") -> str:
    """`circuit open`, with what stands before it; nothing of one that is closed."""
    return "" if circuit == "closed" else f"{before}circuit {circuit}"


def _age(seconds: float) -> str:
    """Such as `3d 4h` or `12s`: two units at most."""
    left = int(seconds)
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "0s"
