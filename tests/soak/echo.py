"""What an answer must be, from the request alone: so that one that reached another request is seen.

A request's token is the last part of its path, `/soak/TOKEN?size=N`. Its answer says the token in a field, and its body
is the token, what came of the request's body, and N bytes in which the token is written over and over.
"""

from typing import Final
from zlib import crc32

TOKEN_FIELD: Final = "X-Token"
# An answer whose body is not what it should be, by a fault that no proxy can see: its Content-Length is too small.
SHORT_FIELD: Final = "X-Short"
HEALTH: Final = "/health"


def target(token: str, size: int) -> str:
    return f"/soak/{token}?size={size}"


def token_in(target: str) -> str:
    """The token of a target; empty when it has none."""
    path = target.partition("?")[0]
    return path.removeprefix("/soak/") if path.startswith("/soak/") else ""


def answer_body(target: str, received: bytes) -> bytes:
    token = token_in(target)
    size = target.partition("size=")[2]
    first = f"{token} {len(received)} {crc32(received):08x}\n"
    line = f"{token}\n"
    count = int(size) if size.isdigit() else 0
    return (first + line * (count // len(line) + 1)).encode()[: len(first) + count]
