"""A stand-in for the server of Weights & Biases: answers what wandb-core 0.31.0 asks when it uploads an offline run, and
keeps every exchange. The real server is not to be had as a package; what is proven is what the real client sends."""

import base64
import hashlib
import http.server
import json
import sys
import threading


class Quiet(http.server.ThreadingHTTPServer):
    """Says nothing of connections that the client drops when it ends."""

    def handle_error(self, request, address):
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, address)


class Standin:
    def __init__(self, key):
        self.key, self.lock = key, threading.Lock()
        self.asked = []  # (operation, variables)
        self.streams = {}  # run -> bodies of file_stream
        self.uploads = {}  # path -> bytes
        self.unauthorised = 0
        self.server = Quiet(("127.0.0.1", 0), handler(self))
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def variables(self, operation):
        return [variables for name, variables in self.asked if name == operation]

    # What an operation answers, as `data`.

    def answer(self, name, v):
        with self.lock:
            self.asked.append((name, v))
        answer = getattr(self, name, None)
        return answer(v) if answer else None

    def Viewer(self, _):
        return {"viewer": {"id": "u", "entity": "armspan", "username": "u", "email": "", "flags": "{}", "teams": {"edges": []}}}

    def ServerFeaturesQuery(self, _):
        return {"serverInfo": {"features": []}}

    def UpsertBucket(self, v):
        project = {"id": "p", "name": v["project"], "entity": {"id": "e", "name": v["entity"]}}
        bucket = {"id": v["name"], "name": v["name"], "displayName": v.get("displayName"), "description": "", "config": "{}",
                  "sweepName": None, "historyLineCount": 0, "project": project}
        return {"upsertBucket": {"bucket": bucket, "inserted": True}}

    def CreateArtifact(self, v):
        sequence = {"id": "seq", "latestArtifact": None}
        return {"createArtifact": {"artifact": {"id": "art-" + v["input"]["digest"], "state": "PENDING", "artifactSequence": sequence}}}

    def CreateArtifactManifest(self, v):
        place = {"id": "f", "uploadUrl": f"{self.url}/put/{v['artifactID']}/manifest", "uploadHeaders": []} if v["includeUpload"] else {"id": "f"}
        return {"createArtifactManifest": {"artifactManifest": {"id": "man-" + v["artifactID"], "file": place}}}

    def CreateArtifactFiles(self, v):
        nodes = [{"storagePath": f"{f['artifactID']}/{f['name']}", "uploadUrl": f"{self.url}/put/{f['artifactID']}/{f['name']}",
                  "uploadHeaders": [], "uploadMultipartUrls": None, "artifact": {"id": f["artifactID"]}} for f in v["input"]["artifactFiles"]]
        return {"createArtifactFiles": {"files": {"edges": [{"node": node} for node in nodes]}}}

    def CommitArtifact(self, v):
        return {"commitArtifact": {"artifact": {"id": v["artifactID"], "digest": v["artifactID"].removeprefix("art-")}}}

    def CreateRunFiles(self, v):
        files = [{"name": name, "uploadUrl": f"{self.url}/put/{v['run']}/{name}"} for name in v["files"]]
        return {"createRunFiles": {"runID": v["run"], "uploadHeaders": [], "files": files}}


def handler(standin):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def body(self):
            return self.rfile.read(int(self.headers.get("content-length") or 0))

        def reply(self, value, status=200):
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_POST(self):
            body = json.loads(self.body() or b"{}")
            given = "Basic " + base64.b64encode(f"api:{standin.key}".encode()).decode()
            if self.headers.get("authorization") != given:
                standin.unauthorised += 1
                return self.reply({"errors": [{"message": "who are you?"}]}, 401)
            if self.path == "/graphql":
                data = standin.answer(body.get("operationName"), body.get("variables") or {})
                return self.reply({"data": data} if data else {"errors": [{"message": "not known here"}]})
            if self.path.endswith("/file_stream"):
                with standin.lock:
                    standin.streams.setdefault(self.path.split("/")[-2], []).append(body)
                return self.reply({})
            self.reply({}, 404)

        def do_PUT(self):
            body = self.body()
            sent = self.headers.get("content-md5")
            if sent and base64.b64decode(sent) != hashlib.md5(body).digest():
                return self.reply({}, 400)
            with standin.lock:
                standin.uploads[self.path.removeprefix("/put/")] = body
            self.reply({})

        def do_GET(self):
            self.reply({}, 404)

    return Handler
