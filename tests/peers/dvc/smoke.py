"""DVC: runs are native experiments of a user's repository for the real `dvc`, also after a push and a fresh clone, and
nothing but references and objects is written."""

import copy
import csv
import hashlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import cuts
from peer import CACHE, check, deliver, finish

DVC = CACHE / "dvc/bin/dvc"
A, B, B_OLD, C = "A-79e25078cdfe", "B-9cb97ebd526e", "B-2b6f650dd29c", "C-6ca3b156709c"


def run(command, cwd, status=0):
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, timeout=100)
    if done.returncode != status:
        sys.exit(f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def git(repo, *args):
    return run(["git", *args], repo).strip()


def dvc(repo, *args):
    return run([DVC, *args], repo)


def repository(scratch):
    """A user's repository with DVC, metrics of its own, two commits, and changes that are not committed."""
    repo = scratch / "repo"
    repo.mkdir()
    git(repo, "init", "-q", "-b", "main")
    dvc(repo, "init", "-q")
    (repo / "dvc.yaml").write_text("params:\n- mine.yaml\nmetrics:\n- mine.json\n")
    (repo / "mine.yaml").write_text("lr: 1\n")
    (repo / "mine.json").write_text('{"accuracy": 0.9}')
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "one")
    first = git(repo, "rev-parse", "HEAD")
    (repo / "app.txt").write_text("two")
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "two")
    (repo / "app.txt").write_text("staged")
    git(repo, "add", "app.txt")
    (repo / "app.txt").write_text("dirty")
    (repo / "untracked.txt").write_text("x")
    return repo, first, git(repo, "rev-parse", "HEAD")


def state(repo):
    """Workspace, index and HEAD."""
    files = sorted(path for path in repo.rglob("*") if path.is_file() and ".git" not in path.relative_to(repo).parts)
    held = {str(path): path.read_bytes() for path in files}
    index = hashlib.sha256((repo / ".git/index").read_bytes()).hexdigest()
    return held, index, git(repo, "status", "--porcelain"), git(repo, "rev-parse", "HEAD", "main"), (repo / ".git/HEAD").read_text()


def shas(repo):
    return dict(reversed(line.split()) for line in git(repo, "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").splitlines())


def of_commit(made, commit):
    """The cuts, of calls that ran under a commit."""
    made = copy.deepcopy(made)
    for record in (record for cut in made for record in cut["records"]):
        for value in record["observed"][0]["values"]:
            value["value"]["commit"] = commit
    return made


def figure(cut, name, metric, *path):
    record = next(r for r in cut["records"] if name == f"{r['run']['arm']}-{r['run']['id'][:12]}")
    value = next(line for line in record["metrics"] if line["name"] == metric)
    for key in path:
        value = value[key]
    return value


def delivered(repo, head, scratch, made):
    """Three hours: one experiment a run, the workspace as it was; a repeat is the same."""
    paths = cuts.write(scratch, of_commit(made, head[:10]))
    before = state(repo)
    deliver({"kind": "dvc", "repo": str(repo)}, *paths)
    first = shas(repo)
    check("experiments", sorted(first), [f"refs/exps/{head[:2]}/{head[2:]}/{name}" for name in (A, B_OLD, B, C)])
    deliver({"kind": "dvc", "repo": str(repo)}, *paths)
    check("a repeat gives the same commits", shas(repo) == first, True)
    check("workspace, index and HEAD are as they were", state(repo) == before, True)
    run(["git", "fsck", "--strict"], repo)


def listed(repo, last):
    """What `dvc exp list` and `dvc exp show` say."""
    told = dvc(repo, "exp", "list", "--name-only").split()
    check("dvc exp list", sorted(told), sorted([A, B, B_OLD, C]))
    rows = {row["Experiment"]: row for row in csv.DictReader(io.StringIO(dvc(repo, "exp", "show", "--csv")))}
    check("dvc exp show: experiments", sorted(set(rows) & {A, B, B_OLD, C}), sorted([A, B, B_OLD, C]))
    for name in (A, B, C):
        level = figure(last, name, "latency_p95", "level", "estimate")
        seen = rows[name]
        check(f"{name}: latency_p95.value", f"{float(seen['latency_p95.value']):.4g}", f"{level:.4g}")
        check(f"{name}: the user's own", (seen["accuracy"], seen["lr"]), ("0.9", "1"))
    check("dvc exp show: revisions", (rows[A]["model.revision"], rows[B]["model.revision"]), ("gpt-4o-mini-2024-07-18", "gpt-4o-mini-2024-12-01"))
    check("dvc exp show: verdict", rows[B]["answer_ok.verdict"], "better")


def compared(repo, last, scratch):
    """Metrics, parameters and plots of two arms beside each other."""
    diff = json.loads(dvc(repo, "exp", "diff", A, B, "--json"))
    found = diff["metrics"]["armspan/metrics.json"]["answer_ok.value"]
    check("dvc exp diff", [found["old"], found["new"]], [figure(last, name, "answer_ok", "level", "estimate") for name in (A, B)])
    diff = json.loads(dvc(repo, "metrics", "diff", A, B, "--json"))
    check("dvc metrics diff", diff["armspan/metrics.json"]["answer_ok.lower"]["new"], figure(last, B, "answer_ok", "level", "lower"))
    diff = json.loads(dvc(repo, "params", "diff", A, B, "--json"))
    changed = diff["armspan/params.yaml"]
    check("dvc params diff", (changed["prompt.version"]["old"], changed["prompt.version"]["new"]), ("3", "4"))
    out = scratch / "plots"
    plots = json.loads(dvc(repo, "plots", "diff", A, B, "--json", "-o", out))
    check("dvc plots diff: errors", plots.get("errors", []), [])
    own = next(plot for key, plot in plots["data"].items() if key.endswith("answer_ok"))
    drawn = json.dumps(own)
    check("dvc plots diff: both arms", sorted(own[0]["revisions"]), sorted([A, B]))
    for name in (A, B):
        level = figure(last, name, "answer_ok", "level", "estimate")
        check(f"{name}: the last point is drawn", str(level) in drawn, True)
    check("dvc plots diff: level and bounds", [column in drawn for column in ("value.tsv", "lower.tsv", "upper.tsv")], [True] * 3)
    dvc(repo, "plots", "diff", A, B, "-o", out)
    page = (out / "index.html").read_text()
    check("dvc plots diff: page", "answer_ok difference" in page, True)


def odd(repo, head, scratch, made):
    """Facets and metrics of any text can be read back: JSON that is YAML, too."""
    cut = cuts.stamped(of_commit(made[-1:], head)[0], made[-1]["position"] + 100, made[-1]["at"] + cuts.HOUR)
    cut["records"] = cut["records"][:1]
    values = {"small": 1e-05, "text": "a\x07\x7f\x85\u2028\ufeff é 'x': - # {% \U0001f600 \\ \"", "list": ["\n", "~", "null"], "word": "yes"}
    cut["records"][0]["config"]["odd: {"] = values
    cut["records"][0]["metrics"][0]["name"] = "quality/é: \x7f [x]"
    deliver({"kind": "dvc", "repo": str(repo)}, *cuts.write(scratch, [cut]))
    diff = json.loads(dvc(repo, "params", "diff", B, A, "--json"))["armspan/params.yaml"]
    check("odd parameters", {key: diff[f"odd: {{.{key}"]["new"] for key in values}, {**values, "list": str(values["list"])})
    diff = json.loads(dvc(repo, "metrics", "diff", B, A, "--json"))["armspan/metrics.json"]
    check("an odd metric", diff["quality/é: \x7f [x].value"]["new"], cut["records"][0]["metrics"][0]["level"]["estimate"])
    plots = json.loads(dvc(repo, "plots", "diff", B, A, "--json", "-o", scratch / "odd"))
    check("an odd plot", (plots.get("errors", []), any("quality" in key for key in plots["data"])), ([], True))


def pushed(repo, scratch, last):
    """To a git remote, a fresh clone, and into its workspace."""
    bare, clone = scratch / "remote.git", scratch / "clone"
    git(scratch, "init", "-q", "--bare", bare)
    git(repo, "remote", "add", "origin", bare)
    git(repo, "push", "-q", "origin", "main")
    dvc(repo, "exp", "push", "origin", B, "--no-cache")
    git(scratch, "clone", "-q", "-b", "main", bare, clone)
    dvc(clone, "exp", "pull", "origin", B, "--no-cache")
    check("pulled", dvc(clone, "exp", "list", "--name-only").split(), [B])
    dvc(clone, "exp", "apply", B)
    held = json.loads((clone / "armspan/metrics.json").read_text())
    check("applied", held["answer_ok"]["value"], figure(last, B, "answer_ok", "level", "estimate"))
    record = json.loads((clone / "armspan/record.json").read_text())
    check("the record is whole", record == next(r for r in last["records"] if r["run"]["id"].startswith("9cb97ebd526e")), True)
    check("the user's dvc.yaml stays", (clone / "dvc.yaml").read_text() == (repo / "dvc.yaml").read_text(), True)


def moved(repo, first, scratch, made):
    """A newer record of another commit takes the experiment along; an older cut does not bring it back."""
    newer = cuts.stamped(of_commit(made[-1:], first)[0], made[-1]["position"] + 500, made[-1]["at"] + cuts.HOUR)
    deliver({"kind": "dvc", "repo": str(repo)}, *cuts.write(scratch, [newer]))
    after = shas(repo)
    check("moved to the other commit", sorted(after), [f"refs/exps/{first[:2]}/{first[2:]}/{name}" for name in (A, B_OLD, B, C)])
    deliver({"kind": "dvc", "repo": str(repo)}, *[scratch / f"cut-{cut['position']}.json" for cut in made])
    check("an older cut changes nothing", shas(repo) == after, True)


def refused(repo, scratch, made):
    """A run whose commit is not in the repository says so, and keeps no other back."""
    cut = cuts.stamped(copy.deepcopy(made[-1]), made[-1]["position"] + 900, made[-1]["at"] + cuts.HOUR)
    cut["records"] = of_commit([{"records": cut["records"][:2]}], git(repo, "rev-parse", "HEAD"))[0]["records"]
    cut["records"][0]["observed"][0]["values"] = [{**cut["records"][0]["observed"][0]["values"][0], "value": {"commit": "f" * 40}}]
    told = deliver({"kind": "dvc", "repo": str(repo)}, *cuts.write(scratch, [cut]), expect=3)
    check("refused", all(part in told for part in ("1 of 2 runs were refused: run 79e25078cdfe", "f" * 40, "fetch it")), True)
    moved = [name for name in shas(repo) if name.endswith(B)]
    check("the other one was delivered", git(repo, "rev-parse", "HEAD")[2:] in moved[0], True)
    told = deliver({"kind": "dvc", "repo": str(scratch)}, *cuts.write(scratch, [cut]), expect=1)
    check("not a repository", "not a git repository" in told, True)


def main():
    with tempfile.TemporaryDirectory() as name:
        scratch = pathlib.Path(name)
        (scratch / "home").mkdir()
        who = {"GIT_AUTHOR_NAME": "u", "GIT_AUTHOR_EMAIL": "u@x", "GIT_COMMITTER_NAME": "u", "GIT_COMMITTER_EMAIL": "u@x"}
        os.environ |= {**who, "HOME": str(scratch / "home"), "DVC_NO_ANALYTICS": "1", "GIT_CONFIG_NOSYSTEM": "1"}
        made = cuts.hours()
        repo, first, head = repository(scratch)
        delivered(repo, head, scratch, made)
        last = of_commit(made, head[:10])[-1]
        listed(repo, last)
        compared(repo, last, scratch)
        odd(repo, head, scratch, made)
        pushed(repo, scratch, last)
        moved(repo, first, scratch, made)
        refused(repo, scratch, made)
    finish()


if __name__ == "__main__":
    main()
