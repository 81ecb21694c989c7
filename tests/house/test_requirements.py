"""tests/conftest.py: a test says what it needs; where all must run, a skip is a failure."""

from pathlib import Path

import pytest

# Each test starts a pytest of its own.
pytestmark = pytest.mark.slow

CONFTEST = Path(__file__).parent.parent / "conftest.py"


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A suite of one's own under our conftest, with no variable of the outer run."""
    for name in ("STEELYARD_REQUIRE_ALL", "STEELYARD_EXPECT", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    pytester.makeconftest(CONFTEST.read_text())
    pytester.makepyprojecttoml(
        """
        [tool.pytest]
        strict = true
        markers = ["needs(*programs): x", "compiled: x", "interpreted: x"]
        """
    )
    return pytester


def run(suite: pytest.Pytester) -> pytest.RunResult:
    # In a process of its own: the conftest reads the environment when it is imported.
    return suite.runpytest_subprocess("-p", "no:cacheprovider", "-rs")


NEEDS_ODDITY = """
    import pytest

    @pytest.mark.needs("oddity-7", "sh", "ab-7")
    def test_odd(): pass
    """


def test_a_missing_program_skips_the_test_and_says_how_to_get_it(suite: pytest.Pytester) -> None:
    suite.makepyfile(NEEDS_ODDITY)
    result = run(suite)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*needs oddity-7 ab-7: apt-get install oddity-7 ab-7"])


def test_the_package_is_named_where_it_is_called_otherwise(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    conftest = suite.path / "conftest.py"
    conftest.write_text(conftest.read_text().replace('"ab": ', '"oddity-7": '))
    suite.makepyfile("import pytest\n@pytest.mark.needs('oddity-7')\ndef test_load(): pass")
    run(suite).stdout.fnmatch_lines(["*needs oddity-7: apt-get install apache2-utils"])


def test_a_test_runs_whose_programs_are_there(suite: pytest.Pytester) -> None:
    suite.makepyfile("import pytest\n@pytest.mark.needs('sh')\ndef test_shell(): pass")
    run(suite).assert_outcomes(passed=1)


def test_where_all_must_run_a_missing_program_is_a_failure(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEELYARD_REQUIRE_ALL", "1")
    suite.makepyfile(NEEDS_ODDITY)
    result = run(suite)
    assert pytest.ExitCode.TESTS_FAILED == result.ret
    result.stdout.fnmatch_lines(["*needs oddity-7 ab-7: apt-get install*(STEELYARD_REQUIRE_ALL=1*"])


@pytest.mark.parametrize(
    "source",
    [
        "import pytest\ndef test_late(): pytest.skip('not today')",
        "import pytest\n@pytest.mark.skip(reason='not today')\ndef test_marked(): pass",
        "import pytest\npytest.skip('not today', allow_module_level=True)",
        "import pytest\npytest.importorskip('no_such_module_7')",
    ],
    ids=["in the test", "by a mark", "a whole module", "a missing import"],
)
def test_where_all_must_run_every_kind_of_skip_is_a_failure(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    suite.makepyfile(source)
    assert run(suite).ret in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    monkeypatch.setenv("STEELYARD_REQUIRE_ALL", "1")
    assert run(suite).ret in (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED)


def test_a_test_for_the_other_build_is_left_to_the_other_run(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEELYARD_REQUIRE_ALL", "1")
    suite.makepyfile(
        "import pytest\n@pytest.mark.compiled\ndef test_c(): pass\n@pytest.mark.interpreted\ndef test_python(): pass\n"
    )
    result = run(suite)
    result.assert_outcomes(passed=1, skipped=1)
    assert pytest.ExitCode.OK == result.ret


def test_an_expected_failure_is_no_skip(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEELYARD_REQUIRE_ALL", "1")
    suite.makepyfile("import pytest\n@pytest.mark.xfail(reason='known')\ndef test_known(): assert False")
    run(suite).assert_outcomes(xfailed=1)


def test_a_run_of_the_wrong_build_does_not_pass_for_the_right_one(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEELYARD_EXPECT", "hand-forged")
    suite.makepyfile("def test_anything(): pass")
    result = run(suite)
    assert 4 == result.ret
    result.stderr.fnmatch_lines(["*meant to be hand-forged, but steelyard is *"])
