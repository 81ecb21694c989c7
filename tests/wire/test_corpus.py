"""The fuzzers' corpus, replayed on whatever build runs: what was found once stays found.

A case that fails here fails alone with `python -m tests.fuzz --replay FILE`.
"""

from pathlib import Path

import pytest

from tests.fuzz.builds import imported
from tests.fuzz.corpus import CORPUS, MAX_FILE_BYTES, cases
from tests.fuzz.targets import TARGETS

CASES = [pytest.param(name, path, id=f"{name}/{path.name}") for name in TARGETS for path in cases(name)]


@pytest.mark.parametrize(("name", "path"), CASES)
def test_a_case_of_the_corpus_holds_every_property_of_its_target(name: str, path: Path) -> None:
    TARGETS[name].run([imported()], path.read_bytes())


def test_every_target_has_a_corpus_of_small_files_and_there_is_no_other() -> None:
    assert set(TARGETS) == {path.name for path in CORPUS.iterdir()}
    assert [] == [path for name in TARGETS for path in cases(name) if path.stat().st_size > MAX_FILE_BYTES]
