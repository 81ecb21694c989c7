"""What is noted of a session of UDP that is over."""

import pytest

from steelyard import errors
from steelyard.errors import Kind
from steelyard.proxy.call import Call
from steelyard.proxy.totals import Totals, note_end
from tests.proxy.datagrams import Make

TOTALS = Totals("sensors", "h:1", 2, 0.5, 30, 40)


@pytest.mark.parametrize(
    ("kind", "word", "counted"),
    [(None, "-", "answered"), (errors.RESPONSE_TIMEOUT, "response_timeout", "response_timeout")],
)
def test_an_end_is_counted_once_and_has_one_record(datagrams: Make, kind: Kind | None, word: str, counted: str) -> None:
    stage = datagrams()
    note_end(stage.context, Call("10.0.0.9", lambda n: 0, 3.0), kind, TOTALS, 7.0)
    assert {counted: 1} == stage.counted()
    [record] = stage.records
    assert (7.0, "10.0.0.9", "-", 0, word) == (record.ended, record.client, record.method, record.status, record.word)
    assert TOTALS == Totals(record.pool, record.backend, record.tries, record.duration_s, record.received, record.sent)
