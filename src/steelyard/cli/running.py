"""Which running balancer a command means, and what is said when it cannot be asked."""

from typing import Annotated, Any, Final

import typer

# A reload of a hundred thousand backends takes some seconds; a process that does not answer by then hangs.
PATIENCE_S: Final = 120.0

Pid = Annotated[
    int | None,
    typer.Option(
        "--pid",
        metavar="PID",
        help="Of which balancer; needed where several run. [default: the only one]",
        show_default=False,
    ),
]


def ask(pid: int | None, **words: Any) -> Any:
    """Ask the balancer; its answer. Ends the program with 1 where there is none, or it says that something failed."""
    from steelyard.processes import runtime
    from steelyard.processes.commands import call

    try:
        answer = call(runtime.path_of(runtime.find(pid)), words, PATIENCE_S)
    except runtime.NoRuntime as exc:
        problem = str(exc)
    except (OSError, ValueError) as exc:
        problem = f"the balancer does not answer: {exc}"
    else:
        if "failed" not in answer:
            return answer
        problem = answer["failed"]
    typer.echo(problem, err=True)
    raise typer.Exit(1)
