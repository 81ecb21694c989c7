"""A stand-in for a model server: takes a chat request, thinks for a time that grows with its tokens, says who it is.

python model_server.py NAME PORT [SECONDS_A_TOKEN]
"""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

AT_WORK = set()  # the requests that are being answered


class Model(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer({"status": "ok", "requests": len(AT_WORK)})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        AT_WORK.add(self)
        time.sleep(asked.get("max_tokens", 256) * float(sys.argv[3] if len(sys.argv) > 3 else 0.001))
        AT_WORK.discard(self)
        self.answer({"model": sys.argv[1], "choices": [{"message": {"role": "assistant", "content": "Hello."}}]})

    def answer(self, content):
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *arguments):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Model).serve_forever()
