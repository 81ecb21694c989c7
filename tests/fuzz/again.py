"""What is done with known inputs, in a process of its own: `python -m tests.fuzz.again WHAT TARGET FILE...`

    replay     hold every property of the target on each; the first that does not hold ends it with a traceback
    minimise   print the smallest input found, in hexadecimal, that fails as the first one does
    kept       print, in hexadecimal, those of the inputs that the corpus lacks

All builds that were made for the fuzzer are asked, if the sanitizers' runtime is preloaded; else the imported one.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.fuzz.builds import Build, imported, loaded
from tests.fuzz.corpus import cases, minimised, needed
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

TRIES: Final = 4000


def main(argv: Sequence[str]) -> int:
    what, name, *files = argv[1:]
    target = TARGETS[name]
    inputs = [Path(file).read_bytes() for file in files]
    compiled = [loaded("checked"), loaded("sanitized")] if "asan" in os.environ.get("LD_PRELOAD", "") else []
    builds = [imported(), *compiled]
    if what == "replay":
        for file, data in zip(files, inputs, strict=True):
            print(f"{file} on: {', '.join(build.name for build in builds)}", flush=True)
            target.run(builds, data)
    elif what == "minimise":
        wanted = failure(target, builds, inputs[0])
        print(minimised(inputs[0], lambda data: failure(target, builds, data) == wanted, TRIES).hex())
    else:
        have = [path.read_bytes() for path in cases(name)]
        found = needed([*have, *inputs], lambda data: target.run(builds[:1], data))
        print(*(data.hex() for data in found if data not in have))
    return 0


def failure(target: Target, builds: Sequence[Build], data: bytes) -> tuple[str, int] | None:
    """How the input fails: the exception's type, and the line that raised it. None if it does not."""
    try:
        target.run(builds, data)
    except Exception as exc:
        trace = exc.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        return type(exc).__name__, 0 if trace is None else trace.tb_lineno
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv))
