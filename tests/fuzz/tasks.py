"""A task's request, held against a reader by `split` and sets of characters in place of ours by regular expressions."""

import string
from typing import Any, Final

from tests.fuzz.builds import Build
from tests.fuzz.target import Target, cuts

NAMES: Final = frozenset({"round_robin", "least_connections", "least_response_time", "hash", "random", "random_two"})
TOKEN: Final = frozenset((string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~").encode())
MAX_BYTES: Final = 1024


def _read(build: Build, data: bytes) -> Any:
    """The task, or the word and the sentence of what is wrong; and how far it had come."""
    said = build.task.progress(data, NAMES)
    try:
        task = build.task.parse(data, NAMES)
    except build.errors.ProtocolError as exc:
        return exc.kind.word, exc.detail, said.value
    return task.kind, task.approach, task.forwarded, said.value


def _seen(build: Build, data: bytes) -> object:
    """What it is; holds that what is not whole can become so, or cannot, as was said of it."""
    whole = _read(build, data)
    for cut in cuts(build, data):
        said = _read(build, data[:cut])[-1]
        if said == "never":
            assert isinstance(whole[1], str)
            assert 3 == len(whole), f"after {cut} bytes it could never become a request"
    return whole


def _judge(build: Build, data: bytes) -> None:
    found = _read(build, data)
    if 3 == len(found):
        line = build.task.error_line(found[1])
        assert line.startswith(b"ERROR: ")
        assert line.endswith(b"\n")
        assert all(32 <= byte < 127 for byte in line[:-1])
        assert found[2] != "perhaps"
    assert (_plainly(data) is None) == (3 == len(found))
    if 4 == len(found):
        assert _plainly(data) == found[:2]
        assert found[2] == b"AppID:" + found[0].encode()
        assert found[3] in ("whole", "perhaps")


def _plainly(data: bytes) -> tuple[str, str | None] | None:
    """Kind and approach, or None for what is no request."""
    if len(data) > MAX_BYTES:
        return None
    for end in (b"\r\n", b"\n"):
        if data.endswith(end):
            data = data[: -len(end)]
            break
    parts = data.split(b":", 2)
    if len(parts) < 2 or parts[0] != b"AppID" or not parts[1] or not TOKEN.issuperset(parts[1]):
        return None
    if len(parts) == 2:
        return parts[1].decode(), None
    approach = parts[2].decode("latin-1")
    return (parts[1].decode(), approach) if approach in NAMES else None


TASK: Final = Target("task", _seen, _judge, _read, both=False, weight=0.3)
