"""The figures in words: tables for the terminal, the same in Markdown for the README."""

from collections.abc import Sequence
from statistics import median

from rich.table import Table

from bench.balancers import BALANCERS, FLOOR
from bench.idle import Idle
from bench.lifecycle import Figure
from bench.picks import GOALS_US, REBUILT, PickCost, rebuild_goal_ms
from bench.results import Results
from bench.scaling import GOAL as SCALING_GOAL
from bench.scaling import Scaling
from bench.scaling import ratio as ratio_of_workers
from bench.slow import GOAL as SLOW_GOAL
from bench.slow import KINDS, USUAL, Slow
from bench.slow import best as best_of
from bench.slow import ratio as ratio_of_slow
from bench.summary import Row, idle_goal_met
from bench.summary import rows as rows_of
from bench.tcp import COMPARED as TCP_BALANCERS
from bench.tcp import GOALS as TCP_GOALS
from bench.tcp import HELD_GOAL_BYTES, Held, Tcp
from bench.tcp import TITLES as TCP_TITLES
from bench.tcp import ratio as ratio_of_tcp
from bench.udp import CLIENTS as UDP_CLIENTS
from bench.udp import DATAGRAMS, GOAL_BYTES, RATES, Udp, keeps_up, typical
from bench.udp import TITLES as UDP_TITLES
from bench.udp import best as best_of_udp
from bench.workload import CASES, IDLE_GOAL_BYTES, KIB

TITLES = {balancer.name: balancer.title for balancer in (*BALANCERS, FLOOR)}
CASE_TITLES = {case.name: case.title for case in CASES}
HEADINGS = (
    "answer",
    "balancer",
    "CPU µs/request",
    "least to most",
    "x nginx",
    "x HAProxy",
    "requests/s",
    "p50 ms",
    "p99 ms",
    "busy",
    "goal (x nginx)",
)
WORDS = {"what", "clients", "answer", "balancer", "policy", "goal", "goal (x nginx)"}
PICK_HEADINGS = (
    "policy",
    *[f"µs a pick, {size:,}" for size in GOALS_US],
    f"ms to rebuild, {REBUILT:,}",
    "goal",
)
SCALING_HEADINGS = ("workers", "CPU µs/request", "x one worker", "goal")
LIFECYCLE_HEADINGS = ("what", "figure", "goal")
SLOW_HEADINGS = ("clients", "slow ones", "requests/s", "p50 ms", "p99 ms", "x without", "goal")
TCP_HEADINGS = ("what", "balancer", "CPU µs/exchange", "x HAProxy", "goal")
HELD_HEADINGS = ("balancer", "connections", "memory each", "goal")
UDP_HEADINGS = ("balancer", "datagrams/s", "lost", "CPU µs/datagram", "per session", "goal")
IDLE_HEADINGS = ("balancer", "idle clients", "memory without", "per idle client", "goal")


def cells(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """The rows as text, a tuple of HEADINGS' length each."""
    return [
        (
            CASE_TITLES[row.case],
            TITLES[row.balancer],
            significant(row.cpu_us),
            f"{significant(row.cpu_low_us)} to {significant(row.cpu_high_us)}",
            ratio(row.to_nginx),
            ratio(row.to_haproxy),
            f"{row.requests_per_s:,.0f}",
            f"{row.p50_us / 1000:.2f}",
            f"{row.p99_us / 1000:.2f}",
            f"{row.busy:.0%}",
            "" if row.goal is None else verdict(f"≤ {row.goal:.2f}", row.goal_met),
        )
        for row in rows
    ]


def idle_cells(idle: Sequence[Idle]) -> list[tuple[str, ...]]:
    """The memory figures as text, a tuple of IDLE_HEADINGS' length each."""
    return [
        (
            TITLES[one.balancer],
            f"{one.clients:,}",
            f"{one.base_bytes / KIB / KIB:.1f} MiB",
            f"{one.client_bytes / KIB:.2f} KiB",
            "" if (met := idle_goal_met(one)) is None else verdict(f"< {IDLE_GOAL_BYTES // KIB} KiB", met),
        )
        for one in idle
    ]


def pick_cells(picks: Sequence[PickCost]) -> list[tuple[str, ...]]:
    """What choosing costs as text, one line a policy, a tuple of PICK_HEADINGS' length each."""
    lines = []
    for policy in dict.fromkeys(cost.policy for cost in picks):
        of_size = {cost.backends: cost for cost in picks if cost.policy == policy}
        rebuild_ms = of_size[REBUILT].rebuild_ms
        assert rebuild_ms is not None
        limits = ", ".join(f"{goal:g}" for goal in GOALS_US.values())
        goal = verdict(f"≤ {limits} µs, {rebuild_goal_ms(policy):g} ms", all(cost.met for cost in of_size.values()))
        costs = [f"{of_size[size].pick_us:.2f}" for size in GOALS_US]
        lines.append((policy, *costs, f"{rebuild_ms:.1f}", goal))
    return lines


def scaling_cells(samples: Sequence[Scaling]) -> list[tuple[str, ...]]:
    """What a second worker costs as text, a tuple of SCALING_HEADINGS' length each."""
    found = ratio_of_workers(samples)
    lines: list[tuple[str, ...]] = []
    for count in dict.fromkeys(sample.workers for sample in samples):
        cpu_us = median(sample.cpu_us for sample in samples if sample.workers == count)
        last = count > 1 and found is not None
        goal = verdict(f"≤ {SCALING_GOAL:.2f}", found is not None and found <= SCALING_GOAL) if last else ""
        lines.append((str(count), significant(cpu_us), ratio(found) if last else "", goal))
    return lines


def lifecycle_cells(figures: Sequence[Figure]) -> list[tuple[str, ...]]:
    """Starting, reloading and resting as text, a tuple of LIFECYCLE_HEADINGS' length each."""
    return [
        (
            figure.name,
            f"{figure.value:.2f} {figure.unit}" if figure.value < 10 else f"{figure.value:.1f} {figure.unit}",
            "" if figure.goal is None else verdict(f"≤ {figure.goal:g} {figure.unit}", figure.met),
        )
        for figure in figures
    ]


def slow_cells(samples: Sequence[Slow]) -> list[tuple[str, ...]]:
    """What slow clients cost the others as text, a tuple of SLOW_HEADINGS' length each: the best round of each."""
    lines: list[tuple[str, ...]] = []
    for kind, title in KINDS.items():
        found = best_of(samples, kind)
        if found is not None:
            over = None if kind == "none" else ratio_of_slow(samples, kind)
            goal = "" if over is None else verdict(f"< {SLOW_GOAL:g}", over < SLOW_GOAL)
            times = f"{found.p50_us / 1000:.2f}", f"{found.p99_us / 1000:.2f}"
            lines.append((title, f"{found.slow:,}", f"{found.requests_per_s:,.0f}", *times, ratio(over), goal))
    return lines


def udp_cells(samples: Sequence[Udp]) -> list[tuple[str, ...]]:
    """What datagrams cost as text, a tuple of UDP_HEADINGS' length each: of the losses the least of all rounds."""
    lines: list[tuple[str, ...]] = []
    for rate in RATES:
        for balancer, title in UDP_TITLES.items():
            found = best_of_udp(samples, balancer, rate)
            if found is None:
                continue
            cpu_us, session_bytes = typical(samples, balancer, rate)
            goal = ""
            if balancer == "steelyard":
                kept = keeps_up(samples, rate)
                met = None if kept is None else kept and session_bytes < GOAL_BYTES
                goal = verdict(f"none lost, < {GOAL_BYTES // KIB} KiB", met)
            size = f"{session_bytes / KIB:.2f} KiB"
            lines.append((title, f"{found.sent_per_s:,.0f}", str(found.lost), significant(cpu_us), size, goal))
    return lines


def of_udp(samples: Sequence[Udp]) -> Table:
    """The table of datagrams for rich."""
    title = f"{DATAGRAMS:,} datagrams by {UDP_CLIENTS:,} clients and back, one worker"
    return rich_table(title, UDP_HEADINGS, udp_cells(samples))


def of_slow(samples: Sequence[Slow]) -> Table:
    """The table of slow clients for rich."""
    return rich_table(f"Latency of {USUAL} clients beside slow ones, one worker", SLOW_HEADINGS, slow_cells(samples))


def tcp_cells(samples: Sequence[Tcp]) -> list[tuple[str, ...]]:
    """What passing TCP on costs as text, a tuple of TCP_HEADINGS' length each."""
    lines: list[tuple[str, ...]] = []
    for case, limit in TCP_GOALS.items():
        found = ratio_of_tcp(samples, case)
        for balancer in TCP_BALANCERS:
            own = [one.cpu_us for one in samples if (one.case, one.balancer) == (case, balancer.name)]
            if own:
                ours = balancer is TCP_BALANCERS[-1]
                goal = verdict(f"≤ {limit:.2f}", None if found is None else found <= limit) if ours else ""
                lines.append(
                    (TCP_TITLES[case], balancer.title, significant(median(own)), ratio(found) if ours else "", goal)
                )
    return lines


def held_cells(held: Sequence[Held]) -> list[tuple[str, ...]]:
    """What a held TCP connection costs as text, a tuple of HELD_HEADINGS' length each."""
    return [
        (
            TITLES[one.balancer],
            f"{one.connections:,}",
            f"{one.connection_bytes / KIB:.2f} KiB",
            verdict(f"< {HELD_GOAL_BYTES // KIB} KiB", one.connection_bytes < HELD_GOAL_BYTES)
            if one.balancer == TCP_BALANCERS[-1].name
            else "",
        )
        for one in held
    ]


def of_tcp(samples: Sequence[Tcp], held: Sequence[Held]) -> list[Table]:
    """The tables of TCP for rich."""
    return [
        rich_table("CPU time of passing TCP on, one worker", TCP_HEADINGS, tcp_cells(samples)),
        rich_table("Memory of a held TCP connection", HELD_HEADINGS, held_cells(held)),
    ]


def terminal(results: Results) -> list[Table]:
    """All tables for rich."""
    rows = rows_of(results.samples)
    speed = rich_table("CPU time per proxied request", HEADINGS, cells(rows))
    for row, following in zip(range(len(rows) - 1), rows[1:], strict=True):
        if following.case != rows[row].case:
            speed.rows[row].end_section = True
    return [
        speed,
        rich_table("Memory of an idle keep-alive client", IDLE_HEADINGS, idle_cells(results.idle)),
        rich_table(
            "CPU time of choosing a backend, by the number of backends", PICK_HEADINGS, pick_cells(results.picks)
        ),
        rich_table("Several workers on two cores", SCALING_HEADINGS, scaling_cells(results.scaling)),
        rich_table(
            "Starting, reloading and resting, with two workers", LIFECYCLE_HEADINGS, lifecycle_cells(results.lifecycle)
        ),
        of_slow(results.slow),
        *of_tcp(results.tcp, results.held),
        of_udp(results.udp),
    ]


def markdown(results: Results) -> str:
    """All tables and the notes, for the README."""
    tables = [
        markdown_table(HEADINGS, cells(rows_of(results.samples))),
        markdown_table(IDLE_HEADINGS, idle_cells(results.idle)),
        markdown_table(PICK_HEADINGS, pick_cells(results.picks)),
        markdown_table(SCALING_HEADINGS, scaling_cells(results.scaling)),
        markdown_table(LIFECYCLE_HEADINGS, lifecycle_cells(results.lifecycle)),
        markdown_table(SLOW_HEADINGS, slow_cells(results.slow)),
        markdown_table(TCP_HEADINGS, tcp_cells(results.tcp)),
        markdown_table(HELD_HEADINGS, held_cells(results.held)),
        markdown_table(UDP_HEADINGS, udp_cells(results.udp)),
    ]
    return "\n\n".join([*tables, "  \n".join(results.notes())])


def significant(number: float) -> str:
    """Three digits, which is more than such a measurement is good for."""
    return f"{number:.1f}" if number < 100 else f"{number:.0f}"


def ratio(number: float | None) -> str:
    return "" if number is None else f"{number:.2f}"


def verdict(goal: str, met: bool | None) -> str:
    """The goal with its result in a word; without one when it could not be judged."""
    return goal if met is None else f"{goal}: {'met' if met else 'MISSED'}"


def rich_table(title: str, headings: Sequence[str], lines: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title)
    for heading in headings:
        table.add_column(heading, justify="left" if heading in WORDS else "right", no_wrap=True)
    for line in lines:
        table.add_row(*line)
    return table


def markdown_table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---" if heading in WORDS else "---:" for heading in headings]
    return "\n".join("| " + " | ".join(line) + " |" for line in (headings, rule, *lines))
