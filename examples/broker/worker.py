"""A worker, one thread a connection: `python worker.py 1` listens on port 9002, worker 2 on 9003, and so on.

`python worker.py 1 0.01 9500`: tasks take a hundredth of their time, and the port is another one (0 is any free one).
"""

import socketserver
import sys
import time

SECONDS = {b"AppID:Long": 5.0, b"AppID:Short": 1.0}


class Conversation(socketserver.BaseRequestHandler):
    """One task: one read, its time, one write, a close."""

    name = ""
    scale = 1.0

    def handle(self) -> None:
        task = self.request.recv(1024)
        if task:  # else somebody only looked whether we are here
            # In one piece, as other threads print too.
            print(f"[{self.name}] Received: {task.decode(errors='replace')}\n", end="", flush=True)
            time.sleep(SECONDS.get(task, 1.0) * self.scale)
            self.request.sendall(b"Response from Worker")


class Worker(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    number = int(sys.argv[1])
    Conversation.name = f"Worker-{number}"
    Conversation.scale = float(sys.argv[2]) if len(sys.argv) > 2 else 1.0
    port = int(sys.argv[3]) if len(sys.argv) > 3 else 9001 + number
    with Worker(("127.0.0.1", port), Conversation) as server:
        try:
            print(f"[{Conversation.name}] Listening on port {server.server_address[1]}...", flush=True)
            server.serve_forever()
        except KeyboardInterrupt:
            pass
