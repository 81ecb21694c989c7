"""wire/slices.py: cutting bytes out of bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.wire.slices import cut


@given(st.binary(max_size=20), st.data())
def test_a_cut_is_a_slice(data: bytes, draw: st.DataObject) -> None:
    end = draw.draw(st.integers(0, len(data)))
    start = draw.draw(st.integers(0, end))
    assert data[start:end] == cut(data, start, end)


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (2, 1), (0, 4), (4, 4), (-2, -1)])
def test_a_cut_outside_the_bytes_is_a_bug(start: int, end: int) -> None:
    with pytest.raises(AssertionError):
        cut(b"abc", start, end)
