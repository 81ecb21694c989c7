"""Mutants: each policy with one mistake in it; its tests and the conformance kit must find every one.

A mutant is a copy of the sources with a few characters changed, run interpreted; what is asked of it is only to fail.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import steelyard.core.policies  # noqa: F401 - registers them
from steelyard.core.policy import names, registered

ROOT = Path(__file__).parents[3]
TESTS = Path(__file__).parent.relative_to(ROOT)
# It takes the first that may be taken, always; the one that does so by rights takes the last.
ALWAYS_THE_SAME = """

{cls}.pick = lambda self, request: next(iter(self.candidates(request)[{order}]), None)
"""
WITHOUT_THE_KEY = """

find = {cls}.find
{cls}.find = lambda self, request, key: find(self, request, 7)
"""
EQUAL_SHARES = ("backend.py", "return self.table.get(self.row, SHARE)", "return UNIT * bool(self.weight)")

OURS = tuple(name for name in names() if registered(name).ours)
WEIGHTLESS = {"first"}

# policy -> (file below core/, what is there, what is there in its place)
MISTAKES = {
    "least_connections": [
        ("policies/least.py", "return backend.load()", "return 1000 / max(backend.share(), 1)"),
        ("policies/least.py", "% count)\n        return", "% count * 0)\n        return"),
    ],
    "power_of_two": [
        ("policies/random.py", "load = backend.count_in_flight()", "load = 0"),
        ("policies/random.py", "at = drawn + request.below(count - drawn)", "at = request.below(count)"),
        ("policies/random.py", "request.below(count - drawn)", "request.below(max(count - drawn - 1, 1))"),
    ],
    "hash": [("keyed.py", "self.whole < self.due", "self.whole <= self.due")],
    "consistent_hash": [("keyed.py", "if self.bound > 0.0:", "if False:")],
    "random": [("line.py", "> point:", ">= point:")],
    "round_robin": [("turns.py", "fetch_add(self.row, self.cursor, 1)", "fetch_add(self.row, self.cursor, 2)")],
    "least_response_time": [
        ("learning.py", "* (backend.count_in_flight() + 1) / share", "/ share"),
        ("learning.py", "if turn % LAP != LAP - 1", "if turn >= 0"),
        ("learnt.py", "* (self.answers * left + 1.0) / (good * good)", "/ good"),
    ],
    "peak_ewma": [
        ("learnt.py", "taken_s if taken_s > self.peak_s else", ""),
        ("learnt.py", "return peak_s * (self.answers * left + 1.0) / (self.good * left + 1.0)", "return peak_s"),
        ("deck.py", "% left", "% max(left - 1, 1)"),
    ],
    "prequal": [
        ("policies/prequal.py", "if per_weight(heard) <= limit:", "if per_weight(heard) > limit:"),
        ("policies/prequal.py", "load = (heard.in_flight + 1) / worth", "load = 1 / worth"),
        ("policies/prequal.py", "latency = heard.latency_s / worth", "latency = 1 / worth"),
    ],
    "sticky_round_robin": [
        ("policies/sticky.py", "if home is not None and", "if False and"),
        ("homes.py", "if value < oldest:", "if value > oldest:"),
        ("homes.py", "if mine != newest:", "if False:"),
    ],
}


def module_of(name: str) -> str:
    return f"policies/{registered(name).policy.__module__.rpartition('.')[2]}.py"


def mutants() -> list[pytest.ParameterSet]:
    found = []
    for name in OURS:
        same = ALWAYS_THE_SAME.format(cls=registered(name).policy.__name__, order="::-1" if name == "first" else ":")
        found.append(pytest.param(name, (module_of(name), None, same), id=f"{name}-always-the-same"))
        if name not in WEIGHTLESS:
            found.append(pytest.param(name, EQUAL_SHARES, id=f"{name}-ignores-weights"))
        if hasattr(registered(name).policy, "find"):
            blind = WITHOUT_THE_KEY.format(cls=registered(name).policy.__name__)
            found.append(pytest.param(name, (module_of(name), None, blind), id=f"{name}-ignores-the-key"))
        for number, mistake in enumerate(MISTAKES.get(name, ()), 1):
            found.append(pytest.param(name, mistake, id=f"{name}-{number}"))
    return found


def checked(name: str, source: Path) -> "subprocess.CompletedProcess[str]":
    """The policy's own tests and the kit's, on those sources, up to the first failure."""
    own = [TESTS / f"test_{module_of(name).removeprefix('policies/').removesuffix('.py')}.py"]
    if hasattr(registered(name).policy, "find"):
        own.append(TESTS.parent / "test_keyed.py")  # what those that hash share
    title = "".join(word.capitalize() for word in name.split("_"))
    # Of files that several policies share only the cases of this one: another's must not find its mistake.
    others = [other for other in OURS if other not in name and not any(other in path.name for path in own)]
    apart = " and ".join(["", *(f"not {other}" for other in others)])
    chosen = [
        *("-k", f"(not test_contract or Test{title} or {name}){apart}"),
        *("-m", "not real and not slow and not compiled"),
    ]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        "--hypothesis-profile=mutants",
        *chosen,
    ]
    return subprocess.run(
        [*command, *map(str, own), str(TESTS / "test_contract.py")],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": str(source),
            "STEELYARD_EXPECT": "interpreted",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )


def copied(into: Path) -> Path:
    """The sources without what was compiled of them."""
    leave = shutil.ignore_patterns("*.so", "*.pxd", "__pycache__")
    return Path(shutil.copytree(ROOT / "src" / "steelyard", into / "src" / "steelyard", ignore=leave)).parent


@pytest.mark.slow
@pytest.mark.parametrize(("name", "mistake"), mutants())
def test_a_mistake_in_a_policy_is_found(name: str, mistake: tuple[str, str | None, str], tmp_path: Path) -> None:
    where, right, wrong = mistake
    source = copied(tmp_path)
    path = source / "steelyard" / "core" / where
    text = path.read_text()
    if right is None:
        path.write_text(text + wrong)
    else:
        assert right in text, "the mistake cannot be made any more: look for what it was about"
        path.write_text(text.replace(right, wrong))
    done = checked(name, source)
    assert 1 == done.returncode, done.stdout[-2000:] + done.stderr[-2000:]
    assert " failed" in done.stdout  # and not: could not be collected


# One that hashes and one that does not: what the tests of all the others say of sound sources is known from their own
# interpreted run.
@pytest.mark.slow
@pytest.mark.parametrize("name", ["hash", "round_robin"])
def test_without_a_mistake_nothing_is_found(name: str, tmp_path: Path) -> None:
    done = checked(name, copied(tmp_path))
    assert 0 == done.returncode, done.stdout[-2000:]
