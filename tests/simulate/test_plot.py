"""The picture: it has every policy's name in it, is a picture in each form, and says what it needs."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

from steelyard.core.spec import PolicySpec
from steelyard.simulate import plot
from steelyard.simulate.plot import PlotError
from steelyard.simulate.run import simulate
from steelyard.simulate.scenario import Scenario, Trouble
from tests.simulate.worlds import a_scenario

pytest.importorskip("matplotlib")

NAMES = ("round_robin", "random", "power_of_two", "least_connections", "hash")


def drawn(scenario: Scenario, path: Path, names: tuple[str, ...] = NAMES) -> bytes:
    plot.check(path)
    plot.draw(scenario, [simulate(scenario, PolicySpec(name)) for name in names], "A <title>", path)
    return path.read_bytes()


@pytest.mark.parametrize("backends", [4, 60])
def test_five_policies_are_named_in_one_picture(backends: int, tmp_path: Path) -> None:
    troubles = (Trouble("down", 0.0, (0,), 20.0, 30.0), Trouble("slow", 3.0, (1,)))
    text = drawn(a_scenario(backends=backends, troubles=troubles), tmp_path / "a.svg").decode()
    for words in (*NAMES, "A &lt;title&gt;", "How many took longer", "Mean and percentiles", "share of the tries, %"):
        assert f">{words}<" in text
    assert ">Longest queue (shaded: trouble)<" in text


@pytest.mark.parametrize(("name", "magic"), [("a.png", b"\x89PNG"), ("a.PDF", b"%PDF")])
def test_other_forms(name: str, magic: bytes, tmp_path: Path) -> None:
    assert drawn(a_scenario(), tmp_path / name, ("random",)).startswith(magic)


def test_nine_policies_are_told_apart_by_colour_or_line(tmp_path: Path) -> None:
    scenario = a_scenario(requests=200)
    runs = [simulate(scenario, PolicySpec("random"), f"policy {at}") for at in range(9)]
    plot.draw(scenario, runs, "", tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text()
    assert all(f">policy {at}<" in text for at in range(9))
    assert "stroke-dasharray" in text


def test_a_run_in_which_nothing_was_served_can_be_drawn(tmp_path: Path) -> None:
    scenario = a_scenario(requests=50, troubles=(Trouble("down", 0.0, (0, 1, 2, 3)),), checks=0.0)
    assert drawn(scenario, tmp_path / "a.svg", ("random",))


def test_one_that_served_nobody_has_no_bars_beside_one_that_did(tmp_path: Path) -> None:
    scenario = a_scenario(requests=50)
    gone = a_scenario(requests=50, troubles=(Trouble("down", 0.0, (0, 1, 2, 3)),), checks=0.0)
    runs = [simulate(one, PolicySpec("random"), name) for one, name in ((gone, "nobody"), (scenario, "all"))]
    assert None is runs[0].mean
    path = tmp_path / "a.svg"
    plot.draw(scenario, runs, "", path)
    assert all(f">{name}<" in path.read_text() for name in ("nobody", "all"))
    axes = import_module("matplotlib.figure").Figure().subplots()
    plot._bars(axes, runs, [{"color": "black"}] * 2)
    assert 1 == len(axes.containers)


def test_whether_it_can_be_written_is_tried_before_the_run_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.svg"
    plot.check(path)
    assert not path.exists()
    path.write_text("old")
    plot.check(path)
    assert "old" == path.read_text()
    for name in ("directory.svg", "x" * 300 + ".svg", "nul\0.svg"):
        wrong = tmp_path / name
        if name.startswith("d"):
            wrong.mkdir()
        with pytest.raises(PlotError, match=r"cannot be written: .*; name another file"):
            plot.check(wrong)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.gif", "is no kind of picture; let its name end in .png, .svg or .pdf"),
        ("missing/a.png", "its directory does not exist; make it, or name another one"),
    ],
)
def test_a_picture_that_cannot_be_written_is_refused_before_the_run(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(PlotError) as caught:
        plot.check(tmp_path / name)
    assert f"{tmp_path / name}: {message}" == str(caught.value)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.svg"
    path.mkdir()
    scenario = a_scenario(requests=100)
    with pytest.raises(PlotError, match="cannot be written: Is a directory; name another file"):
        plot.draw(scenario, [simulate(scenario, PolicySpec("random"))], "", path)


def test_without_matplotlib_the_error_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(PlotError) as caught:
        plot.check(tmp_path / "a.png")
    assert "--plot needs matplotlib, which is not installed: pip install 'steelyard[plot]'" == str(caught.value)
