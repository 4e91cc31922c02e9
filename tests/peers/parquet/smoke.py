"""Tables in a folder and on a real S3 server, read back by DuckDB, pandas and polars, against figures from the JSON."""

import copy
import datetime
import hashlib
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

import peer
from peer import check, wait

HOUR = 3_600_000_000_000
TABLES = ["records", "estimates", "windows"]
KEYS = {"AWS_ACCESS_KEY_ID": "armspan", "AWS_SECRET_ACCESS_KEY": "one-two-three", "AWS_REGION": "us-east-1"}
READER = peer.CACHE / "parquet/bin/python"


def cuts(folder, count):
    """The sample cut and later ones: an hour on, a thousand entries on, more calls, other estimates."""
    sample = json.loads((peer.ROOT / "tests/fixtures/cut.json").read_text())
    out = []
    for back in reversed(range(count)):
        cut = copy.deepcopy(sample)
        cut["position"] += 1_000 * (count - 1 - back)
        cut["at"] += HOUR * (count - 1 - back)
        seconds, nanos = divmod(cut["at"], 1_000_000_000)
        exported = datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S")
        for record in cut["records"]:
            record["traffic"]["calls"] += 10 * (count - 1 - back)
            record["collector"]["position"]["0"] = cut["position"]
            record["collector"]["exported_at"] = f"{exported}.{nanos:09}".rstrip("0") + "Z"
        for line in lines(cut):
            if "level" in line:
                line["level"]["estimate"] += 0.001 * (count - 1 - back)
        path = folder / f"cut-{cut['position']}.json"
        path.write_text(json.dumps(cut))
        out.append(path)
    return out


def lines(cut):
    for experiment in cut["experiments"]:
        for site in experiment["sites"]:
            for arm in site["arms"]:
                yield from arm["metrics"]


def expected(paths):
    """What the tables must say, from the JSON alone."""
    all_cuts = [json.loads(path.read_text()) for path in paths]
    records = [(cut, record) for cut in all_cuts for record in cut["records"]]
    every = [line for cut in all_cuts for line in lines(cut)]
    day = lambda cut: datetime.datetime.fromtimestamp(cut["at"] // 1_000_000_000, datetime.UTC).date().isoformat()
    seen = [record["window"]["last_seen"] for _, record in records]
    return {
        "records": len(records),
        "days": sorted({day(cut) for cut in all_cuts}),
        "calls": sum(record["traffic"]["calls"] for _, record in records),
        "calls_by_arm": {
            arm: sum(r["traffic"]["calls"] for _, r in records if r["run"]["arm"] == arm) for arm in "ABC"
        },
        "last_seen_us": max(int(micros(text)) for text in seen),
        "at_us": max(cut["at"] for cut in all_cuts) // 1_000,
        "revisions": sorted({r["config"]["model"]["revision"] for _, r in records if "model" in r["config"]}),
        "temperature": round(sum(r["config"]["sampling"]["temperature"] for _, r in records), 6),
        "estimates": len(every),
        "estimate_sum": round(sum(line["level"]["estimate"] for line in every if "level" in line), 6),
        "log_e_count": sum("log_e" in line.get("difference", {}) for line in every),
        "reasons": sum(len(line["verdict"]["reasons"]) for line in every if "verdict" in line),
        "no_verdict": sum("verdict" not in line for line in every),
        "breached": sum(line.get("verdict", {}).get("state") == "breached" for line in every),
        "windows": sum(len(cut["windows"]) for cut in all_cuts),
        "window_n": round(sum(row["n"] for cut in all_cuts for row in cut["windows"]), 6),
        "json_calls": sum(record["traffic"]["calls"] for _, record in records),
        "verdicts": sum(
            sum(line.get("verdict", {}).get("decides", False) for line in record["metrics"]) for _, record in records
        ),
    }


def micros(text):
    whole, _, part = text.rstrip("Z").partition(".")
    seconds = datetime.datetime.fromisoformat(whole).replace(tzinfo=datetime.UTC).timestamp()
    return int(seconds) * 1_000_000 + int((part + "000000")[:6])


def read(tool, place, endpoint=""):
    """The figures as one of the three tools sees them, in a process of its own."""
    program = pathlib.Path(__file__).with_name("readers.py")
    command = [READER, program, tool, str(place), endpoint]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env={**os.environ, **KEYS})
    if done.returncode:
        sys.exit(f"{tool} cannot read {place}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout)


def objects(folder):
    """Every file, with what would change if it were written again."""
    out = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and ".sgwtmp" not in path.parts:
            stat = path.stat()
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            out[str(path.relative_to(folder))] = (digest, stat.st_mtime_ns, stat.st_ino)
    return out


def names(paths):
    """The names that the cuts must have, and no others."""
    out = []
    for path in paths:
        cut = json.loads(path.read_text())
        day = datetime.datetime.fromtimestamp(cut["at"] // 1_000_000_000, datetime.UTC).date()
        filled = {"records": cut["records"], "estimates": list(lines(cut)), "windows": cut["windows"]}
        out += [f"{table}/date={day}/{cut['position']:020}.parquet" for table in TABLES if filled[table]]
    return sorted(out)


class Gateway:
    """versitygw over a folder; can be killed and started again."""

    def __init__(self, folder):
        self.folder, self.port, self.log = folder / "s3", peer.free_port(), folder / "s3.log"
        (self.folder / "figures").mkdir(parents=True)
        self.start()

    def start(self):
        env = {**os.environ, "ROOT_ACCESS_KEY": KEYS["AWS_ACCESS_KEY_ID"], "ROOT_SECRET_KEY": KEYS["AWS_SECRET_ACCESS_KEY"]}
        command = [peer.CACHE / "bin/versitygw", "--port", f"127.0.0.1:{self.port}", "posix", self.folder]
        self.process = peer.start(command, self.log, env=env)
        answers = lambda: peer.fetch(self.endpoint)[0] in (200, 403)
        wait(answers, "the S3 server", told=self.log.read_text)

    def kill(self):
        peer.end(self.process)

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def sink(self, prefix, secret=KEYS["AWS_SECRET_ACCESS_KEY"]):
        keys = {"access_key": KEYS["AWS_ACCESS_KEY_ID"], "secret_key": secret, "region": KEYS["AWS_REGION"]}
        return {"kind": "parquet", "dir": f"s3://figures/{prefix}", "endpoint": self.endpoint, **keys}

    def objects(self, prefix):
        return objects(self.folder / "figures" / prefix)


def prove(what, sink, paths, there, place, endpoint="", deliver=peer.deliver):
    """Delivers, reads back with every tool, delivers again: nothing changes."""
    print(what)
    deliver(sink, *paths)
    before = there()
    check(f"{what}: names", sorted(before), names(paths))
    for tool in ["duckdb", "pandas", "polars"]:
        seen, right = read(tool, place, endpoint), expected(paths)
        check(f"{what}: {tool}", {key: seen[key] for key in right}, right)
    deliver(sink, *paths)
    check(f"{what}: nothing changes the second time", there() == before, True)


def other_rows(sink, folder, paths, there):
    """Another server under the same names is refused and changes nothing."""
    before = there()
    cut = json.loads(paths[0].read_text())
    cut["records"][0]["traffic"]["calls"] += 1
    other = folder / "other.json"
    other.write_text(json.dumps(cut))
    told = peer.deliver(sink, other, expect=3)
    check("other rows are refused with what to do", "dir of its own" in told, True)
    check("other rows change nothing", there() == before, True)


def wrong_secret(gateway, paths):
    for name in list(os.environ):
        if name.startswith("AWS_"):
            del os.environ[name]
    told = peer.deliver(gateway.sink("wrong", "not-the-secret"), *paths, expect=1)
    check("a wrong secret is told", "check the sink's access_key and secret_key" in told, True)
    check("no secret in the message", "not-the-secret" in told, False)
    bare = {key: value for key, value in gateway.sink("x").items() if key not in ("access_key", "secret_key")}
    told = peer.deliver(bare, *paths, expect=1)
    check("missing keys are told", "set access_key and secret_key" in told, True)
    missing = {**gateway.sink("x"), "dir": "s3://no-such-bucket/x"}
    told = peer.deliver(missing, *paths, expect=1)
    check("a missing bucket is told", "check that the bucket" in told, True)


def kills(folder, gateway, rounds):
    """The S3 server is killed in the middle of deliveries; what is there then is whole, and the rest comes after."""
    print("kill -9 of the S3 server")
    work = folder / "kills"
    work.mkdir()
    paths, dice = cuts(work, 40), random.Random(7)
    for number in range(rounds):
        prefix = f"kills/{number}"
        sink, enough = gateway.sink(prefix), dice.randrange(6, 100)
        running = peer.start([binary(), json.dumps(sink), *map(str, paths)], folder / "kills.log")
        wait(lambda: len(gateway.objects(prefix)) >= enough, f"{enough} objects")
        gateway.kill()
        check(f"killed at {len(gateway.objects(prefix))} of {len(names(paths))} objects: exit code", running.wait(timeout=90), 1)
        gateway.start()
        seen = read("duckdb", f"s3://figures/{prefix}", gateway.endpoint)
        check("whole cuts are read after the kill", (seen["records"] % 7, seen["estimates"] % 39, seen["windows"] % 12), (0, 0, 0))
        peer.deliver(gateway.sink(prefix), *paths)
        check("exactly the expected objects", sorted(gateway.objects(prefix)) == names(paths), True)
    right, seen = expected(paths), read("duckdb", "s3://figures/kills/0", gateway.endpoint)
    check("figures after kills", {key: seen[key] for key in right}, right)


def killed_writers(folder, rounds):
    """The writer into a folder is killed in the middle; readers see whole files only, and the rest comes after."""
    print("kill -9 of the writer into a folder")
    work = folder / "writers"
    work.mkdir()
    paths, dice = cuts(work, 40), random.Random(11)
    for number in range(rounds):
        local, enough = work / f"tables-{number}", dice.randrange(6, 90)
        sink = {"kind": "parquet", "dir": str(local)}
        running = peer.start([binary(), json.dumps(sink), *map(str, paths)], folder / "writers.log")
        wait(lambda: len(list(local.glob("*/*/*.parquet"))) >= enough, f"{enough} files")
        running.kill()
        check(f"killed at {len(list(local.glob('*/*/*.parquet')))} of {len(names(paths))} files: exit code", running.wait(), -9)
        check("whole cuts are read after the kill", read("pandas", local)["records"] % 7, 0)
        peer.deliver(sink, *paths)
        check("exactly the expected files", sorted(objects(local)) == names(paths), True)
    right, seen = expected(paths), read("pandas", local)
    check("figures after kills", {key: seen[key] for key in right}, right)


def binary():
    named = os.environ.get("ARMSPAN_DELIVER")
    folder = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", peer.ROOT / "target"))
    found = [folder / kind / "examples/deliver" for kind in ("release", "debug")]
    found = [pathlib.Path(named)] if named else sorted(filter(pathlib.Path.exists, found), key=lambda p: -p.stat().st_mtime)
    return str(found[0])


def main():
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        paths = cuts(folder, 8)
        local = folder / "tables"
        sink = {"kind": "parquet", "dir": str(local)}
        prove("folder", sink, paths, lambda: objects(local), local)
        other_rows(sink, folder, paths, lambda: objects(local))
        killed_writers(folder, 4)
        gateway = Gateway(folder)
        there = lambda: gateway.objects("tables/eu")
        prove("s3", gateway.sink("tables/eu"), paths, there, "s3://figures/tables/eu", gateway.endpoint)
        same = {name: value[0] for name, value in objects(local).items()}
        check("the same bytes on s3 as in the folder", {name: value[0] for name, value in there().items()} == same, True)
        other_rows(gateway.sink("tables/eu"), folder, paths, there)
        wrong_secret(gateway, paths)
        kills(folder, gateway, 4)
    peer.finish()


if __name__ == "__main__":
    main()
