"""`steelyard task serve` and `steelyard task send`: a worker and a client of the task broker (`protocol: task`).

The options and messages; task_worker.py is the worker, task_client.py the client. Both speak the bytes of wire/task.py,
so either can stand for a foreign one, and be stood for by one.
"""

import math
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from steelyard.cli.task_client import Answers

LAST_PORT: Final = 65535
FIRST_PORT: Final = 9001  # worker 1 listens on the next one
BROKER_PORT: Final = 8000
MOST_TASKS: Final = 1_000_000
MOST_PARALLEL: Final = 10_000

SERVE = """
Be a worker: take tasks over TCP, many at once, and answer each `Response from Worker` when it is done.

A Long task takes 5 s, a Short one 1 s, times --scale. Worker 1 listens on port 9002, worker 2 on 9003, and so on.

**Examples:**

    steelyard task serve --id 1

    steelyard task serve --id 2 --scale 0.01
"""

SEND = """
Be a client: send a task to the broker, and print the answer.

The exit status is 0 when every task was answered, and 1 when one got an ERROR, or nothing.

**Examples:**

    steelyard task send Long --policy least_connections

    steelyard task send Short --policy round_robin --count 30 --parallel 10
"""

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Workers and clients of the task broker, `protocol: task`.",
)

_Host = Annotated[str, typer.Option("--host", help="Name or address.")]


def _of_time(scale: float) -> float:
    if not math.isfinite(scale) or scale < 0:
        raise typer.BadParameter(f"{scale:g} is no factor of time; write 0.01 or 1")
    return scale


@app.command()
def serve(
    number: Annotated[
        int, typer.Option("--id", min=1, max=LAST_PORT - FIRST_PORT, help="Its number, and by that its port.")
    ],
    scale: Annotated[float, typer.Option("--scale", callback=_of_time, help="Times how long each task takes.")] = 1.0,
    host: _Host = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            "--port", min=0, max=LAST_PORT, help="0 is any free one. [default: 9001 + id]", show_default=False
        ),
    ] = None,
) -> None:
    from steelyard.cli.task_worker import run
    from steelyard.proxy.dial import why

    listen_at = FIRST_PORT + number if port is None else port
    try:
        run(number, scale, host, listen_at)
    except OSError as exc:
        typer.echo(
            f"worker {number} cannot listen on {host}, port {listen_at}: {why(exc)}; write another --port", err=True
        )
        raise typer.Exit(1) from None


serve.__doc__ = SERVE


@app.command()
def send(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="What is to be done: Long, Short, or what workers know.")],
    policy: Annotated[
        str | None,
        typer.Option(
            "--policy", "-p", help="How to choose the worker. [default: as its pool does]", show_default=False
        ),
    ] = None,
    host: _Host = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=LAST_PORT, help="The broker's.")] = BROKER_PORT,
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=MOST_TASKS, help="How many tasks.")] = 1,
    parallel: Annotated[
        int, typer.Option("--parallel", min=1, max=MOST_PARALLEL, help="How many of them at once.")
    ] = 1,
) -> None:
    from steelyard.cli.task_client import run
    from steelyard.errors import ProtocolError
    from steelyard.wire.task import parse

    if ":" in kind:
        meant, _, rest = kind.partition(":")
        raise typer.BadParameter(f"{kind!r} is no kind of work; write {meant} --policy {rest or 'NAME'}")
    if policy == "":
        raise typer.BadParameter("is empty; write round_robin, or leave it out", param_hint="--policy")
    request = f"AppID:{kind}" if policy is None else f"AppID:{kind}:{policy}"
    data = request.encode("utf-8", "surrogateescape")
    try:  # whether the policy is known is the broker's to say
        parse(data, () if policy is None else (policy,))
    except ProtocolError as exc:
        raise typer.BadParameter(exc.detail) from None
    answers = run(data, policy is None, host, port, count, parallel, typer.echo)
    if count > 1:
        _print_summary(answers)
    raise typer.Exit(0 if answers.all_well else 1)


send.__doc__ = SEND


def _print_summary(answers: "Answers") -> None:
    """Each different answer: how often it came, and how long that took."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("answer", overflow="fold")
    for title in ("tasks", "fastest", "median", "slowest"):
        table.add_column(title, justify="right", no_wrap=True)
    for text, times_s in answers.by_text():
        middle = times_s[len(times_s) // 2]
        table.add_row(text, str(len(times_s)), *(f"{time_s:.3f} s" for time_s in (times_s[0], middle, times_s[-1])))
    Console(highlight=False, markup=False).print(table)
