"""The tables say the figures, and whether a goal was met."""

from dataclasses import replace

import pytest
from rich.console import Console

from bench.idle import Idle
from bench.lifecycle import Figure
from bench.picks import PickCost
from bench.results import Results
from bench.rounds import Sample
from bench.scaling import Scaling
from bench.slow import Slow
from bench.summary import Row
from bench.table import (
    cells,
    held_cells,
    idle_cells,
    lifecycle_cells,
    markdown,
    pick_cells,
    scaling_cells,
    significant,
    slow_cells,
    tcp_cells,
    terminal,
    udp_cells,
)
from bench.tcp import Held, Tcp
from bench.udp import Udp

ROW = Row("small", "steelyard", 14.04, 13.96, 15.5, 0.987, 0.95, 70123.4, 812.0, 2149.0, 0.987, 1.15, True)
PICKS = [
    PickCost("maglev", 10, 0.25, None),
    PickCost("maglev", 10_000, 0.4, 321.0),
    PickCost("maglev", 100_000, 4.0, None),
]

SCALING = [Scaling(1, 1, 1000, 20.0), Scaling(1, 2, 1000, 20.6), Scaling(2, 2, 900, 21.0), Scaling(2, 1, 900, 20.0)]
FIGURES = [Figure("a reload", 0.5, "s", 1.0), Figure("a worker", 61.25, "MiB", 60), Figure("CPU", 0.75, "s")]
SLOW = [
    Slow(1, "none", 0, 3940.0, 200.0, 2600.0),
    Slow(1, "heads", 2000, 3930.0, 210.0, 2700.0),
    Slow(2, "heads", 2000, 3930.0, 210.0, 9900.0),
    Slow(1, "bodies", 2000, 3930.0, 220.0, 5200.0),
]


UDP = [
    Udp(1, "nginx", 10_000, 9990.0, 0, 22.9, 2100.0),
    Udp(1, "steelyard", 10_000, 9991.0, 7, 20.0, 900.0),
    Udp(2, "steelyard", 10_000, 9992.0, 0, 21.0, 910.0),
    Udp(1, "nginx", 20_000, 19980.0, 5, 20.1, 2100.0),
    Udp(1, "steelyard", 20_000, 19981.0, 9, 19.2, 905.0),
]

TCP = [
    Tcp(1, "echo", "haproxy", 1000, 11.0),
    Tcp(1, "echo", "steelyard", 1000, 11.88),
    Tcp(1, "transfer", "haproxy", 10, 500.0),
    Tcp(1, "transfer", "steelyard", 10, 600.0),
]
HELD = [Held("haproxy", 9000, 3400.0), Held("steelyard", 9000, 3328.0)]
RESULTS = Results(
    started="2026-11-20T10:00:00+00:00",
    machine={"cpu": "Some CPU", "virtual": "no", "kernel": "6.18"},
    versions={"nginx": "1.22.1"},
    settings={"rounds": 1, "seconds": 3},
    samples=[Sample(1, "small", "steelyard", 1000, 14.04, 70123.4, 812.0, 2149.0, 0.987, 0.01)],
    idle=[Idle("steelyard", 5000, 2**20, 1024)],
    picks=PICKS,
    scaling=SCALING,
    lifecycle=FIGURES,
    slow=SLOW,
    udp=UDP,
    tcp=TCP,
    held=HELD,
)


def test_tcp_is_judged_by_haproxy() -> None:
    assert [
        ("100 B echo", "HAProxy", "11.0", "", ""),
        ("100 B echo", "Steelyard", "11.9", "1.08", "≤ 1.20: met"),
        ("1 MiB", "HAProxy", "500", "", ""),
        ("1 MiB", "Steelyard", "600", "1.20", "≤ 1.00: MISSED"),
    ] == tcp_cells(TCP)
    assert ["≤ 1.20"] == [line[-1] for line in tcp_cells(TCP[1:2])]
    assert "< 10 KiB: MISSED" == held_cells([replace(HELD[1], connection_bytes=10 * 1024.0)])[0][-1]


def test_datagrams_are_judged_by_the_round_with_the_least_lost_where_nginx_has_lost_none() -> None:
    assert [
        ("nginx", "9,990", "0", "22.9", "2.05 KiB", ""),
        ("Steelyard", "9,992", "0", "20.5", "0.88 KiB", "none lost, < 2 KiB: met"),
        ("nginx", "19,980", "5", "20.1", "2.05 KiB", ""),
        ("Steelyard", "19,981", "9", "19.2", "0.88 KiB", "none lost, < 2 KiB"),
    ] == udp_cells(UDP)
    assert udp_cells(UDP[:2])[1][-1].endswith(": MISSED")
    assert udp_cells([UDP[0], replace(UDP[2], session_bytes=2048.0)])[1][-1].endswith(": MISSED")
    assert ["none lost, < 2 KiB"] == [line[-1] for line in udp_cells(UDP[2:3])]


def test_slow_clients_are_judged_by_the_best_rounds() -> None:
    assert [
        ("no slow clients", "0", "3,940", "0.20", "2.60", "", ""),
        ("slow heads", "2,000", "3,930", "0.21", "2.70", "1.04", "< 2: met"),
        ("slow bodies", "2,000", "3,930", "0.22", "5.20", "2.00", "< 2: MISSED"),
    ] == slow_cells(SLOW)
    assert [("slow heads", "")] == [(line[0], line[-1]) for line in slow_cells(SLOW[1:3])]


def test_a_second_worker_is_judged_by_the_ratios_within_the_rounds() -> None:
    assert [("1", "20.0", "", ""), ("2", "20.8", "1.04", "≤ 1.05: met")] == scaling_cells(SCALING)
    worse = [replace(sample, cpu_us=sample.cpu_us + sample.workers) for sample in SCALING]
    assert "≤ 1.05: MISSED" == scaling_cells(worse)[1][-1]


def test_each_figure_of_a_life_has_its_own_goal() -> None:
    expected = [
        ("a reload", "0.50 s", "≤ 1 s: met"),
        ("a worker", "61.2 MiB", "≤ 60 MiB: MISSED"),
        ("CPU", "0.75 s", ""),
    ]
    assert expected == lifecycle_cells(FIGURES)


def test_a_line_has_every_figure() -> None:
    expected = ("95 B", "Steelyard", "14.0", "14.0 to 15.5", "0.99", "0.95", "70,123", "0.81", "2.15", "99%")
    assert (*expected, "≤ 1.15: met") == cells([ROW])[0]


def test_a_missed_goal_is_said_aloud_and_one_that_was_not_judged_is_not() -> None:
    assert "≤ 1.15: MISSED" == cells([replace(ROW, goal_met=False)])[0][-1]
    assert "≤ 1.15" == cells([replace(ROW, goal_met=None)])[0][-1]
    assert "" == cells([replace(ROW, goal=None, goal_met=None)])[0][-1]


def test_a_ratio_that_does_not_exist_stays_empty() -> None:
    assert ("", "0.95") == cells([replace(ROW, to_nginx=None)])[0][4:6]


def test_memory_is_said_in_kib_a_client() -> None:
    idle = [Idle("nginx", 5000, 9 * 2**20, 410), Idle("steelyard", 5000, 40 * 2**20, 20480)]
    expected = [
        ("nginx", "5,000", "9.0 MiB", "0.40 KiB", ""),
        ("Steelyard", "5,000", "40.0 MiB", "20.00 KiB", "< 10 KiB: MISSED"),
    ]
    assert expected == idle_cells(idle)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_one_pick_above_its_goal_is_a_goal_missed(at: int) -> None:
    costs = [replace(cost, pick_us=cost.pick_us + 4.0 * (index == at)) for index, cost in enumerate(PICKS)]
    assert pick_cells(costs)[0][-1].endswith(": MISSED")


def test_a_rebuild_above_its_goal_is_one_too() -> None:
    costs = [replace(cost, policy="random") for cost in PICKS]
    assert "≤ 1, 2, 4 µs, 100 ms: MISSED" == pick_cells(costs)[0][-1]


def test_large_figures_lose_their_decimals() -> None:
    assert ("99.9", "100", "587") == (significant(99.94), significant(100.4), significant(587.2))


def test_markdown_has_all_tables_and_the_notes() -> None:
    text = markdown(RESULTS)
    speed, memory, choosing, workers, life, beside, streams, held, datagrams, notes = text.split("\n\n")
    heading, rule, line = speed.splitlines()
    assert heading.count("|") == rule.count("|") == line.count("|") == 12
    assert line.startswith("| 95 B | Steelyard | 14.0 |")
    assert "| Steelyard | 5,000 | 1.0 MiB | 1.00 KiB | < 10 KiB: met |" == memory.splitlines()[2]
    assert "| maglev | 0.25 | 0.40 | 4.00 | 321.0 | ≤ 1, 2, 4 µs, 500 ms: met |" == choosing.splitlines()[2]
    assert "| 2 | 20.8 | 1.04 | ≤ 1.05: met |" == workers.splitlines()[3]
    assert "| a reload | 0.50 s | ≤ 1 s: met |" == life.splitlines()[2]
    assert "| slow heads | 2,000 | 3,930 | 0.21 | 2.70 | 1.04 | < 2: met |" == beside.splitlines()[3]
    assert "| Steelyard | 9,992 | 0 | 20.5 | 0.88 KiB | none lost, < 2 KiB: met |" == datagrams.splitlines()[3]
    assert "| 100 B echo | Steelyard | 11.9 | 1.08 | ≤ 1.20: met |" == streams.splitlines()[3]
    assert "| 1 MiB | Steelyard | 600 | 1.20 | ≤ 1.00: MISSED |" == streams.splitlines()[5]
    assert "| Steelyard | 9,000 | 3.25 KiB | < 10 KiB: met |" == held.splitlines()[3]
    assert "  \n".join(RESULTS.notes()) == notes


def test_the_terminal_table_separates_the_cases_and_keeps_every_figure() -> None:
    two = replace(RESULTS, samples=[*RESULTS.samples, replace(RESULTS.samples[0], case="medium", cpu_us=21.7)], idle=[])
    speed, memory, choosing, workers, life, beside, streams, held, datagrams = terminal(two)
    console = Console(width=170, record=True, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115
    console.print(speed)
    text = console.export_text()
    console.file.close()
    assert 2 == text.count("Steelyard")
    assert "21.7" in text
    assert [True, False] == [line.end_section for line in speed.rows]
    others = (memory, choosing, workers, life, beside, streams, held, datagrams)
    assert (0, 1, 2, 3, 3, 4, 2, 4) == tuple(one.row_count for one in others)
