"""The test runs of `make test`: the whole suite compiled, then the unit and property tests interpreted, with coverage.

    python -m tools.suite             both, then coverage of core/ and wire/ held at 100 % of branches
    python -m tools.suite --checked   the suite once, on the package in build/checked/lib (tools/compile.py makes it)

Where there is no C compiler the whole suite runs interpreted; with STEELYARD_REQUIRE_ALL=1 that is a failure.
All runs are made even if one fails, and pytest's own last lines stand together at the end.

Tests with real processes depend on the machine too: where up to three of them failed beside the others, they are run
once more with nothing beside them, and the suite has failed if one fails again. The end of the output says that it was
so, for such a test takes something about time for granted, or has met a race: either is to be looked for. (CPython's
own suite does the same, --rerun.)
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Final

from tools.compile import CHECKED, ROOT, SOURCE, compiler_works, shared_object, twins

INTERPRETED: Final = str(ROOT / "tools" / "interpreted")
# The rooms that have something compiled; of all others the first run was of the sources already.
ROOMS: Final = sorted({f"tests/{twin.relative_to(SOURCE / 'steelyard').parts[0]}" for twin in twins()})
# The tests that start servers are told nothing new by a run without compilation.
PURE: Final = ("-m", "not real and not slow", *ROOMS)
# One more than there are cores: the tests with processes wait for those half of their time.
WORKERS: Final = ("-n", str(min(4, 1 + (os.cpu_count() or 1))), "--dist", "worksteal")
# The rooms that decide and that parse: a branch that no test takes there is a branch that nobody has thought through.
WHOLLY_COVERED: Final = "src/steelyard/core/*,src/steelyard/wire/*"
# Beyond so many it is not chance.
ASKED_AGAIN: Final = 3
TESTS_FAILED: Final = 1  # pytest's exit status; all others mean that it could not run as it was told to
CACHE: Final = ROOT / "build" / "suite"
SUMMARY: Final = re.compile(r"^=+ .*(?:passed|failed|error|skipped|no tests ran).* =+$")


@dataclass(slots=True)
class Run:
    """One command: its name, its exit status, how long it took, and pytest's summary line."""

    name: str
    status: int
    seconds: float
    summary: str


def run(name: str, *command: str, **environ: str) -> Run:
    """Run a Python module and pass its output on as it comes."""
    print(f"\n--- {name} ---", flush=True)
    began = time.monotonic()
    summary = ""
    with subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env={**os.environ, **environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            if SUMMARY.match(line):
                summary = line.strip()
    return Run(name, process.returncode, time.monotonic() - began, summary)


def whole(build: str, **environ: str) -> list[Run]:
    """The whole suite on this build; then what failed of it, if that may be the machine's doing."""
    shutil.rmtree(CACHE, ignore_errors=True)
    pytest = ("pytest", "-o", f"cache_dir={CACHE}")
    first = run(f"the whole suite, {build}", *pytest, *WORKERS, STEELYARD_EXPECT=build, **environ)
    failed = _failed() if first.status == TESTS_FAILED else []
    if not 0 < len(failed) <= ASKED_AGAIN:
        return [first]
    again = run("what failed of it, alone", *pytest, "--last-failed", "-m", "real", STEELYARD_EXPECT=build, **environ)
    # One that is not marked real is not run again, so it is missing here.
    if again.status == 0 and re.search(rf" {len(failed)} passed", again.summary):
        first.status = 0
        first.name += f"; TO BE LOOKED AT: failed beside the others, passed alone: {' '.join(failed)}"
    return [first, again]


def _failed() -> list[str]:
    """The tests that the last run's cache says have failed."""
    record = CACHE / "v" / "cache" / "lastfailed"
    return sorted(json.loads(record.read_text())) if record.exists() else []


def interpreted() -> list[Run]:
    """The unit and property tests on the sources, measured; then the branches of core/ and wire/."""
    source_only = os.pathsep.join([INTERPRETED, *filter(None, [os.environ.get("PYTHONPATH")])])
    tests = run(
        "unit and property tests, interpreted",
        *("coverage", "run", "-m", "pytest", *WORKERS, *PURE),
        PYTHONPATH=source_only,
        STEELYARD_EXPECT="interpreted",
    )
    subprocess.run([sys.executable, "-m", "coverage", "combine", "-q"], cwd=ROOT, check=False)
    report = ("coverage", "report", f"--include={WHOLLY_COVERED}", "--fail-under=100")
    return [tests, run("branch coverage of core/ and wire/: 100 % is asked", *report)]


def main(arguments: list[str]) -> int:
    if arguments == ["--checked"]:
        lib = str(CHECKED / "lib")
        runs = whole("checked", PYTHONPATH=lib)
    elif compiler_works() and all(shared_object(twin).exists() for twin in twins()):
        subprocess.run([sys.executable, "-m", "coverage", "erase"], cwd=ROOT, check=True)
        runs = [*whole("compiled"), *interpreted()]
    else:
        print("No C compiler: everything runs interpreted.")
        runs = [*whole("interpreted"), *interpreted()]
        if os.environ.get("STEELYARD_REQUIRE_ALL") == "1":
            runs.append(Run("the compiled suite (no C compiler; STEELYARD_REQUIRE_ALL=1)", 1, 0.0, ""))
    print()
    for done in runs:
        verdict = "ok    " if done.status == 0 else "FAILED"
        print(f"{verdict} {done.name} ({done.seconds:.0f} s)")
    for done in runs:
        if done.summary:
            print(done.summary)
    return int(any(done.status for done in runs))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
