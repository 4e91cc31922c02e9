"""One real armspan with all its sinks, real tools behind proxies that misbehave, and kills in the middle of deliveries:
nothing is lost, nothing is doubled where the tool can tell, a dead tool holds nobody up."""

import base64
import http.server
import importlib.util
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import threading
import time

import peer
from collector import Collector
from faulty import Faulty
from peer import CACHE, HERE, check, wait

KEY = "whsec_" + base64.b64encode(b"a key that nobody guesses").decode()
ARMS, CALLS = ["A", "B", "C"], 30
CONFIG = """
assignment_wait: 1s
matures_after: 0s
experiments:
  bot: {control: A, split: {A: 0.34, B: 0.33, C: 0.33}, unit: user.id}
"""


def proof(name):
    """The proof of another peer, for its tools and readers."""
    spec = importlib.util.spec_from_file_location(f"proof_of_{name}", HERE / name / "smoke.py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(HERE / name))
    spec.loader.exec_module(module)
    sys.path.pop(0)
    return module


class Hook:
    """Takes webhooks and keeps what came."""

    def __init__(self):
        self.got = got = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                got.append({"headers": dict(self.headers.items()), "body": body})
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def address(self):
        return self.server.server_address


class Bench:
    """The tools, their proxies, and armspan before them."""

    def __init__(self, folder):
        self.folder, self.sent, self.dice = folder, 0, random.Random(5)
        self.mlflow = proof("mlflow").Mlflow(folder)
        parquet = proof("parquet")
        self.s3 = parquet.Gateway(folder)
        self.hook = Hook()
        (folder / "otel").mkdir()
        self.collector = Collector(folder / "otel")
        self.prometheus = proof("otlp").Prometheus(folder)
        self.repo, self.first, self.head = proof("dvc").repository(folder)
        upstream = lambda url: ("127.0.0.1", int(url.rsplit(":", 1)[1]))
        self.faulty = {
            "mlflow": Faulty(upstream(self.mlflow.url), "down"),
            "parquet": Faulty(upstream(self.s3.endpoint), "down"),
            "webhook": Faulty(self.hook.address, "down"),
            "otlp": Faulty(("127.0.0.1", self.collector.http), "down"),
        }
        url = lambda name: f"http://{self.faulty[name].address}"
        sinks = [
            {"kind": "jsonl", "dir": str(folder / "jsonl")},
            {**self.mlflow.sink(), "url": url("mlflow")},
            {"kind": "wandb", "dir": str(folder / "wandb"), "open": True},
            {"kind": "dvc", "repo": str(self.repo)},
            {"kind": "parquet", "dir": str(folder / "tables")},
            {**self.s3.sink("live"), "endpoint": url("parquet")},
            {"kind": "intoto", "dir": str(folder / "intoto")},
            {"kind": "ci", "summary": str(folder / "summary.md"), "badge": str(folder / "badge.svg")},
            {"kind": "webhook", "url": url("webhook") + "/hook", "secret": KEY},
            {**self.collector.sink("http"), "endpoint": url("otlp"), "signals": ["logs"]},
            self.prometheus.sink(interval="1s"),
        ]
        self.server = peer.Server(folder, CONFIG + "sinks: " + json.dumps(sinks) + "\n")

    def send(self, commit):
        """Calls of all arms under a commit, each counted once by its own id."""
        spans = [self.span(number) for number in range(self.sent, self.sent + CALLS)]
        self.sent += CALLS
        resource = [text("service.name", "bot"), text("vcs.ref.head.revision", commit)]
        body = {"resourceSpans": [{"resource": {"attributes": resource}, "scopeSpans": [{"spans": spans}]}]}
        url = f"http://127.0.0.1:{self.server.ports[1]}/v1/traces"
        wait(lambda: peer.fetch(url, body)[0] == 200, "the spans to be taken")
        counted = lambda: self.server.get("/api/v1/status")["engine"]["calls"] == self.sent
        self.server.wait(counted, f"{self.sent} calls to be counted")

    def span(self, number):
        now = time.time_ns()
        model = "gpt-4o-mini"
        return {
            "traceId": f"{number + 1:032x}", "spanId": f"{number + 1:016x}", "name": f"chat {model}", "kind": 3,
            "startTimeUnixNano": str(now - 400_000_000 - 1_000_000 * self.dice.randrange(300)), "endTimeUnixNano": str(now),
            "attributes": [
                text("gen_ai.operation.name", "chat"), text("gen_ai.request.model", model),
                text("gen_ai.response.model", model + "-2024-07-18"), text("gen_ai.provider.name", "openai"),
                text("user.id", f"user-{number // 2}"), text("armspan.experiment", "bot"),
                text("armspan.arm", ARMS[number // 2 % 3]), text("armspan.prompt.version", "7"),
                {"key": "gen_ai.usage.input_tokens", "value": {"intValue": str(50 + number % 7)}},
            ],
        }  # fmt: skip

    def cut(self):
        asked = lambda: peer.fetch(f"{self.server.web}/api/v1/cuts", {}, method="POST")[0] == 200
        self.server.wait(asked, "a cut")

    def sinks(self):
        return {sink["name"]: sink for sink in self.server.get("/api/v1/status")["sinks"]}

    def of(self, kind):
        return [sink for name, sink in self.sinks().items() if name.startswith(f"{kind}:")]

    def drained(self):
        return all(sink["waiting"] == 0 for sink in self.sinks().values())

    def outbox(self):
        items, after = [], ""
        while True:
            page = self.server.get(f"/api/v1/outbox?limit=50{after}")
            items += page["items"]
            if "next" not in page:
                return items
            after = f"&after={page['next']}"


def text(key, value):
    return {"key": key, "value": {"stringValue": value}}


def outage(bench):
    """Three tools are down: the others get everything, and what comes in is taken."""
    bench.send(bench.head)
    bench.cut()
    files = ["jsonl", "wandb", "dvc", "intoto", "ci"]
    done = lambda: all(bench.of(kind)[0]["delivered"] >= 1 for kind in files)
    bench.server.wait(done, "the tools that are up")
    down = lambda: all(any(sink["state"] == "retrying" for sink in bench.of(kind)) for kind in ("mlflow", "parquet"))
    bench.server.wait(down, "the tools that are down to be told")
    told = bench.of("mlflow")[0]
    check("what waits is told", (told["waiting"] >= 1, bool(told.get("last_error")), told["delivered"]), (True, True, 0))
    check("ready while tools are down", bench.server.get("/readyz", raw=True), b"ready\n")
    text = bench.server.get("/metrics", raw=True).decode()
    check("in /metrics", f'armspan_export_failures_total{{sink="{told["name"]}"}}' in text, True)


def troubles(bench):
    """kill -9 while tools are down; then errors, refusals for now, late and lost answers, with kills in between."""
    bench.server.kill()
    bench.server.start()
    for mode in ["500", "429", "slow", "lost"]:
        before = {name: proxy.seen[mode] for name, proxy in bench.faulty.items()}
        for name, proxy in bench.faulty.items():
            proxy.set("down" if (name, mode) == ("otlp", "500") else mode)
        met = lambda: all(bench.faulty[name].seen[mode] > before[name] for name in ("mlflow", "parquet"))
        bench.server.wait(met, f"the tools to be asked while they answer {mode}", 40)
    for number in range(4):
        for name, proxy in bench.faulty.items():
            modes = ["lost", "429", "slow"] if name == "otlp" else ["lost", "500", "slow"]
            proxy.set(bench.dice.choice(modes), 0.25)
        bench.send(bench.head if number % 2 == 0 else bench.first)
        bench.cut()
        time.sleep(0.2 + bench.dice.random())
        bench.server.kill()
        bench.server.start()
    for proxy in bench.faulty.values():
        proxy.set("pass")
    bench.server.wait(bench.drained, "everything to be delivered", 60)


def late_answers(bench):
    """A second commit in an arm is an event at the look after its minute. Its receiver takes it, and the answer is lost;
    then it answers with errors; then armspan is killed."""
    hook, otlp = bench.faulty["webhook"], bench.faulty["otlp"]
    # OTLP has it that a 500 is for ever; a 429 is not.
    for mode, other in [("lost", "lost"), ("500", "down"), ("429", "429")]:
        hook.set(mode)
        otlp.set(other)
        met = lambda: hook.seen[mode] > 0 and otlp.seen[other] > 0
        bench.server.wait(met, f"an event to be sent while its receivers answer {mode}", 90)
    bench.server.kill()
    bench.server.start()
    hook.set("pass")
    otlp.set("pass")


def records_of(items):
    return [record for item in items if "cut" in item for record in item["cut"]["records"]]


def key(record):
    return record["run"]["id"], record["window"]["epoch"], record["collector"]["position"]["0"]


def check_jsonl(bench, records):
    lines = [json.loads(line) for path in sorted((bench.folder / "jsonl/runs").iterdir()) for line in path.open()]
    check(f"jsonl: {len(records)} records, each once", lines == records, True)


def check_mlflow(bench, records):
    kept = bench.mlflow.kept()
    runs = {run["tags"]["armspan.run_id"]: run for experiment in kept["experiments"].values() for run in experiment["runs"]}
    total = sum(len(experiment["runs"]) for experiment in kept["experiments"].values())
    check("mlflow: one MLflow run a run", (sorted(runs), total), (sorted({r["run"]["id"] for r in records}), len(runs)))
    at = {item["position"]: item["cut"] for item in bench.outbox() if "cut" in item}
    for id, run in runs.items():
        own = [record for record in records if record["run"]["id"] == id]
        wanted = []
        for record in own:
            cut = at[record["collector"]["position"]["0"]]
            wanted.append([cut["at"] // 1_000_000, cut["at"] // 3_600_000_000_000, float(record["traffic"]["calls"])])
        seen = sorted(run["metrics"]["traffic/calls"])
        check(f"mlflow: calls of {run['name']}, each point once", seen, sorted(wanted))
        check("mlflow: status", run["status"], "RUNNING")
        file = json.loads(run["files"][f"armspan/record-epoch-{own[-1]['window']['epoch']}.json"])
        check("mlflow: the record is the last one", key(file), key(own[-1]))


def check_tables(bench, items):
    """The folder and S3 hold equal files, exactly those of the cuts."""
    local = {str(p.relative_to(bench.folder / "tables")): p.read_bytes() for p in (bench.folder / "tables").rglob("*.parquet")}
    root = bench.s3.folder / "figures/live"
    remote = {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*.parquet")}
    cuts = [item["cut"] for item in items if "cut" in item]
    named = {pathlib.Path(name).stem for name in local if name.startswith("estimates/")}
    check("parquet: a table a cut", named, {f"{cut['position']:020}" for cut in cuts if cut["experiments"]})
    check(f"parquet: {len(local)} files, equal on S3", local == remote, True)


def check_dvc(bench, records):
    refs = proof("dvc").git(bench.repo, "for-each-ref", "--format=%(refname)", "refs/exps").split()
    last = {record["run"]["id"]: record for record in records}
    wanted = sorted(f"{record['run']['arm']}-{id[:12]}" for id, record in last.items())
    check("dvc: an experiment a run", sorted(ref.rsplit("/", 1)[1] for ref in refs), wanted)
    for ref in refs:
        record = next(r for id, r in last.items() if ref.endswith(id[:12]))
        figures = json.loads(proof("dvc").git(bench.repo, "show", f"{ref}:armspan/metrics.json"))
        check(f"dvc: calls of {ref.rsplit('/', 1)[1]}", figures["traffic"]["calls"], record["traffic"]["calls"])


def check_wandb(bench, records):
    wandb = proof("wandb")
    logs = wandb.logs(bench.folder / "wandb")
    last = {f"{r['run']['id'][:12]}-e{r['window']['epoch']}": r for r in records}
    check("wandb: an offline run a run", sorted(logs), sorted(last))
    for id, log in logs.items():
        told = wandb.summarised(log)
        check(f"wandb: {id}", (told["state"], told["config"]["armspan"]["run"]), ("finished", last[id]["run"]["id"]))


def check_events(bench, items):
    """At least once, each under its own id, signed; and statements are what their library calls valid."""
    wanted = {item["event"]["id"]: item["event"] for item in items if "event" in item}
    got = {}
    for hook in bench.hook.got:
        document = json.loads(hook["body"])
        check_equal = got.setdefault(document["id"], document)
        if check_equal != document:
            check("webhook: a repeat is equal", document, check_equal)
    check(f"webhook: {len(wanted)} events", {id: document["data"] for id, document in got.items()}, wanted)
    check("webhook: some came more than once", len(bench.hook.got) > len(wanted) > 0, True)
    hooks = bench.folder / "hooks.jsonl"
    hooks.write_text("".join(json.dumps(hook) + "\n" for hook in bench.hook.got))
    statements = sorted((bench.folder / "intoto").glob("*.intoto.json"))
    command = [CACHE / "live/bin/python", HERE / "live/verify.py", KEY, hooks, *statements]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60)
    if done.returncode:
        sys.exit(done.stderr)
    count = len(bench.hook.got)
    check("signatures, events and statements are good", json.loads(done.stdout), {"signed": count, "events": count, "statements": len(statements)})
    check("ci: our part is there once", (bench.folder / "summary.md").read_text().count("<!-- armspan:summary -->"), 1)


def check_otlp(bench, items):
    """Events as log records of a Collector, at least once; distributions and levels from the live engine in Prometheus."""
    wanted = {item["event"]["id"] for item in items if "event" in item}
    value = lambda record, name: next(a["value"] for a in record["attributes"] if a["key"] == name)
    seen = lambda: {value(record, "armspan.event_id")["stringValue"] for record in bench.collector.records()}
    wait(lambda: seen() == wanted, "the log records of the Collector", 10, lambda: str(seen()))
    check("otlp: a log record an event", seen(), wanted)
    each = {arm: float(bench.sent // len(ARMS)) for arm in ARMS}
    ask = lambda text: {labels["armspan_arm"]: round(number, 6) for labels, number in bench.prometheus.query(text)}
    wait(lambda: ask("armspan_arm_calls_total") == each, "the last figures in Prometheus", 20)
    check("otlp: calls", ask("armspan_arm_calls_total"), each)
    check("otlp: latencies, as native histograms", ask("histogram_count(armspan_arm_latency_seconds)"), each)
    document = bench.server.get("/api/v1/experiments/bot")
    lines = {arm["arm"]: {m["name"]: m for m in arm["metrics"]} for arm in document["sites"][0]["arms"]}
    for name in ["latency", "tokens_in"]:
        metric = {"latency": "armspan_arm_latency_seconds", "tokens_in": "armspan_arm_tokens_in"}[name]
        line = {"latency": "latency_mean", "tokens_in": "tokens_in"}[name]
        means = {arm: round(own[line]["level"]["estimate"], 6) for arm, own in lines.items()}
        check(f"otlp: mean of {name}", ask(f"histogram_avg({metric})"), means)


def backfill(bench, records):
    """Twice from the stopped server's folder: nothing changes."""
    print("backfill")
    before = bench.mlflow.kept()
    command = [peer.binary(), "export", "mlflow", "--data", bench.server.data, "--url", bench.mlflow.url]
    command += ["--username", proof("mlflow").USER, "--password", proof("mlflow").PASSWORD]
    for _ in range(2):
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=100)
        check("exit code of the backfill", done.returncode, 0)
        print("  " + done.stderr.strip().replace("\n", "\n  "))
    check("a backfill changes nothing", bench.mlflow.kept() == before, True)
    fresh = bench.folder / "fresh"
    command = [peer.binary(), "export", "jsonl", "--data", bench.server.data, "--dir", fresh]
    subprocess.run(list(map(str, command)), check=True, capture_output=True, timeout=60)
    lines = [json.loads(line) for path in sorted((fresh / "runs").iterdir()) for line in path.open()]
    check("a backfill has every record", lines[: len(records)] == records, True)


def main():
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(pathlib.Path(name))
        outage(bench)
        troubles(bench)
        late_answers(bench)
        bench.server.wait(bench.drained, "everything to be delivered", 60)
        items = bench.outbox()
        records = records_of(items)
        check("calls", bench.server.get("/api/v1/status")["engine"]["calls"], bench.sent)
        check("nothing was refused", [s["name"] for s in bench.sinks().values() if s["refused"]], [])
        check_jsonl(bench, records)
        check_mlflow(bench, records)
        check_tables(bench, items)
        check_dvc(bench, records)
        check_wandb(bench, records)
        check_events(bench, items)
        check_otlp(bench, items)
        check("exit code after SIGTERM", bench.server.stop(), 0)
        backfill(bench, records)
        bench.mlflow.stop()
    peer.finish()


main()
