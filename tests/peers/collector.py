"""A real OpenTelemetry Collector, made by tests/peers/otlp/collector.install."""

import json
import signal
import socket
import subprocess

import peer
from peer import wait

TOKEN = "token-of-the-proof"


class Collector:
    """An OpenTelemetry Collector that wants a token and writes what comes as JSON lines; can be killed."""

    def __init__(self, folder, tls=None):
        self.scheme = "https" if tls else "http"
        self.http, self.grpc, self.log = peer.free_port(), peer.free_port(), folder / "collector.log"
        self.file, self.config = folder / "came.jsonl", folder / "collector.yaml"
        listen = lambda port: {"endpoint": f"127.0.0.1:{port}", "auth": {"authenticator": "bearertokenauth"}}
        if tls:
            plain = listen
            listen = lambda port: plain(port) | {"tls": tls}
        pipeline = {"receivers": ["otlp"], "exporters": ["file"]}
        config = {
            "extensions": {"bearertokenauth": {"token": TOKEN}},
            "receivers": {"otlp": {"protocols": {"http": listen(self.http), "grpc": listen(self.grpc)}}},
            "exporters": {"file": {"path": str(self.file), "append": True, "flush_interval": "100ms"}},
            "service": {
                "extensions": ["bearertokenauth"],
                "telemetry": {"metrics": {"level": "none"}},
                "pipelines": {"traces": pipeline, "logs": pipeline, "metrics": pipeline},
            },
        }
        self.config.write_text(json.dumps(config))
        self.start()

    def start(self):
        self.process = peer.start([peer.CACHE / "bin/otelcol", f"--config=file:{self.config}"], self.log)
        wait(lambda: [socket.create_connection(("127.0.0.1", port)).close() for port in (self.http, self.grpc)],
             "the Collector", told=self.log.read_text)  # fmt: skip

    def kill(self):
        peer.end(self.process)

    def stop(self):
        """SIGTERM: what it took is in the file."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=20)

    def sink(self, protocol, token=TOKEN):
        port = self.grpc if protocol == "grpc" else self.http
        headers = [f"authorization=Bearer {token}"]
        return {"kind": "otlp", "endpoint": f"{self.scheme}://127.0.0.1:{port}", "protocol": protocol, "headers": headers}

    def came(self, part, scope, items):
        text = self.file.read_text() if self.file.exists() else ""
        # The last line may be written in part.
        for line in text.split("\n")[:-1]:
            for resource in json.loads(line).get(part, []):
                for scoped in resource[scope]:
                    yield from scoped[items]

    def spans(self):
        return list(self.came("resourceSpans", "scopeSpans", "spans"))

    def records(self):
        return list(self.came("resourceLogs", "scopeLogs", "logRecords"))

    def metrics(self):
        return list(self.came("resourceMetrics", "scopeMetrics", "metrics"))


def certificates(folder):
    """An authority of the proof's own, and what it says of 127.0.0.1."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    commands = [
        ["req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=proof"],
        ["req", *key, "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=127.0.0.1"],
        ["x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"]
        + ["-extfile", "names", "-out", "cert.pem"],
    ]
    for command in commands:
        subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)
    return {"cert_file": str(folder / "cert.pem"), "key_file": str(folder / "key.pem")}
