"""The unchanged MLflow server with basic authentication, and its own client: what armspan delivers in three hours is
found in it as if MLflow's client had logged it, and the same hours again change nothing. Every expected figure is
computed here from the cuts."""

import atexit
import copy
import datetime
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from peer import CACHE, HERE, ROOT, check, deliver, fetch, finish, free_port, start, wait

BIN = CACHE / "mlflow/bin"
USER, PASSWORD = "admin", "a-long-admin-password"
HOUR = 3_600_000_000_000
CHANGED_NAME = {"p@95%": "p_95_-6c7273a20b3b"}
OFFLINE = "0123456789abcdef0123456789abcdef"
LONG = "prömpt " * 1_000


class Mlflow:
    """The tracking server, on a free port."""

    def __init__(self, folder):
        self.folder = folder
        self.url = f"http://127.0.0.1:{free_port()}"
        settings = folder / "auth.ini"
        settings.write_text(
            "[mlflow]\ndefault_permission = READ\nadmin_username = admin\n"
            f"database_uri = sqlite:///{folder}/auth.db\nadmin_password = {PASSWORD}\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
            "auth_cache_ttl_seconds = 60\n"
        )
        self.env = {
            **os.environ,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "for a proof only",
            "MLFLOW_AUTH_CONFIG_PATH": str(settings),
            "MLFLOW_TRACKING_USERNAME": USER,
            "MLFLOW_TRACKING_PASSWORD": PASSWORD,
            "PATH": f"{BIN}:{os.environ['PATH']}",
        }
        port = self.url.rsplit(":", 1)[1]
        command = [BIN / "mlflow", "server", "--app-name", "basic-auth", "--host", "127.0.0.1", "--port", port]
        command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--workers", "1"]
        command += ["--artifacts-destination", folder / "artifacts"]
        told = folder / "mlflow.log"
        self.process = start(command, told, env=self.env, cwd=folder, start_new_session=True)
        # Registered last, so it runs before its parent alone is ended: a proof that fails leaves no workers.
        atexit.register(self.kill)
        wait(lambda: fetch(f"{self.url}/health")[0] == 200, "MLflow", 100, told.read_text)

    def kill(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, 9)

    def stop(self):
        """Ends it with its workers, which are of its own session."""
        os.killpg(self.process.pid, 15)
        self.process.wait(30)

    def kept(self, *traces):
        """All that it keeps, by MLflow's own client."""
        command = [BIN / "python", HERE / "mlflow/read.py", self.url, *traces]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=100)
        if done.returncode:
            sys.exit(done.stderr)
        return json.loads(done.stdout)

    def ask(self, code):
        """Runs a line of Python with its client."""
        text = f"import mlflow; mlflow.set_tracking_uri({self.url!r}); c = mlflow.MlflowClient(); {code}"
        subprocess.run([BIN / "python", "-c", text], env=self.env, check=True, timeout=60, capture_output=True)

    def sink(self, **more):
        return {"kind": "mlflow", "url": self.url, "username": USER, "password": PASSWORD, **more}


def cuts(folder):
    """Three hours: an epoch that goes on, its end, and the next one with an offline run."""
    last = json.loads((ROOT / "tests/fixtures/cut.json").read_text())
    first, ended = (moved(copy.deepcopy(last), back) for back in (2, 1))
    for cut in (first, ended):
        cut["records"] = [record for record in cut["records"] if record["window"]["epoch"] == 1]
        cut["experiments"][0]["sites"][0]["epoch"] = 1
    for record in first["records"]:
        record["window"].pop("closed")
        record["traffic"]["calls"] -= 10
        for line in record["metrics"]:
            line["level"]["estimate"] *= 0.9
    odd = copy.deepcopy(last["records"][0]["metrics"][1])
    odd["name"] = "p@95%"
    last["records"][1]["metrics"].append(odd)
    last["records"].append(offline(copy.deepcopy(last["records"][0])))
    paths = []
    for number, cut in enumerate([first, ended, last], 1):
        paths.append(folder / f"hour{number}.json")
        paths[-1].write_text(json.dumps(cut))
    return [first, ended, last], paths


def moved(cut, hours):
    cut["at"] -= hours * HOUR
    cut["position"] -= hours * 1_000
    for record in cut["records"]:
        record["collector"]["position"]["0"] = cut["position"]
    return cut


def offline(record):
    record["run"].update(id=OFFLINE, mode="offline", arm="candidate", control=False)
    record["config"]["dataset"] = {"name": "golden", "version": "4"}
    record["config"]["prompt"]["name"] = LONG
    record["cases"] = {"count": 120, "inputs": "sha256:" + "ab" * 32}
    return record


def post_trace(mlflow, experiment, trace_id, span_id):
    """The same call, as a user's own exporter sends it to MLflow."""
    at = "1795540000000000000"
    span = {"traceId": trace_id, "spanId": span_id, "name": "chat", "kind": 3}
    span.update(startTimeUnixNano=at, endTimeUnixNano=at, status={}, attributes=[])
    body = {"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {}, "spans": [span]}]}]}
    headers = {"x-mlflow-experiment-id": experiment, "authorization": basic()}
    status, text = fetch(f"{mlflow.url}/v1/traces", body, headers)
    check("a trace sent to MLflow by OTLP", (status, text if status != 200 else ""), (200, ""))


def basic():
    import base64

    return "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def millis(text):
    whole, _, fraction = text.rstrip("Z").partition(".")
    moment = datetime.datetime.fromisoformat(whole).replace(tzinfo=datetime.timezone.utc)
    return int(moment.timestamp()) * 1000 + int((fraction + "000")[:3])


def flat(prefix, value):
    if not isinstance(value, dict):
        return {prefix: value if isinstance(value, str) else json.dumps(value)}
    parts = [flat(f"{prefix}.{key}" if prefix else key, inner) for key, inner in value.items()]
    return {key: text for part in parts for key, text in part.items()}


def params(record):
    run = record["run"]
    named = {f"armspan.{key}": run[key] for key in ("experiment", "arm", "site", "mode", "fingerprint")}
    return {**flat("", record["config"]), **named}


def figures(record):
    """Metric key to value, for one record."""
    out = {f"traffic/{key}": value for key, value in record["traffic"].items() if key != "unit"}
    out["traffic/epoch"] = record["window"]["epoch"]
    out.update({f"evidence/{facet['facet']}": facet["share"] for facet in record["evidence"]["facets"]})
    out.update({f"sample_ratio/{key}": record.get("sample_ratio", {}).get(key) for key in ("log_e", "p")})
    for line in record["metrics"]:
        key = CHANGED_NAME.get(line["name"], line["name"])
        level, difference = line["level"], line.get("difference", {})
        out.update({key: level["estimate"], f"{key}/lower": level.get("lower"), f"{key}/upper": level.get("upper")})
        out.update({f"{key}/{part}": line.get(part) for part in ("calls", "scored", "units")})
        if level["method"] == "count":
            out[f"{key}/calls"] = None
        out[f"{key}/difference"] = difference.get("estimate")
        out.update({f"{key}/difference_{end}": difference.get(end) for end in ("lower", "upper")})
        out.update({f"{key}/{part}": difference.get(part) for part in ("log_e", "p")})
    return {key: float(value) for key, value in out.items() if value is not None}


def stamp(record, cut):
    """Time and step of a record's figures: an epoch that another one has followed has its own end."""
    same = [other for other in cut["records"] if other["run"]["id"] == record["run"]["id"]]
    if any(other["window"]["epoch"] > record["window"]["epoch"] for other in same):
        at = millis(record["window"]["last_seen"])
        return at, at * 1_000_000 // HOUR
    return cut["at"] // 1_000_000, cut["at"] // HOUR - 1


def histories(run_id, all_cuts):
    out = {}
    for cut in all_cuts:
        for record in sorted(cut["records"], key=lambda record: record["window"]["epoch"]):
            if record["run"]["id"] == run_id:
                for key, value in figures(record).items():
                    out.setdefault(key, []).append([*stamp(record, cut), value])
    return {key: sorted(points) for key, points in out.items()}


def verdicts(record):
    return {line["name"]: line["verdict"] for line in record["metrics"] if line.get("verdict", {}).get("decides")}


def tags(record, epochs, cut):
    """The tags that a run must have, from its newest record and those of its epochs."""
    run, code = record["run"], record["observed"][0]["values"][0]["value"]
    out = {f"armspan.{key}": run[key] for key in ("experiment", "arm", "site", "mode", "fingerprint")}
    out.update({f"armspan.verdict.{name}": verdict["state"] for name, verdict in verdicts(record).items()})
    out.update({
        "armspan.run_id": run["id"],
        "armspan.control": str(run["control"]).lower(),
        "armspan.version": record["collector"]["version"],
        "armspan.epoch": str(record["window"]["epoch"]),
        "armspan.evidence": record["evidence"]["grade"],
        "armspan.position": str(cut["position"]),
        "armspan.sample_ratio": record["sample_ratio"]["state"],
        "armspan.code.version": code["version"],
        "mlflow.runName": f"{run['arm']}-{run['site']}-{run['id'][:12]}",
        "mlflow.user": "armspan",
        "mlflow.source.name": code["service"],
        "mlflow.source.type": "JOB",
        "mlflow.source.git.commit": code["commit"],
    })
    for epoch in epochs:
        window, start_of = epoch["window"], f"armspan.epoch.{epoch['window']['epoch']}"
        out.update({f"{start_of}.{key}": window[key] for key in ("first_seen", "last_seen")})
        out.update({f"{start_of}.{key}": str(epoch["traffic"][key]) for key in ("calls", "units")})
        out[f"{start_of}.closed"] = str(window.get("closed", False)).lower()
        out[f"{start_of}.position"] = str(epoch["collector"]["position"]["0"])
        states = ", ".join(f"{name}={verdict['state']}" for name, verdict in verdicts(epoch).items())
        out.update({f"{start_of}.verdicts": states} if states else {})
    if "cases" in record:
        out.update({f"armspan.cases.{key}": str(record["cases"][key]) for key in ("count", "inputs")})
        out["armspan.truncated.prompt.name"] = "armspan/params/prompt.name.txt"
    return out


def records_of(run_id, all_cuts):
    """The latest record of each epoch of a run, oldest epoch first."""
    found = {}
    for cut in all_cuts:
        for record in cut["records"]:
            if record["run"]["id"] == run_id:
                found[record["window"]["epoch"]] = (record, cut)
    return [found[epoch] for epoch in sorted(found)]


def check_run(run, all_cuts):
    run_id = run["tags"]["armspan.run_id"]
    epochs = records_of(run_id, all_cuts)
    record, cut = epochs[-1]
    what = f"run {run['name']}:"
    closed = record["window"].get("closed", False)
    first = min(millis(epoch["window"]["first_seen"]) for epoch, _ in epochs)
    check(f"{what} status and start", [run["status"], run["start_time"]], ["FINISHED" if closed else "RUNNING", first])
    # MLflow cannot take an end back, so that of a run which was opened again moves along.
    ended = any(epoch["window"].get("closed") for epoch, _ in epochs)
    check(f"{what} end", run["end_time"], millis(record["window"]["last_seen"]) if ended else None)
    expected = params(record)
    if len(expected["prompt.name"]) > 6_000:
        check(f"{what} long param", [len(run["params"]["prompt.name"]), run["files"]["armspan/params/prompt.name.txt"]],
              [6_000, LONG])
        expected["prompt.name"] = run["params"]["prompt.name"]
    equal(f"{what} params", run["params"], expected)
    equal(f"{what} metric histories", {key: sorted(run["metrics"][key]) for key in run["metrics"]},
          histories(run_id, all_cuts))
    equal(f"{what} last values", {key: run["last"][key] for key in figures(record)}, figures(record))
    kept = dict(run["tags"])
    note = kept.pop("mlflow.note.content")
    decided = {key: kept.pop(key, None) for key in ("armspan.decision", "armspan.gate")}
    equal(f"{what} tags", kept, tags(record, [epoch for epoch, _ in epochs], cut))
    check_words(what, run, record, note, decided, cut)
    for epoch, _ in epochs:
        name = f"armspan/record-epoch-{epoch['window']['epoch']}.json"
        check(f"{what} {name} is the record", json.loads(run["files"][name]) == epoch, True)


def check_words(what, run, record, note, decided, cut):
    """The note, the report and the decision."""
    report = run["files"]["armspan/report.md"]
    for verdict in verdicts(record).values():
        sentence = verdict["sentence"]
        check(f"{what} sentence in note and report", [sentence in note, sentence in report], [True, True])
    site = cut["experiments"][0]["sites"][0]
    arm = [arm for arm in site["arms"] if arm["arm"] == record["run"]["arm"]]
    now = arm and site["epoch"] == record["window"]["epoch"] and arm[0].get("decision")
    expected = [now["action"], now["gate"]] if now else [None, None]
    check(f"{what} decision and gate", [decided["armspan.decision"], decided["armspan.gate"]], expected)


def equal(what, seen, expected):
    """Maps that are too large to print: only what differs is shown."""
    keys = sorted(key for key in {*seen, *expected} if seen.get(key) != expected.get(key))
    differs = {key: [str(where.get(key))[:80] for where in (seen, expected)] for key in keys}
    check(f"{what} ({len(expected)} as expected), differing", differs, {})


def check_models(experiment):
    """One ready model for each run, with its configuration, linked once."""
    models = {model["run"]: model for model in experiment["models"]}
    check("one model a run", len(experiment["models"]), len(experiment["runs"]))
    for run in experiment["runs"]:
        model = models[run["id"]]
        check(f"model {model['name']}", [run["outputs"], model["status"], model["tags"]["armspan.run_id"], model["type"]],
              [[[model["id"], 0]], "READY", run["tags"]["armspan.run_id"], "agent"])
        equal(f"model {model['name']}: params", model["params"], run["params"])


def check_dataset(experiment):
    inputs = {run["tags"]["armspan.run_id"]: run["inputs"] for run in experiment["runs"]}
    named = [[one["name"], one["digest"], one["profile"], one["tags"]] for one in inputs.pop(OFFLINE)]
    expected = {"mlflow.data.context": "eval", "armspan.inputs": "sha256:" + "ab" * 32, "armspan.dataset.version": "4"}
    check("the offline run's dataset", named, [["golden", "ab" * 18, '{"num_rows":120}', expected]])
    check("online runs have no dataset", [*inputs.values()], [[]] * len(inputs))


def check_trace(assessments, record):
    seen = {one["name"]: [one["value"], one["rationale"], one["valid"]] for one in assessments}
    expected = {f"armspan_verdict/{name}": [verdict["state"], verdict["sentence"], True]
                for name, verdict in verdicts(record).items()}
    equal("assessments of the linked trace", seen, expected)
    check("each once", len(assessments), len(expected))
    version = record["collector"]["version"]
    check("their source and run", {(*one["source"], one["metadata"]["armspan.run_id"]) for one in assessments},
          {("CODE", f"armspan/{version}", record["run"]["id"])})


def statuses(kept):
    return [run["status"] for run in kept["experiments"]["support-bot"]["runs"]]


def refusals(mlflow, paths):
    """What a user sees when something is wrong, and that it is well again afterwards."""
    told = deliver({**mlflow.sink(), "password": "wrong"}, paths[0], expect=1)
    check("a wrong password names the cure", "check username and password" in told and "wrong" not in told, True)
    deliver(mlflow.sink(experiment="other"), paths[0])
    other = "c.get_experiment_by_name('other').experiment_id"
    run = f"c.search_runs([{other}])[0].info.run_id"
    mlflow.ask(f"c.delete_run({run})")
    told = deliver(mlflow.sink(experiment="other"), paths[0], expect=3)
    check("a deleted run names the cure", "mlflow runs restore --run-id" in told, True)
    mlflow.ask(f"c.restore_run(c.search_runs([{other}], run_view_type=2)[0].info.run_id)")
    deliver(mlflow.sink(experiment="other"), paths[0])
    mlflow.ask(f"c.delete_experiment({other})")
    told = deliver(mlflow.sink(experiment="other"), paths[0], expect=3)
    check("a deleted experiment names the cure", "mlflow experiments restore" in told, True)


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        mlflow = Mlflow(folder)
        all_cuts, paths = cuts(folder)
        try:
            prove(mlflow, all_cuts, paths)
            refusals(mlflow, paths)
        finally:
            mlflow.stop()
    finish()


def prove(mlflow, all_cuts, paths):
    deliver(mlflow.sink(), paths[0])
    kept = mlflow.kept()
    check("after an hour", statuses(kept), ["RUNNING"] * 4)
    deliver(mlflow.sink(), paths[1])
    check("when the epoch is over", statuses(mlflow.kept()), ["FINISHED"] * 4)
    record = all_cuts[2]["records"][1]
    link = record["links"][0]
    trace = f"tr-{link['trace_id']}"
    post_trace(mlflow, kept["experiments"]["support-bot"]["id"], link["trace_id"], link["span_id"])
    deliver(mlflow.sink(), paths[2])
    kept = mlflow.kept(trace)
    experiment = kept["experiments"]["support-bot"]
    check("runs", len(experiment["runs"]), 5)
    for run in experiment["runs"]:
        check_run(run, all_cuts)
    check_models(experiment)
    check_dataset(experiment)
    check_trace(kept["traces"][trace], record)
    deliver(mlflow.sink(), *paths)
    deliver(mlflow.sink(), paths[0])
    again = mlflow.kept(trace)
    check("all hours again, and the oldest once more, change nothing", again == kept, True)


if __name__ == "__main__":
    main()
