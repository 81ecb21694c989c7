"""What the whole suite shares: what a test may need, and when a skip is a failure.

`@pytest.mark.needs("wrk")` skips a test where a program is missing and says how to get it; `compiled` and
`interpreted` keep a test to the build it is about. With STEELYARD_REQUIRE_ALL=1 (.ci/run) nothing may be missing:
any skip but those two is a failure. STEELYARD_EXPECT=compiled|checked|interpreted says which build the run is meant to
be, so that a run of the wrong one cannot pass for it.
"""

import os
import shutil
import signal
from collections.abc import Generator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Final

import pytest
from hypothesis import Phase, settings

from steelyard.wire import http1

# What several tests share is asserted with values too; said here, before any test module imports one of them.
pytest.register_assert_rewrite("tests.fakes", "tests.fakes_core", "tests.processes", "tests.real", "tests.systems")

COMPILED: Final = str(http1.__file__).endswith(tuple(EXTENSION_SUFFIXES))
# checked: compiled with every index checked, in a tree of its own (tools/compile.py).
BUILD: Final = "interpreted" if not COMPILED else "checked" if "checked" in Path(http1.__file__).parts else "compiled"
REQUIRE_ALL: Final = os.environ.get("STEELYARD_REQUIRE_ALL") == "1"

# Which Debian package brings a program whose package is called otherwise.
PACKAGES: Final = {"ab": "apache2-utils", "nginx": "nginx-light", "cc": "gcc", "ss": "iproute2", "ps": "procps"}
OTHER_BUILD: Final = "for the other build: "

# No deadline for one example: a busy machine is slow, not wrong. A run that gates a change is the same every time.
settings.register_profile("house", deadline=None, derandomize=REQUIRE_ALL or "CI" in os.environ, print_blob=True)
# Where only whether a test fails is asked, nobody waits for the smallest example of it.
settings.register_profile("mutants", settings.get_profile("house"), phases=(Phase.explicit, Phase.generate))
# `make fuzz`: many examples, and others every time.
EXAMPLES: Final = int(os.environ.get("STEELYARD_EXAMPLES", "1000"))
settings.register_profile("fuzz", settings.get_profile("house"), max_examples=EXAMPLES, derandomize=False)
settings.load_profile("house")


# A script that runs the suite in its background has it ignore Ctrl-C; every program that a test starts would, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> str:
    return f"steelyard: {BUILD}"


def pytest_sessionstart() -> None:
    expected = os.environ.get("STEELYARD_EXPECT", BUILD)
    if expected != BUILD:
        pytest.exit(f"this run is meant to be {expected}, but steelyard is {BUILD}", returncode=4)


def pytest_runtest_setup(item: pytest.Item) -> None:
    search = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    for mark in item.iter_markers("needs"):
        missing = [program for program in mark.args if shutil.which(program, path=search) is None]
        if missing:
            packages = " ".join(PACKAGES.get(program, program) for program in missing)
            pytest.skip(f"needs {' '.join(missing)}: apt-get install {packages}")
    other = "interpreted" if COMPILED else "compiled"
    if item.get_closest_marker(other) is not None:
        pytest.skip(OTHER_BUILD + other)


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure where all must run."""
    if not (REQUIRE_ALL and report.outcome == "skipped") or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if OTHER_BUILD not in reason:
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid}: {reason} (STEELYARD_REQUIRE_ALL=1: nothing may be skipped)"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse_skip(report)
    return report
