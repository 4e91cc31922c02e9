"""What race and soak share: a server on one core and the load on another, and what /proc says of both."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import peer

SERVER_CPUS = os.environ.get("ARMSPAN_RACE_CPUS", "0")
CLIENT_CPU = "1"
PATIENCE_S = 60
TICKS = os.sysconf("SC_CLK_TCK")
# As `armspan bench` names it. Declared, because a flag that nobody declares becomes an experiment at the end of a
# minute only, and costs less before.
EXPERIMENT = "support-bot-prompt"
CONFIG = f"experiments: {{{EXPERIMENT}: {{control: control, unit: user.id}}}}\n"


def ready():
    """Ends the proof when this machine cannot run it."""
    if shutil.which("taskset") is None:
        sys.exit("no taskset: install util-linux, so that server and client get a core each")
    if os.cpu_count() < 2:
        sys.exit("one core only: server and client would share it")
    # Nor shall this program disturb the server.
    os.sched_setaffinity(0, {int(CLIENT_CPU)})


def pinned(command, cpus):
    return ["taskset", "-c", cpus, *map(str, command)]


def machine():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    model = next((line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")), "?")
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 30
    return f"{os.cpu_count()} cores ({model}), {memory} GiB of memory, Linux {os.uname().release}"


def scratch():
    """A folder on the disk that the repository is on: a file system in memory would make fsync free."""
    peer.CACHE.mkdir(exist_ok=True)
    return tempfile.TemporaryDirectory(dir=peer.CACHE, ignore_cleanup_errors=True)


def rss_mb(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    line = next((line for line in text.splitlines() if line.startswith("VmRSS:")), "VmRSS: 0 kB")
    return int(line.split()[1]) * 1024 / 1e6


def cpu_s(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def busy_s(cpus):
    """CPU seconds of these cores by anybody."""
    names = {f"cpu{cpu}" for cpu in cpus.split(",")}
    lines = [line.split() for line in pathlib.Path("/proc/stat").read_text().splitlines()]
    return sum(sum(map(int, words[1:4])) / TICKS for words in lines if words[0] in names)


def quiet():
    """Waits for others to leave both cores alone, but not for ever: the table says what they took."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        before = busy_s(f"{SERVER_CPUS},{CLIENT_CPU}")
        time.sleep(1)
        if busy_s(f"{SERVER_CPUS},{CLIENT_CPU}") - before < 0.1:
            return


class Others:
    """What others take of the server's core from now on."""

    def __init__(self, pid):
        self.pid, self.began = pid, time.monotonic()
        self.before = busy_s(SERVER_CPUS) - cpu_s(pid)

    def percent(self):
        taken = busy_s(SERVER_CPUS) - cpu_s(self.pid) - self.before
        return max(taken, 0) * 100 / (time.monotonic() - self.began) / len(SERVER_CPUS.split(","))


def disk_mb(folder):
    total = 0
    for top, _, files in os.walk(folder):
        for name in files:
            try:
                # Blocks: log segments are filled ahead, and sparse files exist.
                total += os.stat(os.path.join(top, name)).st_blocks * 512
            except FileNotFoundError:
                pass
    return total / 1e6


class Load:
    """`armspan bench` on the client's core. ARMSPAN_BENCH names its binary when the server's is another one."""

    def __init__(self, url, pid, seconds, *flags, warmup=3):
        self.most = warmup + seconds + 60
        command = [os.environ.get("ARMSPAN_BENCH") or peer.binary(), "bench", "-o", "json", url, "--pid", pid]
        command += ["--seconds", seconds, "--warmup", warmup, *flags]
        self.process = subprocess.Popen(
            pinned(command, CLIENT_CPU), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def result(self):
        """Its document; None and what it said when it failed or did not end."""
        try:
            told, error = self.process.communicate(timeout=self.most)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            return None, "did not end"
        return (json.loads(told), "") if self.process.returncode == 0 else (None, error.strip())

    def done(self):
        """The document, or the end of the proof."""
        result, error = self.result()
        return result or sys.exit(f"armspan bench failed: {error}")


class Armspan(peer.Server):
    """A real server on its core, with a data folder of its own."""

    def __init__(self, folder, more=""):
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder, CONFIG + more)

    def start(self):
        command = [peer.binary(), "serve", "--config", self.config, "--data", self.data]
        for name, port in zip(["grpc", "http", "web"], self.ports):
            command += [f"--listen-{name}", f"127.0.0.1:{port}"]
        self.process = peer.start(pinned(command, SERVER_CPUS), self.told)
        self.wait(lambda: self.get("/readyz", raw=True), "the server to be ready")

    @property
    def pid(self):
        # taskset has become the server.
        return self.process.pid

    @property
    def grpc(self):
        return f"http://127.0.0.1:{self.ports[0]}"

    def status(self):
        return self.get("/api/v1/status")

    def settle(self, spans, seconds=120):
        """Waits until the engine has counted so many calls."""
        self.wait(lambda: self.status()["engine"]["calls"] >= spans, f"{spans} calls", seconds)


class Watch(threading.Thread):
    """Looks at a server each second: memory, disk, how far the engine is behind. Rows go into a CSV file."""

    COLUMNS = ["second", "rss_mb", "disk_mb", "sealed_disk_mb", "cpu_s", "calls", "behind_entries", "queue_mib",
               "in_flight_mib", "join_mib", "units_mib", "tallies_mib", "sealed_mib", "horizon_s"]  # fmt: skip

    def __init__(self, server, path):
        super().__init__(daemon=True)
        self.server, self.path, self.rows, self.over = server, path, [], threading.Event()
        self.start()

    def run(self):
        began = time.monotonic()
        with self.path.open("w") as out:
            print(*self.COLUMNS, sep=",", file=out)
            while not self.over.wait(1 - (time.monotonic() - began) % 1):
                try:
                    row = self.look(time.monotonic() - began)
                except (OSError, ValueError):
                    continue
                self.rows.append(row)
                print(*(f"{value:.1f}" for value in row.values()), sep=",", file=out, flush=True)

    def look(self, second):
        at, data = self.server.status(), self.server.data
        mib = {name: size / 2**20 for name, size in at["engine"]["bytes"].items()}
        values = [second, rss_mb(self.server.pid), disk_mb(data), disk_mb(data / "sealed"), cpu_s(self.server.pid)]
        values += [at["engine"]["calls"], at["queue"]["log_position"] - at["position"], at["queue"]["bytes"] / 2**20]
        values += [at["queue"]["in_flight_bytes"] / 2**20]
        values += [mib.get(name, 0) for name in ["join", "units", "tallies", "sealed"]] + [at["engine"]["horizon_s"]]
        return dict(zip(self.COLUMNS, values))

    def stop(self):
        self.over.set()
        self.join()
        return self.rows


def stop(server):
    """SIGTERM, and a while for what is left to do."""
    server.process.send_signal(signal.SIGTERM)
    try:
        server.process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        peer.end(server.process)
