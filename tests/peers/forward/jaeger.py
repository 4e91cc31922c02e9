"""armspan inline before Jaeger, which comes up late and takes traces only: every span is there once, over both
protocols, and log records and data points are told to stay away when the config lets them go on."""

import json
import pathlib
import subprocess
import tempfile
import time

import peer
from peer import HERE, Server, check, fetch

CONFIG = """
assignment_wait: 1s
matures_after: 0s
experiments: {{inline: {{control: A, unit: user.id}}}}
forward: {{endpoint: "http://127.0.0.1:{port}", protocol: {protocol}, signals: [{signals}]}}
"""
SECONDS, AWAY = 8, 3
# Everything that Jaeger listens with, or it is open to other machines.
LISTENERS = [
    "collector.otlp.grpc", "collector.otlp.http", "query.http-server", "query.grpc-server", "collector.http-server",
    "collector.grpc-server", "admin.http", "http-server",
]  # fmt: skip
PROCESSORS = ["jaeger-binary", "jaeger-compact", "zipkin-compact"]


class Jaeger:
    """Knows its ports before it is started."""

    def __init__(self, folder):
        self.ports = {name: peer.free_port() for name in LISTENERS + PROCESSORS}
        self.log = folder / "jaeger.log"

    def start(self):
        at = lambda name: f"127.0.0.1:{self.ports[name]}"
        command = [peer.CACHE / "bin/jaeger", "--collector.otlp.enabled=true"]
        command += [f"--{name}.host-port={at(name)}" for name in LISTENERS]
        command += [f"--processor.{name}.server-host-port={at(name)}" for name in PROCESSORS]
        self.process = peer.start(command, self.log)
        peer.wait(lambda: fetch(f"http://{at('admin.http')}/")[0] == 200, "Jaeger", told=self.log.read_text)

    def spans(self):
        _, answer = fetch(f"http://127.0.0.1:{self.ports['query.http-server']}/api/traces?service=inline&limit=5000")
        return sorted(span["spanID"] for trace in answer["data"] for span in trace["spans"])


def prove(folder, protocol, signals):
    print(f"before Jaeger, over {protocol}, {signals}")
    folder = folder / protocol
    folder.mkdir()
    jaeger = Jaeger(folder)
    config = CONFIG.format(port=jaeger.ports[f"collector.otlp.{protocol}"], protocol=protocol, signals=signals)
    server = Server(folder, config)
    command = [HERE / ".cache/python/bin/python", HERE / "forward/client.py"]
    command += [f"http://127.0.0.1:{server.ports[0]}", SECONDS]
    client = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, text=True)
    try:
        time.sleep(AWAY)
        jaeger.start()
        told, _ = client.communicate(timeout=90)
    finally:
        peer.end(client)
    check("exit code of the client", client.returncode, 0)
    made = json.loads(told)
    made_spans = sorted(made["spans"]["A"] + made["spans"]["B"])
    peer.wait(lambda: len(jaeger.spans()) >= len(made_spans), "the spans", told=jaeger.log.read_text)
    check(f"{len(made_spans)} spans by id", jaeger.spans() == made_spans, True)
    status = lambda: server.get("/api/v1/status")
    server.wait(lambda: status()["engine"]["calls"] >= len(made_spans) and status()["engine"]["parked"] == 0, "calls")
    seen = status()
    check("calls", seen["engine"]["calls"], len(made_spans))
    forwarded = seen["forwarded"]
    print(f"  {forwarded}")
    check("traces: some were not taken at first", forwarded["traces"]["later"] > 0, True)
    for signal in ["logs", "metrics"]:
        refused = forwarded.get(signal, {"ok": 0, "refused": 0})
        check(f"{signal}: taken, refused for good", (refused["ok"], refused["refused"] > 0), (0, signal in signals))
    check("exit code after SIGTERM", server.stop(), 0)
    peer.end(jaeger.process)


def main():
    with tempfile.TemporaryDirectory() as temporary:
        prove(pathlib.Path(temporary), "http", "traces")
        prove(pathlib.Path(temporary), "grpc", "traces, logs, metrics")
    peer.finish()


main()
