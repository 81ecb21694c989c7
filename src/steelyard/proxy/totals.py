"""What is noted of a session of UDP that is over: a counter, an access record, and where it went."""

from typing import NamedTuple

from steelyard.errors import Kind
from steelyard.observe.accesslog import Record
from steelyard.proxy.call import Call
from steelyard.proxy.context import ListenerContext


class Totals(NamedTuple):
    """What there is to say of one. duration_s: from its first datagram to its last; received, sent: bytes."""

    pool: str
    backend: str
    tries: int
    duration_s: float
    received: int
    sent: int


def note_end(context: ListenerContext, call: Call, kind: Kind | None, totals: Totals, now: float) -> None:
    """Count and record its end. kind: how it failed, None for well."""
    context.counters.ended(kind)
    if context.on_record is not None:
        context.on_record(
            Record(
                ended=now,
                client=call.client,
                listener=context.name,
                method="-",
                host="-",
                target="-",
                status=0,
                word="-" if kind is None else kind.word,
                pool=totals.pool,
                backend=totals.backend,
                tries=totals.tries,
                duration_s=totals.duration_s,
                received=totals.received,
                sent=totals.sent,
            )
        )
    if context.recent is not None:
        context.recent.add(call, context.name, totals.pool, totals.backend)
