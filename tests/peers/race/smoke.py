"""`armspan bench` against armspan itself, over both protocols: what it says was acknowledged is what the server
counted, to the span, in both arms, and its figures fit together."""

import json
import pathlib
import subprocess
import tempfile
from collections import Counter

import peer
from peer import Server, check

SECONDS, WARMUP, BATCH = 3, 1, 64
# Declared, because a flag that nobody declares becomes an experiment at the end of a minute only.
CONFIG = "experiments: {over-grpc: {control: control}, over-http: {control: control}}\n"


def bench(server, protocol, port, *flags):
    command = [peer.binary(), "bench", f"http://127.0.0.1:{port}", "--protocol", protocol, "-o", "json"]
    command += ["--pid", server.process.pid, "--seconds", SECONDS, "--warmup", WARMUP, "--batch", BATCH]
    command += ["--experiment", f"over-{protocol}", *flags]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60)
    check(f"{protocol}: exit code", (done.returncode, done.stderr), (0, ""))
    return json.loads(done.stdout)


def figures_fit(protocol, seen):
    spans, latency, server = seen["spans"], seen["latency_ms"], seen["server"]
    rate = seen["spans_per_s"]
    print(f"  {protocol}: {rate:.0f} spans/s, p99 {latency['p99']} ms, {server['spans_per_cpu_s']} a CPU s")
    check(f"{protocol}: nothing was dropped, rejected or refused",
          (spans["dropped"], spans["rejected"], seen["answers"]["refused"]), (0, 0, 0))  # fmt: skip
    check(f"{protocol}: quantiles grow",
          0 < latency["p50"] <= latency["p99"] <= latency["p999"] <= latency["max"], True)  # fmt: skip
    check(f"{protocol}: within the measured time less than in all",
          0 < spans["acknowledged"] < spans["acknowledged_in_all"], True)  # fmt: skip
    ratio = spans["acknowledged"] / seen["seconds"] / rate
    check(f"{protocol}: the rate is that of its parts", abs(ratio - 1) < 1e-3, True)
    check(f"{protocol}: seconds", abs(seen["seconds"] - SECONDS) < 0.5, True)
    check(f"{protocol}: the server used CPU and memory", server["cpu_s"] > 0 and server["peak_rss_bytes"] > 5e6, True)


def counted(server, protocol, spans):
    experiment = lambda: server.get(f"/api/v1/experiments/over-{protocol}")
    server.wait(lambda: experiment()["calls"] >= spans, f"{spans} calls over {protocol}")
    arms = Counter()
    for site in experiment()["sites"]:
        arms.update({arm["arm"]: arm["calls"] for arm in site["arms"]})
    check(f"{protocol}: arms", sorted(arms), ["candidate", "control"])
    check(f"{protocol}: calls of both arms", sum(arms.values()), spans)
    check(f"{protocol}: half of them each", abs(arms["control"] - arms["candidate"]) <= BATCH, True)


def main():
    with tempfile.TemporaryDirectory() as temporary:
        server = Server(pathlib.Path(temporary), CONFIG)
        flat_out = bench(server, "grpc", server.ports[0], "--users", 500)
        rate = 1_000
        paced = bench(server, "http", server.ports[1], "--rate", rate, "--users", 500)
        sent = {}
        for protocol, seen in [("grpc", flat_out), ("http", paced)]:
            figures_fit(protocol, seen)
            sent[protocol] = seen["spans"]["acknowledged_in_all"]
            counted(server, protocol, sent[protocol])
        # Each request that was due was sent: the first at 0.
        due = -(-rate * (SECONDS + WARMUP) // BATCH) * BATCH
        check("http: what the rate asked for", sent["http"], due)
        status = server.get("/api/v1/status")
        check("spans received", status["received"]["spans"], sum(sent.values()))
        check("calls", status["engine"]["calls"], sum(sent.values()))
        engine = status["engine"]
        seen = status["rejected"], engine["duplicates"], engine["unassigned"]
        check("rejected, repeated, without an arm", seen, ({}, 0, 0))
        check("exit code after SIGTERM", server.stop(), 0)
    peer.finish()


main()
