"""What can be fuzzed is a Target: bytes in, properties held on them.

    seen    what one build makes of the bytes; on the way it holds that any split of them comes to the same
    judge   what must hold of that, by the word of others: oracles, independent decoders, what we send on
    scan    the plain work, once: what is timed

A property that does not hold is an AssertionError. Any other exception is a finding too: the parsers may raise
ProtocolError and nothing else.
"""

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from tests.fuzz.builds import Build

T = TypeVar("T")

# The listener's defaults (core/spec.py).
MAX_BYTES: Final = 32 * 1024
MAX_FIELDS: Final = 100
# What may lie behind a message, or before it in the buffer: what a scanner that looks there would choke on.
BEHIND: Final = (b"\0", b"\n", b"\r\n\r\n", b" folded", b"0\r\n\r\n", b"\xff" * 40)
BEFORE: Final = b"\0:\r\n\n"


@dataclass(frozen=True)
class Target:
    """name: of its corpus. both: the compiled builds have code of their own for it. weight: its share of the time."""

    name: str
    seen: Callable[[Build, bytes], object]
    judge: Callable[[Build, bytes], None]
    scan: Callable[[Build, bytes], object]
    both: bool = True
    weight: float = 1.0

    def run(self, builds: Sequence[Build], data: bytes) -> None:
        """Hold every property: each build's own, that all see the same, and the judgement of others on the first."""
        asked = builds if self.both else builds[:1]
        first, *others = ((build, self.seen(build, data)) for build in asked)
        for build, seen in others:
            assert first[1] == seen, f"{first[0].name} and {build.name} see different things"
        self.judge(builds[0], data)


def cuts(build: Build, data: bytes) -> Iterable[int]:
    """Where to cut the bytes in two: at places that differ from input to input, and near the end.

    Every place would cost the fuzzer more than it finds: it has the same input again with another byte in it.
    """
    size = len(data)
    if size < 2:
        return range(size)
    many = 4 if build.compiled else 2
    chance = zlib.crc32(data)
    return sorted({(chance >> k) % size for k in range(many)} | {size - 1})


def some(choices: Sequence[T], data: bytes, count: int = 2) -> Sequence[T]:
    """So many of the choices, the same ones for the same bytes."""
    at = zlib.crc32(data) % len(choices)
    return [choices[(at + k) % len(choices)] for k in range(count)]


def outcome(build: Build, scan: Callable[[], Any]) -> Any:
    """What a scan comes to, comparable between builds: its facts, the error's word and detail, or None."""
    try:
        found = scan()
    except build.errors.ProtocolError as exc:
        return (exc.kind.word, exc.detail)
    return None if found is None else facts(found)


# What every head says of itself, and what only a request's or an answer's does.
_FACTS: Final = (
    *("end", "minor", "content_length", "length_digits", "chunked", "close", "keep_alive", "names_upgrade", "upgrade"),
    *("options", "runs"),
)
_OWN_FACTS: Final = {
    "RequestHead": (
        *("trusted", "method", "target", "host", "authority", "hops", "expects_continue", "te_trailers"),
        *("forwarded_for", "has_forwarded_proto", "has_forwarded_host"),
    ),
    "ResponseHead": ("status", "line", "has_date"),
    "Trailers": (),
}


def facts(head: Any) -> dict[str, Any]:
    return {name: getattr(head, name) for name in (*_FACTS, *_OWN_FACTS[type(head).__name__])}


def said_alike(build: Build, scan: Callable[[bytes, int], Any], data: bytes) -> Any:
    """What a scan of the data comes to; holds that every prefix, and the data elsewhere in a buffer, come to it too."""
    whole = outcome(build, lambda: scan(data, 0))
    end = whole["end"] if isinstance(whole, dict) else 0
    for cut in cuts(build, data):
        part = outcome(build, lambda cut=cut: scan(data[:cut], 0))  # type: ignore[misc]
        if part is not None or end > cut:
            assert (None if end > cut else whole) == part, f"after {cut} bytes"
        else:
            assert not isinstance(whole, dict), f"nothing yet after {cut} bytes"
    if whole is not None:
        for behind in some(BEHIND, data):
            assert whole == outcome(build, lambda behind=behind: scan(data + behind, 0)), f"with {behind!r} behind"  # type: ignore[misc]
    moved = outcome(build, lambda: scan(BEFORE + data, len(BEFORE)))
    if isinstance(moved, dict):
        moved["end"] -= len(BEFORE)
    assert whole == moved, "at another place of the buffer"
    return whole
