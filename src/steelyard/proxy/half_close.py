"""Closing our sending side of a connection, of which asyncio's and uvloop's transports disagree a little."""

from asyncio import WriteTransport


def half_close(transport: WriteTransport) -> None:
    """Send no more, go on reading.

    asyncio calls shutdown(2) at once, which fails when a reset has just come in. There is then nobody left to tell,
    and the event loop tells us of the loss in its next round.
    """
    try:
        transport.write_eof()
    except OSError:
        return
