"""Quantities are read as they are written, and written so that they are read as the same number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.control import units
from tests.control.said import fault

WRITTEN_SECONDS = st.floats(min_value=0, max_value=1e9, allow_nan=False)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "250ms"), (20.0, "20s"), (1.5, "1.5s"), (300.0, "5m"), (3600.0, "1h"), (0.0, "0s"), (0.01, "10 ms")],
)
def test_a_duration_is_read_in_seconds(seconds: float, text: str) -> None:
    assert seconds == units.parse_duration(text)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("has no unit; write 20s", "20"),
        ("has no unit; write 1.5s", "1.5"),
        ("has the unknown unit 'sec'; write 20s", "20sec"),
        ("has the unknown unit 'Min'; write 2m", "2Min"),
        ("has the unknown unit 'S'; write 3s", "3S"),
        ("has the unknown unit 'd'; use ms, s, m or h", "1d"),
        ("is not a duration; write it as 250ms, 20s, 5m or 1h", "-1s"),
        ("is not a duration; write it as 250ms, 20s, 5m or 1h", "1m30s"),
        ("is not a duration; write it as 250ms, 20s, 5m or 1h", ""),
        ("is not a duration; write it as 250ms, 20s, 5m or 1h", "1:30"),
        ("is not a duration; write it as 250ms, 20s, 5m or 1h", "٣s"),
        ("is not a duration; write it as 250ms, 20s, 5m or 1h", "inf"),
        ("is not a duration; write it as 250ms, 20s, 5m or 1h", "9" * 19 + "h"),
    ],
)
def test_a_wrong_duration_says_what_to_write(expected: str, text: str) -> None:
    assert expected == fault(units.parse_duration, text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0s", 0.0), ("250ms", 0.25), ("1500ms", 1.5), ("90s", 90.0), ("2m", 120.0), ("1h", 3600.0), ("0.1ms", 0.0001)],
)
def test_a_duration_is_written_in_the_largest_unit_that_is_whole(text: str, seconds: float) -> None:
    assert text == units.format_duration(seconds)


@given(WRITTEN_SECONDS)
def test_a_written_duration_reads_as_the_same_number(seconds: float) -> None:
    assert seconds == units.parse_duration(units.format_duration(seconds))


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (1500, "1500B"),
        (65536, "64KiB"),
        (10 * 1024**2, "10MiB"),
        (1024**3, "1GiB"),
        (64000, "64kB"),
        (2_000_000, "2MB"),
        (3_000_000_000, "3GB"),
        (1536, "1.5KiB"),
        (0, "0B"),
    ],
)
def test_a_size_is_read_in_bytes(size_bytes: int, text: str) -> None:
    assert size_bytes == units.parse_size(text)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("has no unit; write 1500B", "1500"),
        ("has no unit; write 1.5KiB or 1.5MiB", "1.5"),
        ("has the unknown unit 'K'; write 64KiB", "64K"),
        ("has the unknown unit 'mb'; write 1MiB", "1mb"),
        ("has the unknown unit 'TB'; use B, KiB, MiB or GiB", "1TB"),
        ("is not a whole number of bytes; write 1B", "1.5B"),
        ("is not a size; write it as 1500B, 64KiB or 10MiB", "-1KiB"),
        ("is not a size; write it as 1500B, 64KiB or 10MiB", "1_000B"),
    ],
)
def test_a_wrong_size_says_what_to_write(expected: str, text: str) -> None:
    assert expected == fault(units.parse_size, text)


@pytest.mark.parametrize(
    ("text", "size_bytes"), [("0B", 0), ("1500B", 1500), ("64KiB", 65536), ("64kB", 64000), ("1GiB", 1024**3)]
)
def test_a_size_is_written_in_the_largest_unit_that_is_whole(text: str, size_bytes: int) -> None:
    assert text == units.format_size(size_bytes)


@given(
    st.integers(0, 10**18 - 1)
    | st.integers(0, 2**20).map(lambda n: n * 1024)
    | st.integers(0, 2**20).map(lambda n: n * 1000)
)
def test_a_written_size_reads_as_the_same_number(size_bytes: int) -> None:
    assert size_bytes == units.parse_size(units.format_size(size_bytes))


@pytest.mark.parametrize(
    ("per_second", "text"), [(100.0, "100/s"), (0.5, "30/m"), (0.5, "0.5 / s"), (0.01, "36/h"), (1.5, "1.5/s")]
)
def test_a_rate_is_read_per_second(per_second: float, text: str) -> None:
    assert per_second == units.parse_rate(text)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("is not a rate; write 100/s", "100"),
        ("is not a rate; write it as 100/s or 10/m", "100 per s"),
        ("is not a rate; write it as 100/s or 10/m", "-1/s"),
        ("is counted per 'd'; count per s, m or h", "5/d"),
    ],
)
def test_a_wrong_rate_says_what_to_write(expected: str, text: str) -> None:
    assert expected == fault(units.parse_rate, text)


@pytest.mark.parametrize(
    ("text", "per_second"),
    [("100/s", 100.0), ("10/m", 10 / 60), ("1/h", 1 / 3600), ("18/m", 0.3), ("0.123/s", 0.123), ("0/s", 0.0)],
)
def test_a_rate_is_written_as_a_whole_number_where_there_is_one(text: str, per_second: float) -> None:
    assert text == units.format_rate(per_second)


@given(st.floats(min_value=0, max_value=1e9))
def test_a_written_rate_reads_as_the_same_number(per_second: float) -> None:
    assert per_second == units.parse_rate(units.format_rate(per_second))


@pytest.mark.parametrize(("share", "text"), [(0.2, "20%"), (0.005, "0.5 %"), (1.0, "100%"), (0.0, "0%"), (2.5, "250%")])
def test_a_percentage_is_read_as_a_share(share: float, text: str) -> None:
    assert share == units.parse_percent(text)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("is not a percentage; write 20%", "20"),
        ("is not a percentage; write it as 20%", "a fifth"),
        ("is not a percentage; write it as 20%", "-5%"),
    ],
)
def test_a_wrong_percentage_says_what_to_write(expected: str, text: str) -> None:
    assert expected == fault(units.parse_percent, text)


@given(st.floats(min_value=0, max_value=1e6))
def test_a_written_percentage_reads_as_the_same_number(share: float) -> None:
    assert share == units.parse_percent(units.format_percent(share))


@pytest.mark.parametrize(("text", "share"), [("20%", 0.2), ("0.5%", 0.005), ("100%", 1.0), ("0%", 0.0)])
def test_a_percentage_is_written_without_needless_digits(text: str, share: float) -> None:
    assert text == units.format_percent(share)


@pytest.mark.parametrize(("rate", "text"), [(100, "100B/s"), (1024, "1KiB/s"), (1024, "1 KiB / s"), (1500, "1.5kB/s")])
def test_a_rate_of_bytes_is_read_per_second(rate: int, text: str) -> None:
    assert rate == units.parse_byte_rate(text)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("is not a rate of bytes; write it as 100B/s or 1KiB/s", "100B"),
        ("is not a rate of bytes; write it as 100B/s or 1KiB/s", "100B/m"),
        ("has no unit; write 100B, per s: 100B/s", "100/s"),
    ],
)
def test_a_wrong_rate_of_bytes_says_what_to_write(expected: str, text: str) -> None:
    assert expected == fault(units.parse_byte_rate, text)


@given(st.integers(1, 10**18 - 1))
def test_a_written_rate_of_bytes_reads_as_the_same_number(rate: int) -> None:
    assert rate == units.parse_byte_rate(units.format_byte_rate(rate))
