"""worker.py: what the parts do together that none does alone. All else is in tests/real."""

import asyncio
from typing import Any

from steelyard import LoadBalancer
from steelyard.observe.accesslog import Record

ANSWERED = {"listeners": {"web": {"bind": "127.0.0.1:0", "routes": [{"respond": {"body": "hello"}}]}}, "pools": {}}


async def test_a_callback_for_records_that_raises_costs_no_answer() -> None:
    said: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))

    def on_record(record: Record) -> None:
        raise ValueError(record.word)

    async with LoadBalancer(ANSWERED, on_record=on_record) as lb:
        reader, writer = await asyncio.open_connection(*lb.address("web"))
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nnonsense\r\n\r\n")
        answer = await reader.read()
        writer.close()
    assert b"hello" in answer
    assert b"HTTP/1.1 400 " in answer
    assert ["", "bad_request"] == [str(context["exception"]).replace("-", "") for context in said]
