"""How long a backend asks to be left alone: the Retry-After field of its answer (RFC 9110 section 10.2.3).

A number of seconds, or a date. That is read against the answer's own Date: no clock but the backend's is in it.
"""

from email.utils import parsedate_to_datetime

from steelyard.wire.http1 import ResponseHead


def retry_after_s(head: ResponseHead) -> float | None:
    """Seconds, however many (the pool says how long it obeys); None where it says nothing, or nothing readable."""
    value = head.get(b"retry-after")
    if value is None:
        return None
    if value.isdigit():
        return float(int(value[:9]))
    sent = head.get(b"date")
    if sent is None:
        return None
    try:
        wait = parsedate_to_datetime(value.decode("latin-1")) - parsedate_to_datetime(sent.decode("latin-1"))
    except (ValueError, TypeError, OverflowError):  # no date, no zone, or one beyond all calendars
        return None
    return max(wait.total_seconds(), 0.0)
