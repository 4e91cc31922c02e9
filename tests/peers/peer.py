"""What all proofs against real software share: a real armspan, checks that are counted, free ports, and
processes that end with the proof. ARMSPAN_BIN names the binary."""

import atexit
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = HERE / ".cache"
faults = []


def check(what, seen, expected):
    print(f"  {'ok ' if seen == expected else 'BAD'} {what}: {seen}")
    if seen != expected:
        faults.append(f"{what}: expected {expected}, saw {seen}")


def binary():
    named = os.environ.get("ARMSPAN_BIN")
    found = [named] if named else [ROOT / "target/release/armspan", ROOT / "target/debug/armspan"]
    for path in found:
        if pathlib.Path(path).exists():
            return str(path)
    sys.exit("no armspan binary: run cargo build, or set ARMSPAN_BIN")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def finish():
    """Ends the proof: with 1 and every fault when there are any."""
    if faults:
        sys.exit("\n".join(faults))


def wait(done, what, seconds=30, told=lambda: ""):
    """Waits until `done()` is true; errors of a connection mean not yet."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if done():
                return
        except (OSError, KeyError, IndexError):
            pass
        time.sleep(0.1)
    sys.exit(f"waited {seconds} s in vain for {what}; it said:\n{told()}")


def start(command, log, **more):
    """Starts a process that ends with this program; its output goes to the file `log`."""
    process = subprocess.Popen([*map(str, command)], stdout=log.open("a"), stderr=subprocess.STDOUT, **more)
    atexit.register(end, process)
    return process


def end(process):
    if process.poll() is None:
        process.kill()
        process.wait()


def fetch(url, body=None, headers=None, method=None, timeout=10):
    """Status and JSON (or text) of an answer, whatever the status."""
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, {"content-type": "application/json", **(headers or {})}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text.decode(errors="replace")


class Server:
    """A real `armspan serve` on free ports with its own config and data folder; can be killed and started again."""

    def __init__(self, folder, config):
        self.ports = [free_port() for _ in range(3)]
        self.config = folder / "armspan.yaml"
        self.config.write_text(config)
        self.data = folder / "data"
        self.told = folder / "armspan.log"
        self.start()

    def start(self):
        command = [binary(), "serve", "--config", self.config, "--data", self.data]
        for name, port in zip(["grpc", "http", "web"], self.ports):
            command += [f"--listen-{name}", f"127.0.0.1:{port}"]
        self.process = start(command, self.told)
        self.wait(lambda: self.get("/readyz", raw=True), "the server to be ready")

    def kill(self):
        """kill -9"""
        end(self.process)

    def stop(self):
        """SIGTERM; gives the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=45)

    @property
    def web(self):
        return f"http://127.0.0.1:{self.ports[2]}"

    def get(self, path, raw=False):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[2]}{path}", timeout=5) as answer:
            body = answer.read()
        return body if raw else json.loads(body)

    def wait(self, done, what, seconds=30):
        wait(done, what, seconds, self.told.read_text)


class Demo:
    """`armspan demo` with its day of history, on ports that it finds itself."""

    def __init__(self, folder, *flags, **more):
        self.told = folder / "demo.log"
        self.process = start([binary(), "demo", *flags], self.told, **more)
        wait(self.address, "the demo to serve", 100, self.told.read_text)
        self.web = self.address()

    def address(self):
        found = re.search(r"dashboard +http://(\S+)", self.told.read_text())
        return found and found.group(1)

    def stop(self):
        """Ctrl-C, so that it takes its temporary folder away."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)


# `finally` and atexit must run when a timeout ends this program, too.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def deliver(config, *cuts, expect=0):
    """Delivers cuts (paths of JSON files) to the sink of a config entry by the example `deliver`; gives its stderr.
    ARMSPAN_DELIVER names its binary; else that of the newest build is taken."""
    named = os.environ.get("ARMSPAN_DELIVER")
    folder = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    found = [pathlib.Path(named)] if named else [folder / kind / "examples/deliver" for kind in ("release", "debug")]
    found = sorted((path for path in found if path.exists()), key=lambda path: -path.stat().st_mtime)
    if not found:
        sys.exit("no example `deliver`: run cargo build --example deliver, or set ARMSPAN_DELIVER")
    done = subprocess.run([found[0], json.dumps(config), *map(str, cuts)], capture_output=True, text=True, timeout=120)
    check("exit code of deliver", done.returncode, expect)
    return done.stderr
