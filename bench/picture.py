"""The figures as a picture: CPU time per request, one panel a case, one bar a balancer.

matplotlib is in the extra `bench`; without it there is a table and no picture. It is imported by name, so that the
rest of the benchmark, and its type check, need none.
"""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from bench.summary import MEASURED, Row
from bench.table import TITLES, significant
from bench.workload import CASES

COLOURS = {"nginx": "#8a98a8", "haproxy": "#b5bfca", MEASURED: "#d9822b", "floor": "#e4e7eb"}
SHORT = {**TITLES, "floor": "floor"}


def draw(rows: Sequence[Row], caption: str, path: Path) -> bool:
    """Write the PNG; False when matplotlib is not installed."""
    try:
        pyplot: Any = import_module("matplotlib.figure")
        import_module("matplotlib.backends.backend_agg")
    except ImportError:
        return False
    figure = pyplot.Figure(figsize=(12, 4.6), dpi=150, facecolor="white", layout="constrained")
    for axes, case in zip(figure.subplots(1, len(CASES)), CASES, strict=True):
        _panel(axes, case.title, [row for row in rows if row.case == case.name])
    figure.suptitle("CPU time per proxied request, in µs (less is better)", fontsize=14, fontweight="bold")
    figure.supxlabel(caption, fontsize=8, color="#555555")
    figure.savefig(path)
    return True


def _panel(axes: Any, title: str, rows: Sequence[Row]) -> None:
    names = [SHORT[row.balancer] for row in rows]
    heights = [row.cpu_us for row in rows]
    whiskers = [[row.cpu_us - row.cpu_low_us for row in rows], [row.cpu_high_us - row.cpu_us for row in rows]]
    colours = [COLOURS[row.balancer] for row in rows]
    lines = {"ecolor": "#555555", "elinewidth": 1, "capsize": 3}
    axes.bar(names, heights, color=colours, yerr=whiskers, error_kw=lines)
    for place, row in enumerate(rows):
        label = significant(row.cpu_us)
        if row.balancer == MEASURED and row.to_nginx is not None:
            label += f"\n{row.to_nginx:.2f} x nginx"
        axes.annotate(
            label,
            (place, row.cpu_high_us),
            xytext=(0, 5),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            fontweight="bold" if row.balancer == MEASURED else "normal",
        )
    axes.set_title(f"answer: {title}", fontsize=11)
    axes.set_ylim(0, max(row.cpu_high_us for row in rows) * 1.25 if rows else 1)
    axes.tick_params(axis="x", labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#eeeeee")
    axes.set_axisbelow(True)
