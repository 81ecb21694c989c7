"""tools/compile.py: what lies beside a source is made from that very source, or is gone."""

import os
from pathlib import Path

import pytest

from tools import compile as compiling


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two modules with twins, both compiled after they were written."""
    for name in ("a", "b"):
        for suffix, age in ((".py", 20), (".pxd", 20), (compiling.SUFFIX, 10)):
            path = tmp_path / f"{name}{suffix}"
            path.touch()
            os.utime(path, (1_000_000 - age, 1_000_000 - age))
    return tmp_path


def names(paths: list[Path]) -> list[str]:
    return [path.name.split(".")[0] for path in paths]


def test_what_is_newer_than_its_source_is_not_stale(tree: Path) -> None:
    assert [] == compiling.stale(tree)


@pytest.mark.parametrize("suffix", [".py", ".pxd"])
def test_what_is_older_than_either_twin_is_stale(tree: Path, suffix: str) -> None:
    (tree / f"b{suffix}").touch()
    assert ["b"] == names(compiling.stale(tree))


def test_an_extension_without_a_twin_or_for_another_python_is_removed(tree: Path) -> None:
    (tree / "b.pxd").unlink()
    (tree / "a.cpython-27-pdp11.so").touch()
    compiling.remove_orphans(tree)
    assert [f"a{compiling.SUFFIX}"] == [path.name for path in tree.glob("*.so")]


@pytest.mark.parametrize("compiler", ["/bin/false", "/no/such/compiler"])
def test_a_compiler_that_fails_or_is_not_there_does_not_work(compiler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", compiler)
    assert not compiling.compiler_works()


def test_without_a_compiler_there_is_nothing_to_fuzz(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CC", "/bin/false")
    assert 1 == compiling.compile_for_fuzzing()
    assert "C compiler" in capsys.readouterr().err


@pytest.mark.needs("cc")
def test_a_compiler_that_finds_the_headers_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    assert compiling.compiler_works()


def test_without_a_compiler_stale_extensions_go_and_the_others_stay(tree: Path) -> None:
    (tree / "a.py").touch()
    compiling.remove_stale(tree)
    assert [f"b{compiling.SUFFIX}"] == [path.name for path in tree.glob("*.so")]
