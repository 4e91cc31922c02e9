"""An HTTP proxy that misbehaves as it is told to: what stands between armspan and a tool in proofs of outages."""

import http.client
import http.server
import random
import threading
import time

# Everything passes; the connection is refused or dropped; an error instead of an answer; an answer that is late; and
# the worst one: the tool does what was asked, and the answer is lost.
MODES = ["pass", "down", "500", "429", "slow", "lost"]


class Faulty:
    """Listens on a free port; `upstream` is (host, port)."""

    def __init__(self, upstream, mode="pass", seed=1):
        self.upstream, self.mode, self.share = upstream, mode, 1.0
        self.dice, self.seen = random.Random(seed), {name: 0 for name in MODES}
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self):
                self.raw_requestline = self.rfile.readline(65537)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                proxy.handle(self)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        # A client that is killed in the middle is what these proofs are about.
        self.server.handle_error = lambda *_: None
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def address(self):
        return f"127.0.0.1:{self.server.server_address[1]}"

    def set(self, mode, share=1.0):
        """From now on; with a share below 1 other requests pass."""
        self.mode, self.share = mode, share

    def handle(self, request):
        body = self.body(request)
        mode = self.mode if self.dice.random() < self.share else "pass"
        self.seen[mode] += 1
        if mode == "down":
            request.close_connection = True
            request.connection.close()
            return
        if mode in ("500", "429"):
            self.answer(request, int(mode), {"retry-after": "1"}, b"told to fail")
            return
        if mode == "slow":
            time.sleep(1.5)
        try:
            status, headers, answer = self.ask(request, body)
        except OSError:
            status, headers, answer = 502, {}, b"nobody upstream"
        if mode == "lost":
            request.close_connection = True
            request.connection.close()
            return
        self.answer(request, status, headers, answer)

    @staticmethod
    def body(request):
        if request.headers.get("transfer-encoding", "").lower() != "chunked":
            return request.rfile.read(int(request.headers.get("content-length") or 0))
        whole = b""
        while size := int(request.rfile.readline().split(b";")[0], 16):
            whole += request.rfile.read(size)
            request.rfile.readline()
        request.rfile.readline()
        return whole

    def ask(self, request, body):
        connection = http.client.HTTPConnection(*self.upstream, timeout=60)
        connection.putrequest(request.command, request.path, skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers.items():
            if name.lower() != "transfer-encoding":
                connection.putheader(name, value)
        if "content-length" not in request.headers and body:
            connection.putheader("content-length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, dict(answer.getheaders()), content

    @staticmethod
    def answer(request, status, headers, body):
        request.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                request.send_header(name, value)
        length = headers.get("Content-Length", len(body)) if request.command == "HEAD" else len(body)
        request.send_header("content-length", str(length))
        request.end_headers()
        try:
            request.wfile.write(body)
        except OSError:
            pass
