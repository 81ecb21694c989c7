"""A client: `python client.py Long least_connections`; a port other than 8000 may be named behind that."""

import socket
import sys

kind, approach = sys.argv[1:3]
port = int(sys.argv[3]) if len(sys.argv) > 3 else 8000
with socket.create_connection(("127.0.0.1", port)) as broker:
    broker.sendall(f"AppID:{kind}:{approach}".encode())
    print(f"[Client] Received: {broker.recv(1024).decode()}")
