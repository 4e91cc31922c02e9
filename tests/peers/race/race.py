"""The same load against armspan and the OpenTelemetry Collector, side by side: each server alone on a core, the load
on another, three rounds in which all take their turn. Prints a Markdown table with the smallest, the middle and the
largest figure of the rounds."""

import os
import pathlib
import statistics
import sys

import collectors
import peer
import rig
from collectors import ARM, UNIT, Collector

ROUNDS = 3
WARMUP = 5
COLUMNS = ["", "k spans per server CPU s", "k spans/s acknowledged", "p99, ms", "peak RSS, MB"]


class Ceiling:
    """The least that receiving costs: the example `ceiling`, on the given core."""

    def __init__(self, folder, cpus=rig.SERVER_CPUS):
        folder.mkdir(parents=True)
        port = peer.free_port()
        self.grpc, self.told = f"http://127.0.0.1:{port}", folder / "ceiling.log"
        self.process = peer.start(rig.pinned([ceiling(), port], cpus), self.told)
        self.pid = self.process.pid

    def stop(self):
        peer.end(self.process)


class Armspan(rig.Armspan):
    """With the default config and the experiment's name: durable before it is acknowledged, every metric."""

    def checked(self, result):
        """What the engine counted beside what was acknowledged, and the CPU of all of it."""
        spans = result["spans"]["acknowledged_in_all"]
        self.settle(spans)
        status, cpu = self.status(), rig.cpu_s(self.pid)
        counted = status["engine"]["calls"]
        print(f"    counted {counted} of {spans}, {spans / cpu / 1e3:.1f} k a CPU s from start to the last count, "
              f"rejected {status['rejected']}, limits {status['engine']['limits']}", file=sys.stderr)  # fmt: skip
        if counted != spans:
            peer.faults.append(f"armspan counted {counted} of {spans} spans")

    def stop(self):
        rig.stop(self)


def ceiling():
    named = os.environ.get("ARMSPAN_CEILING")
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", peer.ROOT / "target"))
    path = pathlib.Path(named) if named else target / "release/examples/ceiling"
    return path if path.exists() else sys.exit("no example `ceiling`: run cargo build --release --example ceiling")


def entries():
    collector = lambda parts: lambda folder: Collector(folder, parts)
    queue = lambda folder: Queue(folder)
    return {
        "bare tonic, bytes dropped": Ceiling,
        "**armspan**: durable, 12 metrics an arm, 100,000 units": Armspan,
        "Collector → nothing": collector(collectors.to_nothing),
        "Collector, spanmetrics → prometheus": collector(collectors.spanmetrics(ARM)),
        "Collector, spanmetrics by unit → prometheus": collector(collectors.spanmetrics([*ARM, UNIT])),
        "Collector, durable queue → bare tonic": queue,
    }


class Queue(Collector):
    """What the queue delivers to shares the client's core, so that it costs the server nothing."""

    def __init__(self, folder):
        self.sink = Ceiling(folder / "sink", rig.CLIENT_CPU)
        super().__init__(folder / "collector", collectors.queue(self.sink.grpc))

    def stop(self):
        super().stop()
        self.sink.stop()


def run(make, folder, seconds):
    rig.quiet()
    server = make(folder)
    others = rig.Others(server.pid)
    result, error = rig.Load(server.grpc, server.pid, seconds, warmup=WARMUP).result()
    others = others.percent()
    if result and hasattr(server, "checked"):
        server.checked(result)
    server.stop()
    if not result or not result["server"]["spans_per_cpu_s"]:
        print(f"    no figures: {error or 'nothing within the measured time'}", file=sys.stderr)
        return None
    own, spans = result["server"], result["spans"]
    print(f"    {own['spans_per_cpu_s'] / 1e3:.1f} k a CPU s, {result['spans_per_s'] / 1e3:.1f} k/s, "
          f"p99 {result['latency_ms']['p99']:.1f} ms, {own['peak_rss_bytes'] / 1e6:.0f} MB, "
          f"dropped {spans['dropped']}, later {result['answers']['later']}, "
          f"others took {others:.0f} % of its core", file=sys.stderr)  # fmt: skip
    return {
        "per_cpu": own["spans_per_cpu_s"] / 1e3,
        "rate": result["spans_per_s"] / 1e3,
        "p99": result["latency_ms"]["p99"],
        "rss": own["peak_rss_bytes"] / 1e6,
        "dropped": spans["dropped"],
        "others": others,
    }


def three(values, digits=0):
    text = lambda value: f"{value:,.{digits}f}"
    return f"{text(min(values))} / **{text(statistics.median(values))}** / {text(max(values))}"


def row(name, results):
    if not results:
        return [name, "did not end", "", "", ""]
    values = lambda key: [result[key] for result in results]
    cells = [three(values("per_cpu")), three(values("rate")), three(values("p99")), three(values("rss"))]
    if dropped := sum(values("dropped")):
        name += f" (dropped {dropped:,} spans)"
    return [name, *cells]


def table(results, seconds):
    others = max((result["others"] for list_ in results.values() for result in list_), default=0)
    lines = [
        f"{rig.machine()}. OTLP over gRPC, flat out: 512 spans of 1.4 kB a request, 16 in flight on 4 connections, "
        f"100,000 users; server on core {rig.SERVER_CPUS}, load on core {rig.CLIENT_CPU}; {ROUNDS} rounds of "
        f"{seconds:g} s after {WARMUP} s, in turn: smallest / **middle** / largest. Others took at most {others:.0f} % "
        f"of the server's core.",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|---" + "|--:" * (len(COLUMNS) - 1) + "|",
    ]
    lines += ["| " + " | ".join(row(name, list_)) + " |" for name, list_ in results.items()]
    return "\n".join(lines)


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20
    rig.ready()
    ceiling()
    results = {name: [] for name in entries()}
    with rig.scratch() as temporary:
        for number in range(ROUNDS):
            for at, (name, make) in enumerate(entries().items()):
                print(f"round {number + 1}: {name.replace('*', '')}", file=sys.stderr, flush=True)
                result = run(make, pathlib.Path(temporary) / f"{number}-{at}", seconds)
                results[name] += [result] if result else []
    print(table(results, seconds))
    peer.finish()


main()
