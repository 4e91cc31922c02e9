"""A stand-in for GitHub's API of comments: it keeps them, refuses what GitHub refuses, and says what it was asked."""

import http.server
import json
import threading
import urllib.parse

TOKEN = "token-of-the-job"
BODY_CHARS_MAX = 65_536


class GitHub:
    """Comments of pull requests. Those of somebody else cannot be changed with our token."""

    def __init__(self):
        self.comments, self.calls = [], []
        github = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                github.answer(self, "GET")

            def do_POST(self):
                github.answer(self, "POST")

            def do_PATCH(self):
                github.answer(self, "PATCH")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, request, method):
        length = int(request.headers.get("content-length") or 0)
        body = json.loads(request.rfile.read(length) or "null")
        status, answer = self.call(method, request.path, request.headers.get("authorization"), body)
        data = json.dumps(answer).encode()
        request.send_response(status)
        request.send_header("content-length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)

    def call(self, method, path, token, body):
        path = urllib.parse.urlparse(path)
        self.calls.append(f"{method} {path.path}")
        if token != f"Bearer {TOKEN}":
            return 401, {"message": "Bad credentials"}
        if body is not None and len(body["body"]) > BODY_CHARS_MAX:
            return 422, {"message": "Body is too long (maximum is 65536 characters)"}
        if method == "PATCH":
            comment = self.comments[int(path.path.rsplit("/", 1)[1])]
            if comment["user"] != "bot":
                return 403, {"message": "Resource not accessible by integration"}
            comment["body"] = body["body"]
            return 200, comment
        if method == "POST":
            return 201, self.add(int(path.path.split("/")[5]), "bot", body["body"])
        query = urllib.parse.parse_qs(path.query)
        page, size = int(query["page"][0]), int(query["per_page"][0])
        own = [comment for comment in self.comments if comment["issue"] == int(path.path.split("/")[5])]
        return 200, own[(page - 1) * size:page * size]

    def add(self, issue, user, body):
        self.comments.append({"id": len(self.comments), "issue": issue, "user": user, "body": body})
        return self.comments[-1]

    def ours(self):
        return [comment for comment in self.comments if comment["user"] == "bot"]
