"""Whether a connection that nobody reads was reset, as the kernel says."""

import asyncio
import socket
from contextlib import closing

from steelyard.proxy.broken import is_broken
from steelyard.proxy.guest import RESET_ON_CLOSE
from tests.fakes import FakeLoop, FakeTransport


async def test_a_reset_is_seen_behind_what_is_unread_and_behind_an_end_and_an_end_is_none() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        for ends in (False, True):
            client = socket.create_connection(listening.getsockname())
            _, writer = await asyncio.open_connection(sock=listening.accept()[0])
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            client.send(b"unread")
            if ends:
                client.shutdown(socket.SHUT_WR)
            assert not is_broken(writer.transport)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            client.close()
            assert is_broken(writer.transport)
            assert is_broken(writer.transport), "to look takes nothing away"
            writer.transport.abort()


async def test_who_closes_a_unix_socket_has_only_said_all() -> None:
    here, there = socket.socketpair()
    _, writer = await asyncio.open_connection(sock=here)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    there.send(b"unread")
    there.close()
    assert not is_broken(writer.transport)
    writer.transport.abort()


def test_one_that_cannot_be_asked_is_not_broken() -> None:
    assert not is_broken(FakeTransport(FakeLoop(), None, ""))  # type: ignore[arg-type]
