"""armspan inline: an unchanged SDK sends to it, it sends on to a real OpenTelemetry Collector, which is away for a
while in the middle. Everything is in the Collector once, and counted once."""

import json
import os
import pathlib
import subprocess
import tempfile
import time

import peer
from collector import TOKEN, Collector, certificates
from peer import HERE, Server, check

CONFIG = """
assignment_wait: 1s
matures_after: 0s
experiments: {{inline: {{control: A, unit: user.id}}}}
forward:
  endpoint: "{endpoint}"
  protocol: {protocol}
  headers: ["authorization=Bearer {token}"]
"""
SECONDS, BEFORE, AWAY = 11, 3, 4
SECONDS_TLS = 2


def send(server, seconds, away):
    """What the client made in so many seconds, with `away()` while it sends."""
    command = [HERE / ".cache/python/bin/python", HERE / "forward/client.py"]
    command += [f"http://127.0.0.1:{server.ports[0]}", seconds]
    client = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, text=True)
    try:
        away()
        told, _ = client.communicate(timeout=90)
    finally:
        peer.end(client)
    check("exit code of the client", client.returncode, 0)
    return json.loads(told)


def points(collector):
    for metric in collector.metrics():
        for point in metric.get("sum", {}).get("dataPoints", []):
            yield [metric["name"], int(point["timeUnixNano"]), int(point["asInt"])]


def in_the_collector(collector, made):
    """Once each: lists are compared, not sets."""
    spans = sorted(span["spanId"] for span in collector.spans())
    check(f"{len(spans)} spans by id", spans == sorted(made["spans"]["A"] + made["spans"]["B"]), True)
    plain = lambda record: {pair["key"]: pair["value"] for pair in record["attributes"]}
    numbers = sorted(int(plain(record)["number"]["intValue"]) for record in collector.records())
    check(f"{len(numbers)} log records", numbers == list(range(made["records"])), True)
    seen = sorted(points(collector))
    check(f"{len(seen)} data points", seen == sorted(made["points"]), True)


def in_armspan(server, made):
    calls = made["records"]
    status = lambda: server.get("/api/v1/status")
    server.wait(lambda: status()["engine"]["calls"] >= calls and status()["engine"]["parked"] == 0, "all calls")
    # What came double would be counted double by now.
    time.sleep(1)
    seen = server.get("/api/v1/experiments/inline")
    arms = {arm["arm"]: arm["calls"] for arm in seen["sites"][0]["arms"]}
    check("calls by arm", arms, {arm: len(ids) for arm, ids in made["spans"].items()})
    seen = status()
    check("spans received", seen["received"]["spans"], calls)
    check("data points received", seen["received"]["metric_points"], len(made["points"]))
    check("rejects", seen["rejected"], {})
    check("requests of each signal went on", sorted(seen["forwarded"]), ["logs", "metrics", "traces"])
    return seen["forwarded"]


def prove(folder, protocol):
    print(f"inline, over {protocol}")
    folder = folder / protocol
    folder.mkdir()
    collector = Collector(folder)
    port = collector.grpc if protocol == "grpc" else collector.http
    config = CONFIG.format(endpoint=f"http://127.0.0.1:{port}", protocol=protocol, token=TOKEN)
    server = Server(folder, config)

    def away():
        time.sleep(BEFORE)
        collector.stop()
        time.sleep(AWAY)
        collector.start()

    made = send(server, SECONDS, away)
    peer.wait(lambda: len(collector.spans()) >= made["records"], "the last spans", told=collector.log.read_text)
    collector.stop()
    in_the_collector(collector, made)
    for signal, counts in in_armspan(server, made).items():
        print(f"  {signal}: {counts}")
        check(f"{signal}: some were not taken at first", (counts["later"] > 0, counts["refused"]), (True, 0))
    check("exit code after SIGTERM", server.stop(), 0)


def prove_tls(folder, protocol):
    print(f"inline, over {protocol} with TLS")
    folder = folder / f"{protocol}-tls"
    folder.mkdir()
    collector = Collector(folder, certificates(folder))
    port = collector.grpc if protocol == "grpc" else collector.http
    os.environ["SSL_CERT_FILE"] = str(folder / "ca.pem")
    server = Server(folder, CONFIG.format(endpoint=f"https://127.0.0.1:{port}", protocol=protocol, token=TOKEN))
    del os.environ["SSL_CERT_FILE"]
    made = send(server, SECONDS_TLS, lambda: None)
    peer.wait(lambda: len(collector.spans()) >= made["records"], "the last spans", told=collector.log.read_text)
    collector.stop()
    in_the_collector(collector, made)
    for signal, counts in in_armspan(server, made).items():
        check(f"{signal}: all taken at once", (counts["later"], counts["refused"]), (0, 0))
    check("exit code after SIGTERM", server.stop(), 0)


def main():
    with tempfile.TemporaryDirectory() as temporary:
        for protocol in ["http", "grpc"]:
            prove(pathlib.Path(temporary), protocol)
            prove_tls(pathlib.Path(temporary), protocol)
    peer.finish()


main()
