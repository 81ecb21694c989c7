"""Cutting bytes out of bytes, at the speed of one memcpy.

A slice of a `bytes` object goes through a slice object even when compiled; a slice of a C pointer does not.
"""


def cut(data: bytes, start: int, end: int) -> bytes:
    """data[start:end], for 0 <= start <= end <= len(data): an assertion says so."""
    assert 0 <= start <= end <= len(data)
    raw = data
    return raw[start:end]
