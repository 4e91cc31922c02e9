"""A stand-in for the model provider's API: fixed answers; prints its port.

POST /v1/chat/completions (plain and streamed) and /v1/embeddings; the model "error-model" gets a 429.
"""

import http.server
import json

REVISIONS = {"gpt-4o-mini": "gpt-4o-mini-2024-07-18", "gpt-4o": "gpt-4o-2024-08-06"}
USAGE = {
    "prompt_tokens": 57, "completion_tokens": 23, "total_tokens": 80,
    "prompt_tokens_details": {"cached_tokens": 32},
    "completion_tokens_details": {"reasoning_tokens": 8},
}
COUNT = iter(range(1 << 62))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if asked["model"] == "error-model":
            return self.answer(429, {"error": {"message": "slow down", "type": "rate_limit_error"}})
        if self.path.endswith("/embeddings"):
            data = [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}]
            usage = {"prompt_tokens": 9, "total_tokens": 9}
            return self.answer(200, {"object": "list", "model": asked["model"], "data": data, "usage": usage})
        head = {
            "id": f"chatcmpl-{next(COUNT):08d}", "created": 1_795_000_000,
            "model": REVISIONS[asked["model"]], "system_fingerprint": "fp_44709d6fcb",
        }
        if asked.get("stream"):
            return self.stream(head)
        message = {"role": "assistant", "content": "Sunny."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        self.answer(200, {**head, "object": "chat.completion", "choices": [choice], "usage": USAGE})

    def answer(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, head):
        def chunk(delta, finish=None, **more):
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            return {**head, "object": "chat.completion.chunk", "choices": [choice], **more}

        usage = {**head, "object": "chat.completion.chunk", "choices": [], "usage": USAGE}
        chunks = [chunk({"role": "assistant", "content": "Sun"}), chunk({"content": "ny."}), chunk({}, "stop"), usage]
        body = b"".join(b"data: " + json.dumps(c).encode() + b"\n\n" for c in chunks) + b"data: [DONE]\n\n"
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
