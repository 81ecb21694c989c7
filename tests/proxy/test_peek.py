"""proxy/peek.py: what lies in a socket's buffer, asked of the kernel. Compiled it is C, so these sockets are real."""

from socket import SO_LINGER, SOL_SOCKET, create_connection, create_server, socketpair
from struct import pack

from steelyard.proxy.peek import quiet


def test_a_connection_on_which_nothing_came_is_quiet_and_stays_as_it_is() -> None:
    ours, theirs = socketpair()
    with ours, theirs:
        ours.setblocking(False)
        assert quiet(ours, ours.fileno())
        theirs.send(b"later")
        assert b"later" == ours.recv(10)
        assert quiet(ours, ours.fileno())


def test_bytes_that_came_are_seen_and_not_taken() -> None:
    ours, theirs = socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.send(b"unasked")
        assert not quiet(ours, ours.fileno())
        assert b"unasked" == ours.recv(10)


def test_a_close_is_seen() -> None:
    ours, theirs = socketpair()
    with ours:
        ours.setblocking(False)
        theirs.close()
        assert not quiet(ours, ours.fileno())


def test_a_reset_is_seen() -> None:
    with create_server(("127.0.0.1", 0)) as server, create_connection(server.getsockname()) as ours:
        theirs, _ = server.accept()
        ours.setblocking(False)
        theirs.setsockopt(SOL_SOCKET, SO_LINGER, pack("ii", 1, 0))
        theirs.close()
        assert not quiet(ours, ours.fileno())
