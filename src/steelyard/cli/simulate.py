"""`steelyard simulate`: what would each policy do? The same pools as the proxy's, under a virtual clock."""

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    from steelyard.core.spec import PolicySpec
    from steelyard.simulate.report import Outcome
    from steelyard.simulate.scenario import Scenario

POLICIES: Final = ("round_robin", "power_of_two", "least_connections")
# What simulate_setup.py takes where nothing is written; said in the help.
KEYS: Final = 10_000
LOAD: Final = 0.8
REQUESTS: Final = 100_000
SERVICE_TIME: Final = "100ms"
MOST_BACKENDS: Final = 1_000_000
MOST_KEYS: Final = 16_000_000  # a client_ip has 24 bits for them
MOST_REQUESTS: Final = 1_000_000_000_000
MOST_TRIES: Final = 1000
STOPPED: Final = 130  # 128 + SIGINT, as shells have it

EXAMPLES = """
Compare policies on the same simulated requests, by the very code that balances real ones.

Times are in mean service times: a mean of 2.6 is a request that takes 2.6 times as long as its work, as it had to wait.
The requests are the same for every policy: when they come, how long they take, whose they are, which of them fail.

**What concerns backends** is written VALUE[:BACKENDS][@FROM-TO]. BACKENDS are numbers and ranges from 1 (all, if left
out), FROM-TO are times (always, if left out; TO may be left out):

    --slow 3x:2              backend 2 is three times slower

    --fail 10%:1-3@100-200   backends 1 to 3 answer 10 % with an error, from time 100 to 200

    --down 1,4@100-200       backends 1 and 4 are gone, and come back (it has no value)

**Examples:**

    steelyard simulate --backends 100 --load 0.9 --requests 1000000

    steelyard simulate -p random -p power_of_two -p power_of_two:choices=3 -p least_connections --plot tails.png

    steelyard simulate -p consistent_hash:key=path -p hash:key=path --keys 1000 --zipf 1.1

    steelyard simulate -p round_robin -p least_connections --trace access.log --backends 4
"""

_OF_BACKENDS = "VALUE[:BACKENDS]"
_IN_TIME = "VALUE[:BACKENDS][@FROM-TO]"
_Many = list[str] | None


def _each(name: str, metavar: str, text: str, panel: str) -> Any:
    return typer.Option(name, metavar=metavar, help=text, show_default=False, rich_help_panel=panel)


def simulate(
    policy: Annotated[
        _Many,
        typer.Option(
            "--policy",
            "-p",
            metavar="NAME[:option=value,...]",
            help=f"A policy, or `module:function`; once for each to compare. [default: {', '.join(POLICIES)}]",
            show_default=False,
        ),
    ] = None,
    backends: Annotated[
        int, typer.Option("--backends", "-b", min=1, max=MOST_BACKENDS, metavar="N", help="How many there are.")
    ] = 10,
    load: Annotated[
        float | None,
        typer.Option(
            "--load",
            metavar="RHO",
            help=f"Arrivals as a share of what all backends can serve. [default: {LOAD}, or as the trace was]",
            show_default=False,
        ),
    ] = None,
    requests: Annotated[
        int | None,
        typer.Option(
            "--requests",
            "-n",
            min=1,
            max=MOST_REQUESTS,
            metavar="N",
            help=f"How many there are; a shorter trace begins anew. [default: {REQUESTS}, or the trace's]",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Another one is another day.")] = 1,
    arrivals: Annotated[
        str | None, _each("--arrivals", "KIND", "poisson, uniform (evenly spaced) or trace.", "The requests")
    ] = None,
    service: Annotated[
        str | None,
        _each(
            "--service",
            "KIND",
            "exponential, fixed, trace, or bimodal:10x,10% (a tenth takes ten times as long as the others).",
            "The requests",
        ),
    ] = None,
    trace: Annotated[
        Path | None,
        _each(
            "--trace",
            "FILE",
            "An access log: ours, or in combined format ($request_time may follow); .gz too. Its arrivals and, where "
            "it has them, its times (in which waiting is counted as work).",
            "The requests",
        ),
    ] = None,
    service_time: Annotated[
        str | None,
        _each(
            "--service-time",
            "DURATION",
            f"What a mean service time is in seconds, for policies that look at the clock. [default: {SERVICE_TIME}, "
            "or the trace's mean]",
            "The requests",
        ),
    ] = None,
    key: Annotated[
        str | None, _each("--key", "KEY", "What hashing policies hash that name no key themselves.", "The requests")
    ] = None,
    keys: Annotated[
        int | None,
        typer.Option(
            "--keys",
            min=1,
            max=MOST_KEYS,
            metavar="N",
            help=f"How many clients and paths there are. [default: {KEYS}]",
            show_default=False,
            rich_help_panel="The requests",
        ),
    ] = None,
    zipf: Annotated[
        float | None,
        typer.Option(
            "--zipf",
            min=0.0,
            max=20.0,
            metavar="S",
            help="How unequal they are: the k-th is asked for in proportion to 1/k^S. [default: 0, all alike]",
            show_default=False,
            rich_help_panel="The requests",
        ),
    ] = None,
    speed: Annotated[
        _Many, _each("--speed", _OF_BACKENDS, "Times as fast as usual, such as 2x:1-4.", "Backends")
    ] = None,
    concurrency: Annotated[
        _Many, _each("--concurrency", _OF_BACKENDS, "Requests served at a time, such as 8; others wait.", "Backends")
    ] = None,
    weight: Annotated[
        _Many, _each("--weight", _OF_BACKENDS, "As in the configuration, such as 5:1.", "Backends")
    ] = None,
    limit: Annotated[
        _Many, _each("--limit", _OF_BACKENDS, "max_connections, such as 20: no more are sent there.", "Backends")
    ] = None,
    slow: Annotated[
        _Many, _each("--slow", _IN_TIME, "Times slower than usual, such as 3x:2@100-200.", "Trouble")
    ] = None,
    fail: Annotated[
        _Many, _each("--fail", _IN_TIME, "Share answered with 503 when the work is done, such as 10%:2.", "Trouble")
    ] = None,
    fast_fail: Annotated[
        _Many, _each("--fast-fail", _IN_TIME, "Share answered with 503 at once, such as 100%:2.", "Trouble")
    ] = None,
    down: Annotated[
        _Many,
        _each("--down", "BACKENDS[@FROM-TO]", "Not there; what is in flight is lost, such as 1@100-200.", "Trouble"),
    ] = None,
    checks: Annotated[
        str,
        typer.Option(
            "--checks", metavar="TIME|off", help="From one health check to the next.", rich_help_panel="The balancer"
        ),
    ] = "20",
    tries: Annotated[
        int,
        typer.Option(
            "--tries",
            min=1,
            max=MOST_TRIES,
            metavar="N",
            help="Backends for one request.",
            rich_help_panel="The balancer",
        ),
    ] = 3,
    no_ejection: Annotated[
        bool,
        typer.Option(
            "--no-ejection",
            help="Nobody is ejected for how he answers (ejection: off).",
            rich_help_panel="The balancer",
        ),
    ] = False,
    retry_failures: Annotated[
        bool,
        typer.Option(
            "--retry-failures",
            help="Try answers of 503 elsewhere too (retry.on_status).",
            rich_help_panel="The balancer",
        ),
    ] = False,
    workers: Annotated[
        int,
        typer.Option("--workers", min=1, max=1024, metavar="N", help="Its processes.", rich_help_panel="The balancer"),
    ] = 1,
    view: Annotated[
        str,
        typer.Option(
            "--view",
            metavar="shared|separate",
            help="Whether workers see what the others have in flight.",
            rich_help_panel="The balancer",
        ),
    ] = "shared",
    probe_delay: Annotated[
        float,
        typer.Option(
            "--probe-delay",
            min=0.0,
            metavar="TIME",
            help="Until a probe of prequal:probe.path=... is answered; without a path nothing is sent.",
            rich_help_panel="The balancer",
        ),
    ] = 0.01,
    warmup: Annotated[
        str,
        typer.Option(
            "--warmup",
            metavar="SHARE",
            help="Of the requests, from the first, that the figures leave out.",
            rich_help_panel="The report",
        ),
    ] = "10%",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print an object for programs.", rich_help_panel="The report")
    ] = False,
    plot: Annotated[
        Path | None,
        _each("--plot", "FILE", "Draw a picture: .png, .svg or .pdf (needs steelyard[plot]).", "The report"),
    ] = None,
) -> None:
    from steelyard.cli import simulate_setup as setup
    from steelyard.observe.streams import outlived

    written = setup.Written(
        policies=tuple(policy or POLICIES),
        backends=backends,
        load=load,
        requests=requests,
        seed=seed,
        arrivals=arrivals,
        service=service,
        trace=trace,
        service_time=service_time,
        key=key,
        keys=keys,
        zipf=zipf,
        speed=tuple(speed or ()),
        concurrency=tuple(concurrency or ()),
        weight=tuple(weight or ()),
        limit=tuple(limit or ()),
        slow=tuple(slow or ()),
        fail=tuple(fail or ()),
        fast_fail=tuple(fast_fail or ()),
        down=tuple(down or ()),
        checks=checks,
        tries=tries,
        no_ejection=no_ejection,
        retry_failures=retry_failures,
        workers=workers,
        view=view,
        probe_delay=probe_delay,
        warmup=warmup,
        plot=plot,
    )
    with outlived():
        with redirect_stdout(sys.stderr):  # what somebody's policy prints is not part of the report
            scenario = setup.scenario(written)
            named = setup.policies(written, scenario)
            outcomes, stopped = _compare(scenario, named)
        _report(scenario, outcomes, as_json, plot)
    if stopped:
        typer.echo(f"stopped: {len(outcomes)} of {len(named)} policies were simulated", err=True)
        raise typer.Exit(STOPPED)


simulate.__doc__ = EXAMPLES


def _compare(scenario: "Scenario", named: "list[tuple[str, PolicySpec]]") -> "tuple[list[Outcome], bool]":
    """Simulate each. Returns those that are done, and whether Ctrl-C has kept the others from it."""
    from steelyard.cli import simulate_setup, simulate_show
    from steelyard.control.foreign import described
    from steelyard.simulate.run import simulate as run

    outcomes: list[Outcome] = []
    with simulate_show.Bar(scenario.requests) as bar:
        for text, policy in named:
            try:
                outcomes.append(run(scenario, policy, text, bar.begin(text)))
            except KeyboardInterrupt:
                return outcomes, True
            except BaseException as exc:  # somebody else's code may raise anything
                if not simulate_setup.is_foreign(policy):
                    raise
                typer.echo(f"command line: --policy {text}: raised {described(exc)}; mend the policy", err=True)
                raise typer.Exit(1) from None
    return outcomes, False


def _report(scenario: "Scenario", outcomes: "list[Outcome]", as_json: bool, plot: Path | None) -> None:
    """Print and draw what there is; ends with 1 where it cannot be written."""
    from steelyard.cli import simulate_show
    from steelyard.simulate import plot as picture
    from steelyard.simulate import report
    from steelyard.simulate.plot import PlotError

    for one in outcomes:
        for note in one.notes:
            typer.echo(note, err=True)
    if not outcomes:
        return
    unwritten = []
    try:
        if as_json:
            typer.echo(json.dumps(report.as_json(scenario, outcomes), indent=2, allow_nan=False))
        else:
            simulate_show.show(scenario, outcomes)
        sys.stdout.flush()
    except BrokenPipeError:  # nobody reads on: click ends with 1 and says nothing
        raise
    except OSError as exc:
        unwritten.append(f"standard output: cannot be written: {exc.strerror}; send it elsewhere")
    try:
        if plot is not None:
            picture.draw(scenario, outcomes, simulate_show.title(scenario), plot)
    except PlotError as exc:
        unwritten.append(str(exc))
    for message in unwritten:
        typer.echo(message, err=True)
    if unwritten:
        raise typer.Exit(1)
