"""Weights & Biases: offline runs are read by the real client's inspector, and uploaded by the real `wandb sync` to a
stand-in server. Its exit code says nothing, so what arrived is checked."""

import base64
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import cuts
from peer import CACHE, check, deliver, finish
from standin import Standin

BIN = CACHE / "wandb/bin"
KEY = "0123456789abcdef" * 2 + "01234567"
CLOSED = ["2b6f650dd29c-e1", "6ca3b156709c-e1", "79e25078cdfe-e1", "9cb97ebd526e-e1"]


def client(*args):
    """The real client; what it says. It leaves logs where it is called."""
    done = subprocess.run([BIN / "wandb", *map(str, args)], cwd=os.environ["HOME"], capture_output=True, text=True, timeout=100)
    return done.returncode, done.stdout, done.stdout + done.stderr


def logs(folder):
    """Run id -> its log."""
    return {path.stem.removeprefix("run-"): path for path in sorted(folder.glob("wandb/offline-run-*/run-*.wandb"))}


def image(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def inspected(log):
    """The records of a log, by the real inspector."""
    _, out, _ = client("leet", "inspect", "--json", log)
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


def summarised(log):
    return json.loads(client("leet", "inspect", "--summary", "--json", log)[1])


def written(folder, paths):
    deliver({"kind": "wandb", "dir": str(folder)}, *paths)
    check("runs of the epoch that is over", sorted(logs(folder)), CLOSED)
    before = image(folder)
    deliver({"kind": "wandb", "dir": str(folder)}, *paths)
    check("a repeat changes no byte", image(folder) == before, True)


def read(folder, last):
    """What the real client reads from a log is what the record says."""
    for id, log in logs(folder).items():
        record = next(r for r in last["records"] if id == f"{r['run']['id'][:12]}-e{r['window']['epoch']}")
        kinds = [line["type"] for line in inspected(log)]
        expected = ["header", "run", "files"] + ["history"] * 3 + ["summary", "artifact", "exit"]
        check(f"{id}: records", kinds, expected)
        told = summarised(log)
        check(f"{id}: state", told["state"], "finished")
        config, summary = told["config"], told["summary"]
        quiet(f"{id}: config", {key: config.get(key) for key in record["config"]}, record["config"])
        check(f"{id}: identity", (config["armspan"]["run"], config["armspan"]["epoch"]), (record["run"]["id"], record["window"]["epoch"]))
        quiet(f"{id}: {len(summary)} figures of the summary", {key: summary.get(key) for key in figures(record)}, figures(record))


def quiet(what, seen, expected):
    """A check of something long."""
    check(what, "as in the record" if seen == expected else seen, "as in the record")


def figures(record):
    """What the summary has of a record's metrics."""
    out = {"traffic/calls": record["traffic"]["calls"]}
    for line in record["metrics"]:
        ends = {"": "estimate", "/lower": "lower", "/upper": "upper"}
        out |= {line["name"] + end: line["level"][key] for end, key in ends.items() if key in line["level"]}
        ends = {"/difference": "estimate", "/difference_lower": "lower", "/difference_upper": "upper"}
        out |= {line["name"] + end: line["difference"][key] for end, key in ends.items() if key in line.get("difference", {})}
    return out


def long(scratch):
    """Sixty hours go over many blocks of the log."""
    folder, rows = scratch / "long", 60
    (scratch / "cuts").mkdir()
    deliver({"kind": "wandb", "dir": str(folder)}, *cuts.write(scratch / "cuts", cuts.hours(rows, 10)))
    for id, log in logs(folder).items():
        lines = inspected(log)
        steps = [line["history"]["step"]["num"] for line in lines if line["type"] == "history"]
        check(f"{id}: blocks of 32 KiB", log.stat().st_size >> 15 > 1, True)
        quiet(f"{id}: {rows} rows", [int(step) for step in steps], list(range(rows)))
        check(f"{id}: records", len(lines), rows + 6)


def torn(folder, scratch):
    """The inspector ends with 0 on a broken log, too: the number of records tells."""
    log = next(iter(logs(folder).values()))
    whole = len(inspected(log))
    bytes = bytearray(log.read_bytes())
    broken = scratch / "broken"
    broken.mkdir()
    (broken / "torn.wandb").write_bytes(bytes[: len(bytes) * 2 // 3])
    check("a torn log has fewer records", len(inspected(broken / "torn.wandb")) < whole, True)
    check("and is not finished", summarised(broken / "torn.wandb")["state"] != "finished", True)
    bytes[len(bytes) // 2] ^= 0xFF
    (broken / "corrupt.wandb").write_bytes(bytes)
    check("a corrupt log has fewer records", len(inspected(broken / "corrupt.wandb")) < whole, True)


def arrived(server, folder, id, last):
    """Everything of a run arrived at the server."""
    record = next(r for r in last["records"] if id == f"{r['run']['id'][:12]}-e{r['window']['epoch']}")
    arm = record["run"]["arm"]
    bucket = [v for v in server.variables("UpsertBucket") if v["name"] == id and v.get("groupName")][-1]
    check(f"{id}: bucket", [bucket[k] for k in ("project", "entity", "groupName", "jobType")], ["support-bot", "armspan", "support-bot", arm])
    check(f"{id}: commit", bucket["commit"], "9f3c2d1e8b7a6f5e4d3c2b1a0f9e8d7c6b5a4f3e")
    check(f"{id}: tags", {f"arm:{arm}", "site:answer", "experiment:support-bot"} <= set(bucket["tags"]), True)
    sent = json.loads(bucket["config"])
    quiet(f"{id}: config sent", {key: sent[key]["value"] for key in record["config"]}, record["config"])
    bodies = server.streams[id]
    streams = [body["files"]["wandb-history.jsonl"] for body in bodies if "wandb-history.jsonl" in (body.get("files") or {})]
    at, rows = 0, []
    for stream in streams:
        check(f"{id}: offset", stream["offset"], at)
        at += len(stream["content"])
        rows += map(json.loads, stream["content"])
    check(f"{id}: steps", [row["_step"] for row in rows], [0, 1, 2])
    check(f"{id}: calls", [row["traffic/calls"] for row in rows], [record["traffic"]["calls"] - 20 * back for back in (2, 1, 0)])
    check(f"{id}: the end", (bodies[-1].get("complete"), bodies[-1].get("exitcode")), (True, 0))
    summary = [json.loads(line) for body in bodies for line in (body.get("files") or {}).get("wandb-summary.json", {}).get("content", [])][-1]
    check(f"{id}: summary", summary["evidence/grade"], record["evidence"]["grade"])
    files = next(log for run, log in logs(folder).items() if run == id).parent / "files"
    for name in ["record.json", "report.md"]:
        check(f"{id}: file {name}", server.uploads.get(f"{id}/{name}") == (files / name).read_bytes(), True)
    artifact(server, files, id)


def artifact(server, files, id):
    """The artifact was created, each file was put with the MD5 that was announced, and it was committed."""
    made = [v["input"] for v in server.variables("CreateArtifact") if v["input"]["runName"] == id][-1]
    check(f"{id}: artifact", (made["artifactTypeName"], made["artifactCollectionName"]), ("armspan-run-record", f"record-{id}"))
    place = "art-" + made["digest"]
    announced = {f["name"]: f["md5"] for v in server.variables("CreateArtifactFiles") for f in v["input"]["artifactFiles"] if f["artifactID"] == place}
    check(f"{id}: announced", sorted(announced), ["record.json", "report.md"])
    for name, md5 in announced.items():
        put = server.uploads.get(f"{place}/{name}", b"")
        check(f"{id}: {name} was put", (put == (files / name).read_bytes(), base64.b64encode(hashlib.md5(put).digest()).decode()), (True, md5))
    manifest = json.loads(server.uploads.get(f"{place}/manifest", b"{}"))
    check(f"{id}: manifest", {name: entry["digest"] for name, entry in manifest.get("contents", {}).items()}, announced)
    check(f"{id}: committed", place in [v["artifactID"] for v in server.variables("CommitArtifact")], True)


def uploaded(folder, last):
    """The user's own `wandb sync`."""
    server = Standin(KEY)
    os.environ |= {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY}
    status, _, told = client("sync", "--yes", *[log.parent for log in logs(folder).values()])
    check("exit code of wandb sync", status, 0)
    for id, log in logs(folder).items():
        if id not in server.streams:
            sys.exit(f"{id} did not arrive: {told}")
        check(f"{id}: mark", log.with_suffix(".wandb.synced").exists(), True)
        arrived(server, folder, id, last)
    check("requests without the key", server.unauthorised, 0)
    server.stop()


def late(folder, scratch, paths, last):
    """A record that changed later is uploaded again by `sync: true`, and only that."""
    server = Standin(KEY)
    os.environ |= {"WANDB_BASE_URL": server.url}
    cut = cuts.stamped({**last, "records": [r for r in last["records"] if r["window"].get("closed")][:1]}, last["position"] + 7, last["at"] + cuts.HOUR)
    cut["records"][0]["traffic"]["calls"] += 5
    changed = cuts.write(scratch, [cut])
    config = {"kind": "wandb", "dir": str(folder), "sync": True}
    path = os.environ["PATH"]
    told = deliver(config, *paths, *changed, expect=1)
    check("without the client it says so", "pip install wandb" in told, True)
    os.environ["PATH"] = f"{BIN}:{path}"
    deliver(config, *paths, *changed)
    os.environ["PATH"] = path
    id = f"{cut['records'][0]['run']['id'][:12]}-e1"
    check("uploaded again", sorted(server.streams), [id])
    rows = [json.loads(row) for body in server.streams[id] for row in (body.get("files") or {}).get("wandb-history.jsonl", {}).get("content", [])]
    check("its last row", (len(rows), rows[-1]["traffic/calls"]), (4, cut["records"][0]["traffic"]["calls"]))
    check("still one folder a run", sorted(logs(folder)), CLOSED)
    server.stop()


def main():
    with tempfile.TemporaryDirectory() as name:
        scratch = pathlib.Path(name)
        folder = scratch / "data"
        for key in ["WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR", "HOME"]:
            os.environ[key] = str(scratch / key.lower())
            (scratch / key.lower()).mkdir()
        os.environ["WANDB_ERROR_REPORTING"] = "false"
        made = cuts.hours()
        paths = cuts.write(scratch, made)
        written(folder, paths)
        read(folder, made[-1])
        long(scratch)
        torn(folder, scratch)
        uploaded(folder, made[-1])
        late(folder, scratch, paths, made[-1])
    finish()


if __name__ == "__main__":
    main()
