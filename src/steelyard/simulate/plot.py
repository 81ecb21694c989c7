"""A comparison as a picture: how long requests took, who got them, and the queues over time.

Four panels: the share of requests that took longer than a time (both scales logarithmic, where tails show as they
are); mean and percentiles side by side; each backend's share, or with many backends their distribution; and the
longest queue over time, with the hours of trouble shaded.
Colours are Okabe and Ito's, which colour-blind people can tell apart; beyond eight policies line styles differ too.
matplotlib is in the extra `plot`. It is imported by name when a picture is wanted: nothing else needs it.
"""

from collections.abc import Sequence
from importlib import import_module
from math import inf
from pathlib import Path
from typing import Any, Final

from steelyard.errors import SteelyardError
from steelyard.simulate.report import Outcome
from steelyard.simulate.scenario import Scenario

SUFFIXES: Final = (".png", ".svg", ".pdf")
LABELLED: Final = 6  # policies whose bars have room for a number
SHARES_DRAWN: Final = 40  # bars that can still be told apart; beyond, a distribution
FAR_APART: Final = 8  # how many times longer one policy's longest queue may be on a linear scale
# Okabe and Ito (2008), but for the yellow, which white paper swallows.
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#7F7F7F")
STYLES: Final = ("-", "--", ":", "-.")
INK: Final = "#444444"
# `none`: text stays text in an SVG, so that it can be searched, and needs no fonts inside.
RC: Final = {"svg.fonttype": "none", "font.size": 9.5, "axes.titlesize": 11, "axes.edgecolor": INK}


class PlotError(SteelyardError):
    """No picture can be made; the message says how to get one."""


def check(path: Path) -> None:
    """Raise PlotError when a picture could not be written there: before the simulation, not after it."""
    if path.suffix.lower() not in SUFFIXES:
        raise PlotError(
            f"{path}: is no kind of picture; let its name end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
        )
    _matplotlib()
    try:
        if not path.absolute().parent.is_dir():
            raise PlotError(f"{path}: its directory does not exist; make it, or name another one")
        is_new = not path.exists()
        with path.open("ab"):  # the one sure way to learn whether it may be written; what is there stays
            pass
        if is_new:
            path.unlink()
    except (OSError, ValueError) as exc:
        raise _unwritable(path, exc) from exc


def draw(scenario: Scenario, outcomes: Sequence[Outcome], title: str, path: Path) -> None:
    """Write the picture. Raises PlotError when matplotlib is missing, or the file cannot be written."""
    matplotlib = _matplotlib()
    with matplotlib.rc_context(RC):
        figures: Any = import_module("matplotlib.figure")
        figure = figures.Figure(figsize=(13, 8.4), dpi=130, facecolor="white", layout="constrained")
        (tails, bars), (shares, queues) = figure.subplots(2, 2)
        looks = [
            {"color": COLOURS[at % len(COLOURS)], "linestyle": STYLES[at // len(COLOURS) % len(STYLES)]}
            for at in range(len(outcomes))
        ]
        _tails(tails, outcomes, looks)
        _bars(bars, outcomes, looks)
        _shares(shares, outcomes, looks)
        _queues(queues, scenario, outcomes, looks)
        for axes in (tails, bars, shares, queues):
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(color="#e6e6e6", linewidth=0.7)
            axes.set_axisbelow(True)
            axes.tick_params(colors=INK)
        handles, labels = tails.get_legend_handles_labels()
        columns = min(len(labels), 5)
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=10.5)
        figure.suptitle(title, fontsize=12.5, fontweight="bold")
        try:
            figure.savefig(path)
        except OSError as exc:
            raise _unwritable(path, exc) from exc


def _unwritable(path: Path, exc: Exception) -> PlotError:
    reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
    return PlotError(f"{path}: cannot be written: {reason}; name another file")


def _matplotlib() -> Any:
    try:
        return import_module("matplotlib")
    except ImportError as exc:
        raise PlotError("--plot needs matplotlib, which is not installed: pip install 'steelyard[plot]'") from exc


def _tails(axes: Any, outcomes: Sequence[Outcome], looks: Sequence[dict[str, str]]) -> None:
    shortest = inf
    for one, look in zip(outcomes, looks, strict=True):
        points = [(time, above) for time, above in one.above if above > 0.0 and time > 0.0]
        axes.plot(*_columns(points, 2), label=one.policy, linewidth=1.9, **look)
        if one.p50 is not None:
            shortest = min(shortest, one.p50)
    if 0.0 < shortest < inf:
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(left=shortest / 20)
    axes.set_title("How many took longer")
    axes.set_xlabel("response time (mean service times)")
    axes.set_ylabel("share of requests that took longer")


def _bars(axes: Any, outcomes: Sequence[Outcome], looks: Sequence[dict[str, str]]) -> None:
    names = ("mean", "p50", "p90", "p99", "p99.9")
    width = 0.84 / len(outcomes)
    for at, (one, look) in enumerate(zip(outcomes, looks, strict=True)):
        heights = [height for height in (one.mean, one.p50, one.p90, one.p99, one.p999) if height is not None]
        if not heights:  # nobody was served: there is nothing to draw, and no time of 0
            continue
        places = [group + (at + 0.5) * width - 0.42 for group in range(len(names))]
        drawn = axes.bar(places, heights, width * 0.92, color=look["color"])
        if len(outcomes) <= LABELLED:
            labels = [f"{height:,.0f}" if height >= 100 else f"{height:.3g}" for height in heights]
            axes.bar_label(drawn, labels, fontsize=7, color=INK, padding=2, rotation=90 if len(outcomes) > 3 else 0)
    axes.set_xticks(range(len(names)), names)
    if any(one.p999 for one in outcomes):  # else nothing was served at all
        axes.set_yscale("log")
    axes.margins(y=0.12)
    axes.set_title("Mean and percentiles")
    axes.set_ylabel("response time (mean service times)")


def _shares(axes: Any, outcomes: Sequence[Outcome], looks: Sequence[dict[str, str]]) -> None:
    count = len(outcomes[0].shares)
    axes.set_title("Each backend's share")
    if count <= SHARES_DRAWN:
        width = 0.84 / len(outcomes)
        for at, (one, look) in enumerate(zip(outcomes, looks, strict=True)):
            places = [number + (at + 0.5) * width - 0.42 for number in range(1, count + 1)]
            axes.bar(places, [100 * share for share in one.shares], width * 0.92, color=look["color"])
        axes.axhline(100 / count, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
        axes.set_xticks(range(1, count + 1, max(1, count // 20)))
        axes.set_xlabel("backend (dashed: an equal share)")
        axes.set_ylabel("share of the tries, %")
        return
    for one, look in zip(outcomes, looks, strict=True):
        ordered = sorted(100 * share for share in one.shares)
        axes.plot([100 * (at + 0.5) / count for at in range(count)], ordered, linewidth=1.9, **look)
    axes.axhline(100 / count, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"of {count} backends, the least asked first, % (dashed: an equal share)")
    axes.set_ylabel("share of the tries, %")


def _queues(axes: Any, scenario: Scenario, outcomes: Sequence[Outcome], looks: Sequence[dict[str, str]]) -> None:
    end, peaks = 0.0, []
    for one, look in zip(outcomes, looks, strict=True):
        times, longest, _ = _columns(one.samples, 3)
        axes.plot(times, longest, linewidth=1.2, alpha=0.9, **look)
        end = max([end, *times])
        peaks.append(max(longest))
    if max(peaks) > FAR_APART * max(1.0, min(peaks)):
        axes.set_yscale("symlog", linthresh=10)  # else the shorter ones would be one line at the bottom
    for start, stop in {(trouble.start, min(trouble.end, end)) for trouble in scenario.troubles}:
        if 0.0 < start < stop or stop < end:
            axes.axvspan(start, stop, color="#999999", alpha=0.15, linewidth=0)
    axes.set_ylim(bottom=0)
    axes.set_title("Longest queue" + (" (shaded: trouble)" if scenario.troubles else ""))
    axes.set_xlabel("time (mean service times)")
    axes.set_ylabel("requests at the busiest backend")


def _columns(rows: Sequence[tuple[float, ...]], count: int) -> list[list[float]]:
    return [[row[at] for row in rows] for at in range(count)]
