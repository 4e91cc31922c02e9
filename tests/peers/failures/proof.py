"""Real exporters against every answer that armspan can give: each behaves as the specification says, keeps asking
without a storm, and loses nothing without saying so."""

import json
import os
import pathlib
import re
import subprocess
import tempfile
import threading
import time
import urllib.error

from faulty import Faulty
from peer import CACHE, Server, check, end, fetch, finish, free_port, start, wait

SPANS, SECONDS = 200, 4.0
# Batches of 50 at most, sent each 200 ms or when full; an exporter that tries six times makes no storm.
REQUESTS_MAX = 6 * 30
FOLDER = CACHE / "failures"
PROTOCOLS = {
    "python": ["grpc", "http/protobuf"],
    "node": ["grpc", "http/protobuf", "http/json"],
    "go": ["grpc", "http/protobuf"],
    "java": ["grpc", "http/protobuf"],
}
ANSWERS = ["accept", "partial", "unavailable", "too many", "oversize", "shutdown", "latency", "resets", "no tls"]
CONFIG = "assignment_wait: 1s\nmatures_after: 0s\nsinks: []\n"
# Answers after which an exporter that keeps to the specification loses nothing …
LOSSLESS = ("accept", "latency", "unavailable", "too many", "shutdown", "partial")
# … but these give up, and say so: Go over HTTP when nobody listens on the port, Node over gRPC at
# every failure, whatever RetryInfo says.
GIVES_UP = {("go", "http/protobuf", "shutdown"), ("go", "http/protobuf", "unavailable"),
            ("node", "grpc", "shutdown"), ("node", "grpc", "unavailable")}  # fmt: skip
# More than any disk has, so that the log refuses for now.
FULL = CONFIG + "limits: {disk_free_min: 4000000GiB}\n"
SMALL = CONFIG + "limits: {request_bytes_max: 256}\n"


def command(sdk):
    here = pathlib.Path(__file__).parent
    if sdk == "python":
        return [FOLDER / "python/bin/python", here / "client.py"]
    if sdk == "node":
        return ["node", FOLDER / "node/client.mjs"]
    if sdk == "go":
        return [FOLDER / "go/client"]
    return ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{FOLDER / 'java'}:{FOLDER / 'java/libs'}/*", "Client"]


class Toxiproxy:
    """The real one, between a client and a port."""

    def __init__(self, folder, port):
        self.api, self.port = f"http://127.0.0.1:{free_port()}", free_port()
        self.process = start([CACHE / "bin/server", "-host", "127.0.0.1", "-port", self.api.rsplit(":")[-1]], folder / "toxiproxy.log")
        wait(lambda: fetch(f"{self.api}/version", timeout=2)[0] == 200, "toxiproxy")
        self.ask("/proxies", {"name": "p", "listen": f"127.0.0.1:{self.port}", "upstream": f"127.0.0.1:{port}"})

    def ask(self, path, body=None, method=None):
        # It refuses what calls itself a browser; urllib does not.
        status, said = fetch(self.api + path, body, method=method)
        assert status < 300, said

    def add(self, kind, attributes):
        for stream in ("upstream", "downstream"):
            self.ask("/proxies/p/toxics", {"name": f"{kind}-{stream}", "type": kind, "stream": stream, "attributes": attributes})

    def clear(self, kind):
        for stream in ("upstream", "downstream"):
            self.ask(f"/proxies/p/toxics/{kind}-{stream}", method="DELETE")


class Requests(threading.Thread):
    """Counts requests over restarts: the highest of each life."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.lives, self.over = server, {}, False
        self.start()

    def look(self):
        try:
            process = self.server.process.pid
            received = self.server.get("/api/v1/status")["received"]
            requests = sum(received[f"requests_{kind}"] for kind in ("ok", "bad", "refused"))
            self.lives[process] = max(self.lives.get(process, 0), requests)
        except (OSError, ValueError, KeyError, urllib.error.URLError):
            pass

    def run(self):
        while not self.over:
            self.look()
            time.sleep(0.2)

    def end(self):
        self.look()
        self.over = True
        return sum(self.lives.values())


def restart(server, config=None, gently=False):
    (server.stop if gently else server.kill)()
    time.sleep(0.7)
    if config:
        server.config.write_text(config)
    server.start()


class Cell:
    """One SDK, protocol and compression before one answer."""

    def __init__(self, sdk, protocol, gzip, answer):
        self.sdk, self.protocol, self.gzip, self.answer = sdk, protocol, gzip, answer

    def run(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            server = Server(folder, SMALL if self.answer == "oversize" else CONFIG)
            if self.answer == "unavailable":
                # What a start writes must be there before the disk is full.
                restart(server, FULL)
            port = server.ports[0 if self.protocol == "grpc" else 1]
            self.before(folder, port)
            requests = Requests(server)
            began = time.monotonic()
            said = (folder / "client.log").open("w")
            words = [self.protocol, self.endpoint, str(int(self.gzip)), str(SPANS), str(SECONDS), str(int(self.answer == "partial"))]
            client = subprocess.Popen([*map(str, command(self.sdk)), *words], cwd=FOLDER, stderr=said, stdout=said, env=self.environment())
            try:
                self.meanwhile(server)
                client.wait(90)
            finally:
                end(client)
            self.took = time.monotonic() - began
            if self.faulty:
                self.faulty.set("pass")
            self.settle(server)
            self.requests = requests.end()
            self.log = (folder / "client.log").read_text()
            status = server.get("/api/v1/status")
            self.counted, self.rejected = status["engine"]["calls"], sum(refusal["count"] for refusal in status["rejected"].values())
            for process in filter(None, [getattr(self, "proxy", None)]):
                end(process.process)
            end(server.process)
        self.judge()

    def environment(self):
        # Not the variables of whoever runs this.
        return {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}

    def before(self, folder, port):
        self.proxy, self.faulty = None, None
        if self.answer in ("latency", "resets"):
            self.proxy = Toxiproxy(folder, port)
            port = self.proxy.port
        if self.answer == "latency":
            self.proxy.add("latency", {"latency": 300, "jitter": 100})
        if self.answer == "too many":
            self.faulty = Faulty(("127.0.0.1", port), "429")
            port = self.faulty.address.rsplit(":")[-1]
        self.endpoint = f"{'https' if self.answer == 'no tls' else 'http'}://127.0.0.1:{port}"

    def meanwhile(self, server):
        """What happens while the client works."""
        if self.answer == "unavailable":
            time.sleep(2)
            restart(server, CONFIG)
        elif self.answer == "shutdown":
            time.sleep(2)
            restart(server, gently=True)
        elif self.answer == "resets":
            for _ in range(2):
                time.sleep(0.8)
                self.proxy.add("reset_peer", {"timeout": 0})
                time.sleep(0.5)
                self.proxy.clear("reset_peer")
        elif self.answer == "too many":
            time.sleep(2)
            self.faulty.set("pass")

    def settle(self, server):
        last = [None, 0]

        def quiet():
            engine = server.get("/api/v1/status")["engine"]
            seen = (engine["calls"], engine["parked"])
            last[:] = [seen, last[1] + 1 if seen == last[0] and not engine["parked"] else 0]
            return last[1] > 8

        server.wait(quiet, "the figures to be at rest")

    def told(self):
        """The line in which the SDK says that it dropped something."""
        lines = [line.strip() for line in self.log.splitlines() if line.strip()]
        loss = re.compile("^otel:|reset|EOF|fail|drop|reject|error|refus|unavail|exhaust|invalid|ssl|tls|handshake|partial|40[0-9]|413", re.I)
        return next((line for line in lines if loss.search(line)), "")

    def judge(self):
        name = f"{self.sdk} {self.protocol}{' gzip' if self.gzip else ''}, {self.answer}"
        expected = {"oversize": 0, "no tls": 0, "partial": SPANS // 2}.get(self.answer, SPANS)
        lost, line = expected - self.counted, self.told()
        if self.answer == "too many":
            self.requests = sum(self.faulty.seen.values())
        print(f"  | {name} | {self.counted} of {expected} | {self.requests} | {self.took:.1f} s | {line[:150]}", flush=True)
        check(f"{name}: none counted twice", self.counted <= expected, True)
        check(f"{name}: no storm", self.requests <= REQUESTS_MAX, True)
        check(f"{name}: nothing is lost in silence", lost == 0 or bool(line), True)
        if self.answer in LOSSLESS and (self.sdk, self.protocol, self.answer) not in GIVES_UP:
            check(f"{name}: nothing is lost", lost, 0)
        if self.answer == "partial":
            check(f"{name}: what was rejected", self.rejected, SPANS // 2)
        if self.answer in ("oversize", "no tls"):
            check(f"{name}: tried once a batch, and told", (self.requests <= 40, bool(line)), (True, True))


def cells(sdks, answers, compressions):
    for sdk in sdks:
        for protocol in PROTOCOLS[sdk]:
            for gzip in compressions:
                for answer in answers:
                    # The stand-in that answers 429 speaks HTTP/1.1.
                    if answer != "too many" or protocol != "grpc":
                        yield Cell(sdk, protocol, gzip, answer)


def prove(chosen, at_once):
    chosen = list(chosen)
    lock, failed = threading.Lock(), []

    def work():
        while True:
            with lock:
                if not chosen:
                    return
                cell = chosen.pop(0)
            try:
                cell.run()
            except (Exception, SystemExit) as error:  # the thread's end would be silent
                failed.append(f"{vars(cell)}: {error!r}")

    workers = [threading.Thread(target=work) for _ in range(at_once)]
    [worker.start() for worker in workers]
    [worker.join() for worker in workers]
    check("cells that could not be proven", failed, [])
    finish()
