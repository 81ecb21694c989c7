"""The documentation builds without a warning, the configurations in it load, and a release can gather its changes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from steelyard.control import config

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted(path for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")] if "_build" not in path.parts)
# A block that begins a whole configuration file; fragments are shown in prose.
YAML_BLOCK = re.compile(r"^```yaml\n((?:.*\n)*?)```$", re.MULTILINE)
pytestmark = pytest.mark.slow


def configurations() -> list[pytest.ParameterSet]:
    found = []
    for page in PAGES:
        for number, block in enumerate(YAML_BLOCK.findall(page.read_text()), 1):
            if re.search(r"^listeners:", block, re.MULTILINE):
                found.append(pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}"))
    return found


def test_it_builds_with_every_reference_resolved_and_no_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "--quiet", "--nitpicky", "--fail-on-warning", "--keep-going"]
    done = subprocess.run(
        [*command, "-d", tmp_path / "doctrees", ROOT / "docs", tmp_path / "html"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)
    page = (tmp_path / "html" / "configuration.html").read_text()
    assert "pools.NAME.health_check" in page
    for name in ("health.svg", "breaker.svg"):
        assert list((tmp_path / "html" / "_images").glob(name))


@pytest.mark.parametrize("text", configurations())
def test_a_configuration_in_the_documentation_loads(text: str) -> None:
    assert config.loads(text).listeners


def test_the_changelog_s_fragments_are_ones_that_a_release_can_gather() -> None:
    command = [sys.executable, "-m", "towncrier", "build", "--draft", "--version", "0.0.0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    assert "## 0.0.0" in done.stdout
