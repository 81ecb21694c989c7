"""Parts of the work: the head of an answer, and a body of either way."""

from bench.ladder.steps import Connection, Part
from steelyard import errors
from steelyard.errors import ProtocolError
from steelyard.wire.chunked import ChunkScanner
from steelyard.wire.framing import CHUNKED, LENGTH, NO_BODY, UNKNOWN
from steelyard.wire.http1 import scan_response
from steelyard.wire.limits import ANSWER_FIELDS, ANSWER_HEAD_BYTES


def answer_head(upstream: Connection) -> Part:
    """The head of the final answer (interim ones are dropped), and what came behind it."""
    data = yield from upstream.receive_more()
    while True:
        head = scan_response(data, 0, ANSWER_HEAD_BYTES, ANSWER_FIELDS)
        if head is None:
            data += yield from upstream.receive_more()
        elif head.status < 200:
            if head.status == 101:
                raise ProtocolError(errors.BAD_ANSWER, "another protocol, for which nobody has asked")
            data = data[head.end :]
        else:
            return head, data[head.end :]


def pass_on(
    source: Connection, target: Connection, framing: int, length: int, lead: bytes, data: bytes, decode: bool = False
) -> Part:
    """Send a body on as it comes; what came behind it.

    lead: to be sent before it, in one piece with its beginning. data: what has come of it. decode: without its chunks.
    """
    if framing == NO_BODY or (framing == LENGTH and length == 0):
        yield from target.send(lead)
        return data
    scanner = ChunkScanner(decode) if framing == CHUNKED else None
    while True:
        end, over = len(data), False
        if scanner is not None:
            end = scanner.feed(data, 0)
            over = scanner.done
            body = b"".join(scanner.payload) if scanner.payload is not None else data[: scanner.passed] + scanner.tail
        else:
            if framing == LENGTH:
                end = min(end, length)
                length -= end
                over = length == 0
            body = data[:end]
        if lead or body:
            yield from target.send(lead + body)
            lead = b""
        if over:
            return data[end:]
        data = yield from source.receive() if framing == UNKNOWN else source.receive_more()
        if not data:
            return b""
