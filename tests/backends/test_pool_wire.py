"""pool_wire.py: frames, however the bytes are cut."""

from hypothesis import given
from hypothesis import strategies as st

from steelyard.backends import pool_wire as wire
from steelyard.backends.pool_wire import Frame, Frames, frame

SOME: list[Frame] = [(wire.VALUE, 0.25, b"one"), (wire.READY, 0.0, b""), (wire.RAISED, 1e9, b"x" * 1000)]
BYTES = b"".join(frame(kind, body, took_s) for kind, took_s, body in SOME)


def test_frames_come_out_as_they_went_in() -> None:
    assert SOME == Frames().feed(BYTES)


def test_byte_by_byte_each_comes_with_its_last_byte() -> None:
    frames = Frames()
    found = [(at, one) for at in range(len(BYTES)) for one in frames.feed(BYTES[at : at + 1])]
    assert SOME == [one for _, one in found]
    ends = [len(b"".join(frame(*(one[0], one[2])) for one in SOME[: number + 1])) - 1 for number in range(len(SOME))]
    assert ends == [at for at, _ in found]


def test_what_follows_a_frame_is_kept_for_the_next() -> None:
    frames = Frames()
    assert SOME == frames.feed(BYTES + BYTES[:5])
    assert SOME == frames.feed(BYTES[5:])
    assert [] == frames.feed(b"")


@given(st.lists(st.binary(max_size=40), max_size=10), st.lists(st.integers(1, 60)))
def test_any_cut_gives_the_same(bodies: list[bytes], cuts: list[int]) -> None:
    data = b"".join(frame(wire.TASK, body) for body in bodies)
    frames = Frames()
    found = []
    for cut in (*cuts, len(data)):
        found += frames.feed(data[:cut])
        data = data[cut:]
    assert bodies == [body for _, _, body in found]
