"""A threaded HTTP server whose whole answer is its name: `python server.py 1 8000` answers `Server 1` on port 8000."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Answers every GET with the server's name."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave in one packet
    name = ""

    def do_GET(self) -> None:
        body = self.name.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    number, port = sys.argv[1:]
    Handler.name = f"Server {number}"
    with ThreadingHTTPServer(("127.0.0.1", int(port)), Handler) as server:
        try:
            print(f"{Handler.name} listens on http://localhost:{server.server_port}", flush=True)
            server.serve_forever()
        except KeyboardInterrupt:
            print(f"{Handler.name} ends")
