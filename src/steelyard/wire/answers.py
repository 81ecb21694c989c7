"""Answers that the balancer gives itself: fixed ones of a route, and refusals.

Not compiled: a health page is asked for a few times a second. Refusals come by the thousand where somebody is limited,
but of those most is ready made.
"""

from functools import lru_cache
from http import HTTPStatus
from typing import Final

from steelyard.errors import Kind

READY_MADE: Final = 1024  # refusals: of each kind, and of a limit with each number of seconds that it asks to wait


def reason(status: int) -> str:
    """The standard reason phrase of a status, or an empty one (RFC 9110 section 15)."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def fixed_answer(status: int, body: bytes, content_type: str, connection: bytes, to_head_request: bool) -> bytes:
    """A whole answer. connection: a ready Connection line, or empty.

    body: left out where the status has none (RFC 9110 section 6.4.1): a client would read it as the next answer.
    """
    lines = f"HTTP/1.1 {status} {reason(status)}\r\n"
    bodiless = status < 200 or status in (204, 304)
    if not bodiless:
        lines += f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
    head = lines.encode("latin-1") + connection + b"\r\n"
    return head if to_head_request or bodiless else head + body


def refusal(kind: Kind, connection: bytes, to_head_request: bool, retry_after_s: int = 1) -> bytes:
    """The answer for a failed exchange: its status, and one sentence as text.

    retry_after_s: when a client that got a 429 or 503 may come again, whole seconds (RFC 9110 section 10.2.3).
    """
    head, body = _parts(kind, retry_after_s)
    return head + connection + (b"\r\n" if to_head_request else body)


@lru_cache(READY_MADE)
def _parts(kind: Kind, retry_after_s: int) -> tuple[bytes, bytes]:
    """What is before the last lines of the head, and what is behind them: made once, for refusing must cost little."""
    extra = b""
    if kind.status in (429, 503):
        extra = b"Retry-After: %d\r\n" % retry_after_s
    elif kind.status == 405:
        # RFC 9110 section 15.5.6 wants the list; these are what a proxy passes on.
        extra = b"Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n"
    body = f"{kind.status} {reason(kind.status)}\n{kind.text}\n".encode()
    whole = fixed_answer(kind.status, body, "text/plain; charset=utf-8", b"", True)
    return whole.removesuffix(b"\r\n") + extra, b"\r\n" + body
