"""Without matplotlib there is no picture, and no error either."""

from pathlib import Path

import pytest

from bench import picture


def test_a_missing_matplotlib_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> object:
        raise ImportError(name)

    monkeypatch.setattr(picture, "import_module", missing)
    assert picture.draw([], "", tmp_path / "latest.png") is False
    assert not (tmp_path / "latest.png").exists()
