"""Runs a real, unchanged client against a real armspan and compares what was counted with what it did."""

import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile
import time

from peer import HERE, Server, check, end, finish

CONFIG = """
assignment_wait: 1s
matures_after: 0s
experiments: {answer-prompt: {control: control, unit: user.id}}
metrics: {answer_ok: {role: quality, from: score, grader: judge, direction: increase, range: [0, 1]}}
"""


def run_client(name, server, standin, users):
    grpc, http, _ = server.ports
    if name == "python":
        command = [HERE / ".cache/python/bin/python", HERE / "python/client.py", f"http://127.0.0.1:{grpc}"]
        folder = HERE
    else:
        # Node looks for packages beside the program.
        folder = HERE / ".cache/node"
        (folder / "client.mjs").write_text((HERE / "node/client.mjs").read_text())
        command = ["node", "client.mjs", f"http://127.0.0.1:{http}"]
    done = subprocess.run([*map(str, command), str(standin), str(users)], cwd=folder, timeout=600)
    check("exit code of the client", done.returncode, 0)


def metric(arm, name):
    return next((m for m in arm["metrics"] if m["name"] == name), None)


def compare(name, server, users):
    # A plain and a streamed chat, an embedding and a failed chat for each user.
    chats, embeddings = 3 * users, users

    def settled():
        status = server.get("/api/v1/status")
        waits = status["engine"]["parked"] + status["engine"]["waiting_scores"]
        return status["engine"]["calls"] >= chats + embeddings and waits == 0

    server.wait(settled, "all calls to be counted", 40)
    # What came double would be counted double by now.
    time.sleep(2)
    seen = server.get("/api/v1/experiments/answer-prompt")
    print(f"{name}: {users} users")
    check("calls", seen["calls"], chats + embeddings)
    sites = {site["site"]: site for site in seen["sites"]}
    chat_site = "chat" if name == "python" else "answer"
    check("sites", sorted(sites), sorted([chat_site, "embeddings"]))
    for place, arm in enumerate(sites[chat_site]["arms"]):
        own = users // 2 if arm["arm"] == "treatment" else users - users // 2
        check(f"{arm['arm']}: is control", arm["control"], arm["arm"] == "control")
        check(f"{arm['arm']}: units", arm["units"], own)
        check(f"{arm['arm']}: calls", arm["calls"], 3 * own)
        check(f"{arm['arm']}: error rate", round(metric(arm, "error_rate")["level"]["estimate"], 6), round(1 / 3, 6))
        check(f"{arm['arm']}: input tokens", metric(arm, "tokens_in")["level"]["estimate"], 57.0)
        check(f"{arm['arm']}: output tokens", metric(arm, "tokens_out")["level"]["estimate"], 23.0)
        if name == "python":
            check(f"{arm['arm']}: scored", metric(arm, "answer_ok")["scored"], own)
    compare_runs(name, server, chat_site)
    check("crossovers", seen["crossover_units"], 0)
    for place, arm in enumerate(sites["embeddings"]["arms"]):
        own = users // 2 if arm["arm"] == "treatment" else users - users // 2
        check(f"embeddings of {arm['arm']}", (arm["calls"], arm["units"]), (own, own))
        check(f"their input tokens", metric(arm, "tokens_in")["level"]["estimate"], 9.0)
    status = server.get("/api/v1/status")
    check("rejects", status["rejected"], {})
    engine = status["engine"]
    check("orphans and conflicts", (engine["orphaned"], engine["conflicts"]), ({}, 0))


def compare_runs(name, server, chat_site):
    runs = server.get("/api/v1/runs?limit=100")["runs"]
    chat = [run for run in runs if run["run"]["site"] == chat_site]
    good = [run for run in chat if run["config"]["model"]["requested"] == "gpt-4o-mini"]
    check("good runs", sorted(run["run"]["arm"] for run in good), ["control", "treatment"])
    for run in good:
        model, sampling = run["config"]["model"], run["config"]["sampling"]
        check("revision", model.get("revision"), "gpt-4o-mini-2024-07-18")
        observed = {line["field"]: line["values"] for line in run["observed"]}
        if name == "python":
            check("fingerprint", [v["value"] for v in observed["system_fingerprint"]], ["fp_44709d6fcb"])
        check("sampling", sampling, {"temperature": 0.2, "max_tokens": 256})
        # SHA-256 over the canonical list of text parts, computed here on its own.
        check("prompt hash", run["config"]["prompt"].get("hash"), prompt_hash(run["run"]["arm"]))
    failed = [run for run in chat if run["config"]["model"]["requested"] == "error-model"]
    check("failed runs", len(failed), 2)


def prompt_hash(arm):
    text = {"control": "You are a terse weather assistant.",
            "treatment": "You are a friendly weather assistant. Answer in one sentence."}[arm]
    return "sha256:" + hashlib.sha256(json.dumps([text], separators=(",", ":")).encode()).hexdigest()


def stop(server):
    shown = {run["run"]["id"] for run in server.get("/api/v1/runs?limit=100")["runs"]}
    check("exit code after SIGTERM", server.stop(), 0)
    files = sorted((server.data / "runs").rglob("*.jsonl")) + sorted((server.data / "records").rglob("*.jsonl"))
    lines = [json.loads(line) for path in files for line in path.read_text().splitlines()]
    check("runs in the record files", {line["run"]["id"] for line in lines} == shown, True)


def main(name):
    users = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    standin = subprocess.Popen([sys.executable, HERE / "standin.py"], stdout=subprocess.PIPE, text=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            port = int(standin.stdout.readline())
            server = Server(pathlib.Path(folder), CONFIG)
            run_client(name, server, port, users)
            compare(name, server, users)
            stop(server)
    finally:
        end(standin)
    finish()
