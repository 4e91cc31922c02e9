"""Metrics into a real Prometheus, log records into a real OpenTelemetry Collector, and both back out again."""

import json
import math
import pathlib
import os
import random
import sys
import tempfile
import time
import urllib.parse

import peer
from collector import Collector, certificates
from peer import check, fetch, wait

COUNTS = {
    "maps": ["observations", "orphaned", "wrappers", "limits", "bytes"],
    "numbers": ["calls", "with_arm", "with_score", "unassigned", "parked", "waiting_scores", "duplicates", "conflicts"]
    + ["late", "judge_calls", "conflicting_traces"],
}
SCALE = 5


class Prometheus:
    def __init__(self, folder):
        self.port, self.log = peer.free_port(), folder / "prometheus.log"
        config = folder / "prometheus.yml"
        config.write_text("global: {scrape_interval: 1h}\n")
        command = [peer.CACHE / "bin/prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}"]
        command += [f"--web.listen-address=127.0.0.1:{self.port}", "--web.enable-otlp-receiver"]
        peer.start([*command, "--enable-feature=exemplar-storage"], self.log)
        wait(lambda: fetch(f"{self.url}/-/ready")[0] == 200, "Prometheus", told=self.log.read_text)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def sink(self, **more):
        return {"kind": "otlp", "endpoint": f"{self.url}/api/v1/otlp", "signals": ["metrics"], **more}

    def query(self, text):
        """Value by the labels that tell the series of one query apart."""
        status, answer = fetch(f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': text})}")
        if status != 200:
            sys.exit(f"query {text}: {status} {answer}")
        return [(series["metric"], float(series["value"][1])) for series in answer["data"]["result"]]

    def by_arm(self, text):
        return {labels["armspan_arm"]: value for labels, value in self.query(text)}

    def exemplars(self, text):
        window = {"query": text, "start": time.time() - 7200, "end": time.time() + 60}
        _, answer = fetch(f"{self.url}/api/v1/query_exemplars?{urllib.parse.urlencode(window)}")
        return [found for series in answer["data"] for found in series["exemplars"]]


def distribution(arm, quantity, unit, values, now):
    """As the engine makes it: a base-2 exponential histogram."""
    buckets = {}
    for value in values:
        index = math.ceil(math.log2(value) * 2**SCALE) - 1
        buckets[index] = buckets.get(index, 0) + 1
    exemplar = {"at": now, "value": max(values), "trace_id": "4c3c1e5c2acf31fcc5cd23f5d8d67cce", "span_id": "2a2821c3fe310977"}
    return {
        "experiment": "support-bot", "site": "answer", "arm": arm, "quantity": quantity, "unit": unit, "per_unit": 1.0,
        "since": now - 3_600_000_000_000, "count": len(values), "sum": sum(values), "zeros": 0, "scale": SCALE,
        "buckets": sorted(buckets.items()), "exemplars": [exemplar],
    }  # fmt: skip


def write_view(folder, seconds, extra_calls, values):
    """What the engine would show at a time, with the experiments of the sample cut."""
    cut = json.loads((peer.ROOT / "tests/fixtures/cut.json").read_text())
    now = int(seconds * 1e9)
    for site in cut["experiments"][0]["sites"]:
        for arm in [*site["arms"], *site["all_epochs"]]:
            arm["calls"] += extra_calls
    units = {"latency": "s", "tokens_in": "{token}", "cost": "USD"}
    distributions = [
        distribution(arm, quantity, unit, values[arm, quantity], now) for arm in "ABC" for quantity, unit in units.items()
    ]
    counts = {name: {} for name in COUNTS["maps"]} | {name: 0 for name in COUNTS["numbers"]}
    view = {
        "position": cut["position"], "log_time": now, "config": "sha256:00", "experiments": cut["experiments"],
        "runs": cut["records"], "distributions": distributions, "counts": counts,
    }  # fmt: skip
    path = folder / f"view-{now}.json"
    path.write_text(json.dumps(view))
    return path, view


def samples():
    dice = random.Random(3)
    means = {"latency": -0.5, "tokens_in": 6.0, "cost": -6.5}
    draw = lambda mean, arm: [math.exp(dice.gauss(mean + 0.2 * "ABC".index(arm), 0.6)) for _ in range(500)]
    return {(arm, quantity): draw(mean, arm) for arm in "ABC" for quantity, mean in means.items()}


def prove_prometheus(folder, deliver=peer.deliver):
    print("metrics into Prometheus")
    prometheus, values, now = Prometheus(folder), samples(), time.time() - 20
    path, view = write_view(folder, now, 0, values)
    deliver(prometheus.sink(), "--view", path)
    figures(prometheus, view, values)
    path, view = write_view(folder, now + 15, 100, values)
    deliver(prometheus.sink(), "--view", path)
    deliver(prometheus.sink(), "--view", path)
    totals = {arm["arm"]: float(arm["calls"]) for arm in view["experiments"][0]["sites"][0]["all_epochs"]}
    check("calls after the next beat, given twice", prometheus.by_arm("armspan_arm_calls_total"), totals)
    long_ago, _ = write_view(folder, now - 90 * 86_400, 0, values)
    told = deliver(prometheus.sink(), "--view", long_ago, expect=3)
    check("figures that are too old are refused, not retried", "400" in told, True)
    told = deliver(prometheus.sink(signals=[]), *events(folder), expect=1)
    check("a receiver of metrics only is told", "name in signals" in told, True)


def figures(prometheus, view, values):
    """Every figure that the view has comes back."""
    site = view["experiments"][0]["sites"][0]
    totals = {arm["arm"]: float(arm["calls"]) for arm in site["all_epochs"]}
    check("calls", prometheus.by_arm("armspan_arm_calls_total"), totals)
    for bound in ["estimate", "lower", "upper"]:
        for name, part in [("metric", "level"), ("difference", "difference")]:
            seen = {
                (labels["armspan_arm"], labels["armspan_metric"]): value
                for labels, value in prometheus.query(f'armspan_arm_{name}{{armspan_bound="{bound}"}}')
            }
            right = {
                (arm["arm"], line["name"]): line[part][bound]
                for arm in site["arms"]
                for line in arm["metrics"]
                if bound in line.get(part, {})
            }
            check(f"{name} {bound}: {len(right)} series", seen == right and len(right) > 0, True)
    holds = {(labels["armspan_arm"], labels["armspan_metric"]): labels["armspan_state"] for labels, _ in prometheus.query("armspan_verdict == 1")}
    right = {
        (arm["arm"], line["name"]): line["verdict"]["state"]
        for arm in site["arms"]
        for line in arm["metrics"]
        if line.get("verdict", {}).get("decides")
    }
    check("verdicts", holds, right)
    check("sample ratio", [value for _, value in prometheus.query("armspan_sample_ratio_log_e")], [view["experiments"][0]["sample_ratio"]["log_e"]])
    histograms(prometheus, values)


def histograms(prometheus, values):
    names = {"latency": "armspan_arm_latency_seconds", "tokens_in": "armspan_arm_tokens_in", "cost": "armspan_arm_cost_USD"}
    for quantity, name in names.items():
        counts = {arm: float(len(values[arm, quantity])) for arm in "ABC"}
        sums = {arm: round(sum(values[arm, quantity]), 9) for arm in "ABC"}
        check(f"{quantity}: count", prometheus.by_arm(f"histogram_count({name})"), counts)
        seen = {arm: round(value, 9) for arm, value in prometheus.by_arm(f"histogram_sum({name})").items()}
        check(f"{quantity}: sum", seen, sums)
        seen = prometheus.by_arm(f"histogram_quantile(0.95, {name})")
        right = {arm: sorted(values[arm, quantity])[474] for arm in "ABC"}
        near = all(abs(seen[arm] / right[arm] - 1) < 0.05 for arm in "ABC")
        check(f"{quantity}: p95 within two buckets", near, True)
    found = prometheus.exemplars("armspan_arm_latency_seconds")
    traces = {exemplar["labels"].get("trace_id") for exemplar in found}
    check("exemplars of latency lead to a trace", traces, {"4c3c1e5c2acf31fcc5cd23f5d8d67cce"})


def events(folder):
    """A verdict and a change as the engine would tell them."""
    cut = json.loads((peer.ROOT / "tests/fixtures/cut.json").read_text())
    arm = next(arm for arm in cut["experiments"][0]["sites"][0]["arms"] if arm["arm"] == "C")
    line = next(line for line in arm["metrics"] if line["name"] == "latency_p95")
    place = {"schema": "armspan/event/v1", "experiment": "support-bot", "site": "answer", "epoch": 2}
    change = {"at": "2026-11-24T07:59:00Z", "arm": "B", "field": "model.revision", "from": "one", "to": "two"}
    both = [
        {**place, "id": "a" * 32, "kind": "verdict", "at": "2026-11-24T16:31:00.5Z", "arm": "C", "control": "A",
         "metric": line, "was": "inconclusive", "decision": arm["decision"]},
        {**place, "id": "b" * 32, "kind": "change", "at": change["at"], "arm": "B", "change": change},
    ]  # fmt: skip
    paths = [folder / f"event-{event['kind']}.json" for event in both]
    for path, event in zip(paths, both):
        path.write_text(json.dumps(event))
    return paths


def attributes(record):
    plain = lambda value: next(iter(value.values()))
    return {pair["key"]: plain(pair["value"]) for pair in record["attributes"]}


def prove_collector(folder, protocol, deliver=peer.deliver):
    print(f"log records into a Collector over {protocol}")
    folder = folder / protocol
    folder.mkdir()
    collector, paths = Collector(folder), events(folder)
    told = deliver(collector.sink(protocol, "wrong"), *paths, expect=1)
    check("a wrong token is told", "check the sink's headers" in told, True)
    check("no token in the message", "wrong" in told, False)
    collector.kill()
    told = deliver(collector.sink(protocol), *paths, expect=1)
    check("a Collector that is down is told", str(collector.grpc if protocol == "grpc" else collector.http) in told, True)
    check("nothing came yet", len(collector.records()), 0)
    collector.start()
    deliver(collector.sink(protocol), *paths)
    wait(lambda: len(collector.records()) >= 2, "the records", told=collector.log.read_text)
    records = collector.records()
    came = [(attributes(record)["armspan.event_id"], record["eventName"], record["severityText"]) for record in records]
    check("each event once", came, [("a" * 32, "armspan.verdict", "WARN"), ("b" * 32, "armspan.change", "INFO")])
    check("its time", [record["timeUnixNano"] for record in records], ["1795537860500000000", "1795507140000000000"])
    verdict = attributes(records[0])
    told = {name: verdict[f"armspan.{name}"] for name in ["arm", "metric", "state", "was", "action"]}
    check("the verdict", told, {"arm": "C", "metric": "latency_p95", "state": "breached", "was": "inconclusive", "action": "roll back"})
    check("the change in words", records[1]["body"]["stringValue"], "model.revision changed in B at answer from one to two.")
    deliver(collector.sink(protocol), *paths)
    wait(lambda: len(collector.records()) >= 4, "the repeats")
    check("a repeat is the same record, for the id to tell", collector.records()[2:] == records, True)
    path, _ = write_view(folder, time.time(), 0, samples())
    deliver(collector.sink(protocol), "--view", path)
    wait(lambda: len(collector.metrics()) >= 8, "the metrics", told=collector.log.read_text)
    latency = next(metric for metric in collector.metrics() if metric["name"] == "armspan.arm.latency")
    check("latency is cumulative", latency["exponentialHistogram"]["aggregationTemporality"], 2)
    check("its counts", [point["count"] for point in latency["exponentialHistogram"]["dataPoints"]], ["500"] * 3)
    collector.kill()


def prove_tls(folder, deliver=peer.deliver):
    print("over TLS")
    folder = folder / "tls"
    folder.mkdir()
    collector, paths = Collector(folder, certificates(folder)), events(folder)
    for number, protocol in enumerate(["http", "grpc"]):
        told = deliver(collector.sink(protocol), *paths, expect=1)
        check(f"{protocol}: a certificate of a stranger is refused", "certificate" in told.lower(), True)
        os.environ["SSL_CERT_FILE"] = str(folder / "ca.pem")
        deliver(collector.sink(protocol), *paths)
        del os.environ["SSL_CERT_FILE"]
        wait(lambda: len(collector.records()) >= 2 * number + 2, "the records", told=collector.log.read_text)
    check("each event once over each", len(collector.records()), 4)
    collector.kill()


def main():
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        prove_prometheus(folder)
        for protocol in ["http", "grpc"]:
            prove_collector(folder, protocol)
        prove_tls(folder)
    peer.finish()


if __name__ == "__main__":
    main()
