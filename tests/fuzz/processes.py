"""The processes of a fuzzing run: one that fuzzes a target, the replays, the property tests.

How sanitizers and atheris go together, found by trying (gcc 12, atheris 3.0.0): the scanners are compiled with gcc's
-fsanitize and linked with no runtime; the one that atheris brings, which has libFuzzer in it, is preloaded and serves
both. With gcc's own runtime preloaded, atheris is blind: that runtime's empty coverage functions hide libFuzzer's.
Python allocates with plain malloc there, or AddressSanitizer would see one large arena.
"""

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.fuzz.corpus import CORPUS, MAX_FILE_BYTES
from tools.compile import FUZZ, ROOT

INTERPRETED: Final = ROOT / "tools" / "interpreted"
# What fuzzing found worth keeping, from run to run; not in git.
GROWN: Final = FUZZ / "corpus"
ONE_INPUT_S: Final = 10
# `#1024  NEW  cov: 250 ft: 747 corp: 91/6115b lim: 112 exec/s: 136 rss: 818Mb ...`
_PROGRESS: Final = re.compile(r"#(\d+)\s+[A-Z]+\s+cov: (\d+) ft: \d+ corp: (\d+)/")
# From here on it shows its own stack, and the input in several ways.
_OWN_STACK: Final = re.compile(r"ERROR: libFuzzer: fuzz target exited|^MS: ")
_WRITTEN: Final = re.compile(r"Test unit written to (\S+)")


def runtime() -> Path | None:
    """The shared object with AddressSanitizer, UBSan and libFuzzer that atheris brings; None without atheris."""
    found = importlib.util.find_spec("atheris")
    if found is None or not found.origin:
        return None
    path = Path(found.origin).parent.parent / "asan_with_fuzzer.so"
    return path if path.exists() else None


def environment(sanitized: bool, stack: int = 1) -> dict[str, str]:
    """Of a process in which the interpreted build is the imported one. stack: frames kept of each allocation."""
    path = os.pathsep.join([str(INTERPRETED), str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    environ = {**os.environ, "PYTHONPATH": path.rstrip(os.pathsep)}
    preload = runtime()
    if sanitized and preload is not None:
        environ |= {
            "LD_PRELOAD": str(preload),
            "PYTHONMALLOC": "malloc",
            # Python allocates all the time: with the defaults, stacks and quarantine are what the time goes into.
            "ASAN_OPTIONS": f"detect_leaks=0:malloc_context_size={stack}:quarantine_size_mb=8",
            "UBSAN_OPTIONS": "print_stacktrace=1",
        }
    return environ


@dataclass
class Fuzzed:
    """How far the fuzzing of a target has come. found: the file with the input that failed; said: the last lines."""

    name: str
    runs: int = 0
    branches: int = 0
    kept: int = 0
    found: Path | None = None
    said: str = ""
    status: int = 0


def fuzz(name: str, seconds: int, seed: int) -> Iterator[Fuzzed]:
    """Fuzz one target; yields how far it has come whenever it says so, and at its end with `status`."""
    grown = GROWN / name
    grown.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.fuzz.one", name]
    command += [f"-max_total_time={seconds}", f"-max_len={MAX_FILE_BYTES}", f"-timeout={ONE_INPUT_S}", f"-seed={seed}"]
    command += [f"-dict={Path(__file__).parent / 'http.dict'}", f"-artifact_prefix={FUZZ}/{name}-"]
    command += [str(grown), str(CORPUS / name)]
    fuzzed = Fuzzed(name)
    tail: list[str] = []
    silent = False
    with _running(command, environment(sanitized=True)) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if match := _PROGRESS.match(line):
                fuzzed.runs, fuzzed.branches, fuzzed.kept = (int(number) for number in match.groups())
                yield fuzzed
                continue
            if _OWN_STACK.search(line):
                silent = True
            if not silent:
                tail = [*tail[-80:], line]
            if match := _WRITTEN.search(line):
                fuzzed.found = Path(match[1])
    fuzzed.status = process.returncode
    fuzzed.said = "".join(tail)
    yield fuzzed


@contextmanager
def _running(command: Sequence[str], environ: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """The process, both outputs in one; it has ended afterwards."""
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        try:
            yield process
        except BaseException:
            process.terminate()
            raise


def again(what: str, name: str, files: Sequence[Path], sanitized: bool = True) -> subprocess.CompletedProcess[str]:
    """What tests.fuzz.again makes of these files."""
    command = [sys.executable, "-m", "tests.fuzz.again", what, name, *map(str, files)]
    environ = environment(sanitized, stack=12)
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, errors="replace", check=False)


def properties(examples: int, patience_s: float) -> tuple[int | None, str]:
    """The property tests of the rooms that read bytes: pytest's status (None: it took too long), and what it said."""
    command = [sys.executable, "-m", "pytest", "-q", "--timeout=0", "-p", "no:cacheprovider", "-p", "no:xdist"]
    command += ["-m", "hypothesis and not real and not slow", "--hypothesis-profile=fuzz"]
    command += ["tests/wire", "tests/proxy"]
    environ = {**os.environ, "STEELYARD_EXAMPLES": str(examples)}
    try:
        ran = subprocess.run(
            command,
            cwd=ROOT,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=patience_s,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        return None, str(exc.stdout or "")
    return ran.returncode, ran.stdout
