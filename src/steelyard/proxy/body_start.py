"""The start of a request's body, as far as policies may look: what `request.get("body:FIELD")` reads.

Only for pools that look into bodies, and only for bodies they could read: JSON, sent as it is, of at most MAX_BYTES.
For any other the exchange does not wait, since the answer (None) is known from the head. The body itself is sent on
as it came; this is a copy of its data without the framing.

Not compiled: a pass over the bytes here and there is nothing to the parsing of JSON.
"""

from typing import Final

from steelyard.wire.chunked import ChunkScanner
from steelyard.wire.http1 import RequestHead
from steelyard.wire.json_field import field, field_path, is_json, parse

MAX_BYTES: Final = 64 * 1024
# With its framing: who sends a byte a chunk, each with a long extension, would make us hold twenty times as much.
MAX_FRAMED_BYTES: Final = 4 * MAX_BYTES


class BodyStart:
    """What has come of one body. wanted: more of it would be of use."""

    def __init__(self, head: RequestHead) -> None:
        self.wanted = (
            (head.chunked or 0 < head.content_length <= MAX_BYTES)
            and is_json(head.get(b"content-type"))
            and (head.get(b"content-encoding") or b"identity").lower() == b"identity"
        )
        self.scanner = ChunkScanner(True) if head.chunked else None
        self.data = bytearray()
        self.framed_bytes = 0
        self.document: object = None

    def take(self, piece: bytes) -> None:
        """A piece of the body with its framing."""
        if not self.wanted:
            return
        self.framed_bytes += len(piece)
        if self.scanner is None:
            self.data += piece
        else:
            self.scanner.feed(piece, 0)
            self.data += b"".join(self.scanner.payload or ())
        if len(self.data) > MAX_BYTES or self.framed_bytes > MAX_FRAMED_BYTES:
            self.let_go()

    def end(self) -> None:
        """The body is whole: it is parsed here, once."""
        if self.wanted:
            self.document = parse(bytes(self.data))
            self.let_go()

    def let_go(self) -> None:
        """Nothing more of it is needed."""
        self.wanted = False
        self.data.clear()

    def value(self, name: str) -> str | None:
        """The text of the field at this path (wire/json_field.py); None when there is none, or it is not to be read."""
        return field(self.document, field_path(name))
