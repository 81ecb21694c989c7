"""`python -m bench.echo_udp`: a backend that sends every datagram back. Says its port, and serves until killed."""

import socket

RECEIVE_BYTES = 4 * 1024 * 1024


def main() -> None:
    """Serve."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        sock.bind(("127.0.0.1", 0))
        print(sock.getsockname()[1], flush=True)
        room = memoryview(bytearray(65_536))
        while True:
            size, client = sock.recvfrom_into(room)
            sock.sendto(room[:size], client)


if __name__ == "__main__":
    main()
