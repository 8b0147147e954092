"""Takes deliveries of webhooks and prints each once. Usage: receive.py [port]"""

import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

webhook = Webhook(os.environ["PUSHFLEET_WEBHOOK_SECRET"])
# A delivery whose answer was lost comes again with its id. Keep ids for days, where you keep what they brought.
taken: set[str] = set()


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        handshake = self.headers.get("X-Hook-Secret")
        if handshake is not None:
            return self.answer(204, {"X-Hook-Secret": handshake})
        try:
            webhook.verify(body, dict(self.headers), json_parse=False)
        except (WebhookVerificationError, UnicodeDecodeError) as error:
            return self.answer(401, {}, str(error).encode())
        if self.headers["webhook-id"] not in taken:
            print(self.headers["Pushfleet-Topic"], body.decode(), flush=True)
        taken.add(self.headers["webhook-id"])
        # Only what was kept is confirmed: without an answer of 2xx it comes again.
        self.answer(204, {})

    def answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


port = int(sys.argv[1]) if len(sys.argv) > 1 else 9000
server = ThreadingHTTPServer(("127.0.0.1", port), Receiver)
print("listening", flush=True)
server.serve_forever()
