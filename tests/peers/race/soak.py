"""armspan under load for so many seconds a phase: one line for each claim, with its figure and its bound.

The server has a core, the load and this program another. Time cannot be made to run faster for the server, because
log time is its own clock; what happens beyond the horizon comes early by a small `limits.horizon_bytes_max`.
"""

import http.client
import pathlib
import statistics
import sys
import threading
import time

import peer
import rig

RATE = 100_000
UNITS, UNITS_MANY = 1_000_000, 10_000_000
RSS_MB_MAX = 300
UNITS_MIB_MAX = 32
READ_MS_MAX, ACK_MS_MAX = 50, 10
# How much more the last quarter may have than the second; the first one warms up.
GROWTH_MAX = 0.05
READS_PER_S = 10
WARMUP = 10
# What a sealed call takes of the disk, about.
SEALED_BYTES = 100
LATE_CONFIG = """limits: {{horizon_bytes_max: {mib}MiB}}
log: {{keep_bytes_max: 256MiB}}
snapshot: {{every: 10s}}
"""
missed = []


def claim(what, figure, bound, kept):
    print(f"{'ok    ' if kept else 'MISSED'} {what}: {figure} (bound: {bound})", flush=True)
    if not kept:
        missed.append(what)


def note(text):
    print(f"       {text}", flush=True)


def quarters(rows, column):
    """The middle value of the second and of the last quarter, and the most of all."""
    values = [row[column] for row in rows]
    part = max(len(values) // 4, 1)
    return statistics.median(values[part : 2 * part] or values), statistics.median(values[-part:]), max(values)


def flat(what, rows, column, growth_max=GROWTH_MAX):
    then, now, _ = quarters(rows, column)
    figure = f"{then:.0f} MB in the second quarter, {now:.0f} MB in the last ({(now / then - 1) * 100:+.1f} %)"
    claim(what, figure, f"+{growth_max * 100:.0f} %", now <= then * (1 + growth_max))


def memory(phase, rows):
    flat(f"{phase}: memory is flat", rows, "rss_mb")
    most = quarters(rows, "rss_mb")[2]
    claim(f"{phase}: memory", f"at most {most:.0f} MB", f"{RSS_MB_MAX} MB", most <= RSS_MB_MAX)


def all_counted(phase, server, result):
    spans = result["spans"]
    try:
        server.settle(spans["acknowledged_in_all"])
    except SystemExit as gave_up:
        note(str(gave_up).splitlines()[0])
    seen = (spans["dropped"], server.status()["engine"]["calls"] - spans["acknowledged_in_all"])
    claim(f"{phase}: dropped, counted beside what was acknowledged", f"{seen[0]}, {seen[1]:+}", "0, 0", seen == (0, 0))


class Reader(threading.Thread):
    """Asks for one path so many times a second; how long it takes counts from when it was due."""

    def __init__(self, server, path):
        super().__init__(daemon=True)
        self.server, self.path = server, path
        self.took, self.bad, self.over = [], 0, threading.Event()
        self.start()

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.ports[2], timeout=30)
        due = time.monotonic()
        while not self.over.wait(max(due - time.monotonic(), 0)):
            try:
                connection.request("GET", self.path)
                answer = connection.getresponse()
                answer.read()
                self.bad += answer.status != 200
            except (OSError, http.client.HTTPException):
                connection.close()
                self.bad += 1
            self.took.append((time.monotonic() - due) * 1e3)
            due += 1 / READS_PER_S

    def stop(self):
        self.over.set()
        self.join()
        took = sorted(self.took)
        return took[min(int(len(took) * 0.99), len(took) - 1)], took[-1]


class Phase:
    """A fresh server that is watched while it is under load."""

    def __init__(self, name, folder, more=""):
        rig.quiet()
        self.name, self.server = name, rig.Armspan(folder / name, more)
        self.csv = peer.CACHE / "soak" / f"{name}.csv"
        self.csv.parent.mkdir(parents=True, exist_ok=True)

    def load(self, seconds, *flags):
        watch = rig.Watch(self.server, self.csv)
        others = rig.Others(self.server.pid)
        result = rig.Load(self.server.grpc, self.server.pid, seconds, *flags, warmup=WARMUP).done()
        others = others.percent()
        rows = watch.stop()
        behind = max(row["behind_entries"] for row in rows), max(row["queue_mib"] for row in rows)
        note(f"{self.name}: {result['spans_per_s']:.0f} spans/s acknowledged, "
             f"{result['server']['spans_per_cpu_s']:.0f} a CPU s; the engine was at most {behind[0]:.0f} entries and "
             f"{behind[1]:.0f} MiB behind; others took {others:.0f} % of its core; "
             f"{self.csv.relative_to(peer.ROOT)}")  # fmt: skip
        return result, rows

    def __enter__(self):
        return self

    def __exit__(self, *_):
        rig.stop(self.server)


def full_load(folder, seconds):
    """Everything that it takes, and people who look on. Gives what it takes."""
    with Phase("full", folder) as phase:
        experiment = f"/api/v1/experiments/{rig.EXPERIMENT}"
        readers = {}

        def read():
            for path in [experiment, "/api/v1/status", f"/experiments/{rig.EXPERIMENT}", "/experiments"]:
                readers[path] = Reader(phase.server, path)

        begin = threading.Timer(WARMUP, read)
        begin.start()
        result, rows = phase.load(seconds, "--users", UNITS)
        begin.join()
        for path, reader in readers.items():
            p99, most = reader.stop()
            figure = f"p99 {p99:.0f} ms, at most {most:.0f} ms, {len(reader.took)} times, {reader.bad} not answered"
            claim(f"full load: {path}", figure, f"p99 {READ_MS_MAX} ms", p99 <= READ_MS_MAX and not reader.bad)
        most = quarters(rows, "rss_mb")[2]
        claim("full load: memory", f"at most {most:.0f} MB", f"{RSS_MB_MAX} MB", most <= RSS_MB_MAX)
        all_counted("full load", phase.server, result)
        return result["spans_per_s"]


def half_load(folder, seconds, capacity):
    rate = min(RATE, capacity / 2)
    with Phase("half", folder) as phase:
        result, rows = phase.load(seconds, "--users", UNITS, "--rate", f"{rate:.0f}")
        offered = f"{rate:.0f} spans/s, {UNITS} units"
        claim("offered rate", offered, f"{RATE} spans/s, at most half of what it takes", rate >= RATE)
        memory("half load", rows)
        p99 = result["latency_ms"]["p99"]
        figure = f"p99 {p99:.1f} ms, p99.9 {result['latency_ms']['p999']:.1f} ms"
        claim("half load: acknowledged", figure, f"p99 {ACK_MS_MAX} ms", p99 <= ACK_MS_MAX)
        all_counted("half load", phase.server, result)


def many_units(folder, seconds, capacity):
    """Each trace has one call of a unit of its own."""
    rate = min(RATE, capacity / 2)
    wanted = UNITS_MANY if seconds >= 180 else int(rate * seconds) // 2 * 2
    seconds = wanted * 1.02 / rate - WARMUP
    with Phase("units", folder) as phase:
        flags = ["--users", wanted, "--trace-len", 1, "--rate", f"{rate:.0f}"]
        result, rows = phase.load(max(seconds, 1), *flags)
        all_counted("many units", phase.server, result)
        document = phase.server.get(f"/api/v1/experiments/{rig.EXPERIMENT}")
        counted = sum(arm["units"] for site in document["sites"] for arm in site["arms"])
        expected = min(wanted, result["spans"]["acknowledged_in_all"])
        claim("many units: counted", f"{counted} distinct of {expected}", f"{UNITS_MANY}, all counted",
              counted >= UNITS_MANY and counted >= expected)  # fmt: skip
        most = quarters(rows, "units_mib")[2]
        claim("many units: the register in memory", f"at most {most:.1f} MiB", f"{UNITS_MIB_MAX} MiB",
              most <= UNITS_MIB_MAX)  # fmt: skip
        memory("many units", rows)


def past_the_horizon(folder, seconds, capacity):
    """At half of what it takes; what is sealed reaches its limit about a third through."""
    rate = capacity / 2
    mib = max(int(rate * SEALED_BYTES * seconds / 4) >> 20, 16)
    with Phase("horizon", folder, LATE_CONFIG.format(mib=mib)) as phase:
        result, rows = phase.load(seconds, "--users", UNITS, "--rate", f"{rate:.0f}")
        shortest = rows[-1]["horizon_s"]
        claim("past the horizon: it is reached", f"data is kept for {shortest:.0f} s", f"{seconds:.0f} s",
              shortest < seconds)  # fmt: skip
        most = quarters(rows, "sealed_mib")[2]
        claim("past the horizon: sealed calls", f"at most {most:.0f} MiB", f"{mib} MiB", most <= mib)
        flat("past the horizon: disk is flat", rows, "disk_mb", 0.1)
        note(f"horizon: of the disk {quarters(rows, 'sealed_disk_mb')[2]:.0f} MiB are sealed at most")
        memory("past the horizon", rows)
        seen = result["spans"]["dropped"]
        claim("past the horizon: dropped", seen, 0, seen == 0)


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 180
    rig.ready()
    print(f"{rig.machine()}; server on core {rig.SERVER_CPUS}, load on core {rig.CLIENT_CPU}; {seconds:.0f} s a phase")
    with rig.scratch() as temporary:
        folder = pathlib.Path(temporary)
        capacity = full_load(folder, seconds / 3)
        half_load(folder, seconds, capacity)
        many_units(folder, seconds, capacity)
        past_the_horizon(folder, seconds, capacity)
    note("restart and refold of 10 GiB: tests/peers/full refold")
    sys.exit(f"missed: {len(missed)}" if missed else 0)


main()
