"""What its reader has not taken: in our hands and in the kernel's."""

import asyncio
import socket

from steelyard.proxy.unread import in_kernel, unread


async def test_what_the_kernel_holds_counts_and_gets_less_as_it_is_read() -> None:
    here, there = socket.socketpair()
    there.setblocking(False)
    _, writer = await asyncio.open_connection(sock=here)
    assert 0 == unread(writer.transport)
    writer.write(bytes(8_000_000))
    held = writer.transport.get_write_buffer_size()
    before = unread(writer.transport)
    assert 0 < held < before
    there.recv(100_000)
    assert held == writer.transport.get_write_buffer_size()
    assert held < unread(writer.transport) < before
    writer.transport.abort()
    there.close()


def test_one_that_cannot_be_asked_holds_nothing() -> None:
    with socket.socket() as sock:
        descriptor = sock.fileno()
    assert (0, 0) == (in_kernel(-1), in_kernel(descriptor))
