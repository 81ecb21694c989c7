"""The process that fuzzes one target: `python -m tests.fuzz.one TARGET [libFuzzer's arguments]`.

Started by tests.fuzz with the runtime of AddressSanitizer and UBSan preloaded that atheris brings: libFuzzer is part of
it, so that what they find is written to a file like any other finding. In this one process are all three builds. The
interpreted one is instrumented: its branches guide the fuzzer. The compiled ones are asked the same, and must say the
same. Whatever is raised ends the process, and libFuzzer writes the input to the place that it was told.
"""

import sys
import time
import zlib
from collections.abc import Sequence
from typing import Final

import atheris

from tests.fuzz.builds import Build, imported, loaded
from tests.fuzz.target import MAX_BYTES, Target
from tests.fuzz.targets import TARGETS

# Case 75: 50 ms for the worst 32 KiB. The checked build takes about twice the time of the one that ships, and the
# instrumented sources many times that; what is quadratic in 32 KiB takes all of them seconds.
MAX_WORK_S: Final = 0.1
MAX_WORK_INTERPRETED_S: Final = 1.0
ONE_IN: Final = 512


def main(argv: Sequence[str]) -> None:
    target = TARGETS[argv[1]]
    compiled = [loaded("checked"), loaded("sanitized")]
    with atheris.instrument_imports(include=["steelyard"]):
        builds = [imported(), *compiled]
    assert not builds[0].compiled, "the fuzzer sees no branches in compiled code: put tools/interpreted on PYTHONPATH"

    def one(data: bytes) -> None:
        target.run(builds, data)
        if zlib.crc32(data) % ONE_IN == 0:
            bounded(target, compiled[0] if target.both else builds[0], data)

    atheris.Setup([argv[0], *argv[2:]], one)
    atheris.Fuzz()


def bounded(target: Target, build: Build, data: bytes) -> None:
    """Hold that no repetition of the input or of a part of it costs more than so much CPU time."""
    most = MAX_WORK_S if build.compiled else MAX_WORK_INTERPRETED_S
    middle = len(data) // 2
    line = data[data.find(b"\n", 0, middle) + 1 :].partition(b"\n")[0] + b"\n"
    for before, again, behind in (
        (b"", data, b""),
        (data[:middle], data[middle:], b""),
        (data[:middle], line, data[middle:]),
    ):
        if again:
            grown = before + again * (MAX_BYTES // len(again)) + behind
            took = _cpu_s(target, build, grown)
            if took >= most:  # once is never, on a busy machine
                took = min(_cpu_s(target, build, grown) for _ in range(3))
            assert took < most, f"{took * 1000:.0f} ms for {again!r}, repeated"


def _cpu_s(target: Target, build: Build, data: bytes) -> float:
    began = time.process_time()
    target.scan(build, data)
    return time.process_time() - began


if __name__ == "__main__":
    main(sys.argv)
