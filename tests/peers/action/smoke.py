"""The GitHub Action of deploy/github-action, its steps run as a runner runs them, against a real armspan and a GitHub
API that keeps comments and refuses what GitHub refuses; and actionlint, which reads its inputs."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import xml.etree.ElementTree

from github import BODY_CHARS_MAX, TOKEN, GitHub
from names import ARM, Names
from peer import CACHE, Demo, binary, check, fetch, finish
from runner import ACTION, Runner

SHOWN = "::error title=armspan gate::C of support-bot fails: error_rate in C, latency_p95 in C."


def cases(outputs):
    """Names and outcomes of the test cases."""
    found = xml.etree.ElementTree.parse(outputs["junit"]).iter("testcase")
    return [(case.get("name"), case[0].tag) for case in found]


def prove_file(runner):
    """Nothing that a stranger can choose is code."""
    scripts = [step["run"] for step in runner.steps]
    check("expressions in scripts", [text for text in scripts if "${{" in text], [])
    check("actions of third parties", [step for step in runner.steps if "uses" in step], [])


def prove_codes(runner, github, web):
    """The demo: C breaks, B is not decided."""
    asked = {"armspan": binary(), "server": f"http://{web}", "experiment": "support-bot"}
    code, outputs = runner.run(**asked, arm="C")
    check("C", (code, outputs["result"], outputs["exit-code"]), (10, "fail", "10"))
    check("calls", github.calls, ["GET /repos/o/r/issues/7/comments", "POST /repos/o/r/issues/7/comments"])
    body = github.ours()[0]["body"]
    check("the comment", bool(re.match(r"<!-- armspan:run=[0-9a-f]{32} -->\n### :red_circle: C of support-bot fails", body)), True)
    check("links", (f"](<http://{web}/runs/" in body, "https://github.example/o/r/actions/runs/42" in body), (True, True))
    check("the summary is the comment", runner.summary == body, True)
    check("the report is the comment", pathlib.Path(outputs["report"]).read_text() == body, True)
    check("JUnit", cases(outputs), [("answer_ok", "skipped"), ("error_rate", "failure"), ("latency_p95", "failure")])
    check("what is shown", runner.commands(), [SHOWN])
    github.calls.clear()
    code, _ = runner.run(**asked, arm="C")
    check("again", (code, github.calls), (10, ["GET /repos/o/r/issues/7/comments", "PATCH /repos/o/r/issues/comments/0"]))
    check("one comment", len(github.ours()), 1)
    code, outputs = runner.run(**asked, arm="B")
    check("B", (code, outputs["result"], outputs["exit-code"]), (0, "inconclusive", "0"))
    check("another question has another comment", len(github.ours()), 2)
    code, outputs = runner.run(**asked, arm="B", fail_on="inconclusive", wait="1s")
    check("B, when doubt fails", (code, outputs["exit-code"], "waiting: " in runner.log), (11, "11", True))
    code, outputs = runner.run(**asked, arm="D")
    check("no such arm", (code, outputs["result"], outputs["junit"]), (1, "error", ""))
    check("what is shown", runner.commands(), ["::error title=armspan gate::the gate could not be asked (exit code 1)"])


def prove_failing_api(runner, github, web):
    """Others' comments, many of them, a wrong token, no pull request: the gate's code arrives all the same."""
    asked = {"armspan": binary(), "server": f"http://{web}", "experiment": "support-bot"}
    first = github.ours()[0]["body"].splitlines()[0]
    github.comments.clear()
    github.add(7, "someone", f"{first}\r\nmine")
    for number in range(150):
        github.add(7, "someone", f"comment {number}")
    for _ in range(2):
        check("C", runner.run(**asked, arm="C")[0], 10)
    check("ours, beside 151 of others", (len(github.ours()), len(github.comments)), (1, 152))
    check("theirs is as it was", github.comments[0]["body"] == f"{first}\r\nmine", True)
    github.calls.clear()
    code, _ = runner.run(**asked, arm="C", github_token="wrong")
    told = "::warning title=armspan::no comment was left: the list of comments was answered with 401 Bad credentials"
    check("a wrong token", (code, runner.commands()), (10, [SHOWN, told]))
    github.calls.clear()
    check("comment: false", (runner.run(**asked, arm="C", comment="false")[0], github.calls), (10, []))
    check("a push", (runner.run("push", **asked, arm="C")[0], github.calls), (10, []))
    code, _ = runner.run("push", **asked, arm="C", pull_request="9")
    check("a push that names a pull request", (code, github.calls[-1]), (10, "POST /repos/o/r/issues/9/comments"))


def prove_server_gone(runner, github, web):
    """The comment of a gate that cannot be asked takes the place of the last one."""
    before = len(github.ours())
    asked = {"armspan": binary(), "server": f"http://{web}", "experiment": "support-bot", "arm": "C"}
    code, outputs = runner.run(**asked)
    check("the server is gone", (code, outputs["result"], outputs["exit-code"]), (1, "error", "1"))
    told = [one["body"] for one in github.ours() if "The gate could not be asked (exit code 1)" in one["body"]]
    check("its comment says so", (len(told), "cannot reach" in told[0], len(github.ours())), (1, True, before))
    check("no binary", runner.run(**{**asked, "armspan": "/no/such"})[0], 127)


def prove_skewed(folder, runner, github):
    """Units that do not come in the planned shares: nothing can be believed, and the comment says why."""
    own = folder / "skewed"
    own.mkdir()
    demo = Demo(own, "--scenario", "srm")
    code, outputs = runner.run(armspan=binary(), server=f"http://{demo.web}", experiment="support-bot")
    check("a skewed split", (code, outputs["result"]), (12, "invalid"))
    check("its comment says why", "**Sample ratio mismatch**" in github.ours()[-1]["body"], True)
    demo.stop()


def prove_names(folder, runner, github):
    """Arms named by somebody who means harm, and so many runs that a comment cannot hold them."""
    names = Names(folder)
    asked = {"armspan": binary(), "server": names.server.web, "experiment": "hostile"}
    github.comments.clear()
    code, outputs = runner.run(**asked, arm=ARM)
    check("a hostile arm", (code, outputs["result"]), (10, "fail"))
    body = github.ours()[0]["body"]
    plain = re.sub(r"(`+).*?\1", "", re.sub(r"\\[`<>\[\]|#]", "", body))
    check("tags in its comment", re.findall(r"<(?!http)[^>]*>", plain)[1:],
          ["<details>", "<summary>", "</summary>", "</details>", "<sub>", "</sub>"])
    check("mentions", re.findall(r"@\w+", plain), [])
    check("JUnit", cases(outputs), [("error_rate", "failure")])
    shown = " ".join(f"{ARM} of hostile fails: error_rate in {ARM}.".splitlines())
    check("commands in the log", runner.commands(), [f"::error title=armspan gate::{shown}"])
    check("files that it made", [path.name for path in folder.rglob("PWNED*")], [])
    check("an arm as a flag", runner.run(**asked, arm="--junit=PWNED")[0], 1)
    check("files that it made", [path.name for path in folder.rglob("PWNED*")], [])
    code, _ = runner.run(**{**asked, "experiment": "many"})
    body = github.ours()[-1]["body"]
    check("1,200 runs", (code, 50_000 < len(body) < 60_001, "was cut here" in body), (12, True, True))
    check("what it opened is closed", (body.count("\n<details>"), body.count("\n</details>")), (1, 1))
    headers = {"authorization": f"Bearer {TOKEN}"}
    status, _ = fetch(f"{github.url}/repos/o/r/issues/7/comments", {"body": "x" * (BODY_CHARS_MAX + 1)}, headers)
    check("a body that is too long", status, 422)
    names.server.stop()


def prove_install(folder, runner):
    """`version` builds what was named, and nothing else."""
    tools = folder / "tools"
    tools.mkdir()
    cargo = tools / "cargo"
    cargo.write_text('#!/bin/sh\necho "$@" > "$HOME/cargo.told"\n'
                     'mkdir -p "$5/bin" && ln -s "$REAL" "$5/bin/armspan"\n'.replace("$REAL", binary()))
    cargo.chmod(0o755)
    os.environ["PATH"] = f"{tools}:{os.environ['PATH']}"
    asked = {"server": "http://127.0.0.1:1", "experiment": "e", "comment": "false"}
    code, outputs = runner.run(**asked, version="0.1.0")
    told = (folder / "cargo.told").read_text().split()
    check("cargo", (code, outputs["result"], told[-3:]), (1, "error", ["--tag", "v0.1.0", "armspan"]))
    check("it asked", "cannot reach http://127.0.0.1:1" in runner.log, True)
    check("a version that is none", runner.run(**asked, version="0.1.0; touch PWNED")[0], 2)


def prove_lint(folder):
    """actionlint reads the inputs of the action that the README's example uses."""
    readme = (ACTION / "README.md").read_text()
    example = re.search(r"```yaml\n(.*?)```", readme, re.DOTALL)[1]
    example = example.replace("armspan/armspan/deploy/github-action@main", "./deploy/github-action")
    root = folder / "repository"
    shutil.copytree(ACTION, root / "deploy/github-action")
    workflow = root / ".github/workflows/evals.yml"
    workflow.parent.mkdir(parents=True)
    subprocess.run(["git", "init", "-q", root], check=True)

    def lint(text):
        workflow.write_text(text)
        command = [CACHE / "bin/actionlint", "-no-color", "-shellcheck=", "-pyflakes="]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True)
        return done.returncode, done.stdout

    check("actionlint", lint(example), (0, ""))
    for seeded, told in [("experimnt: support-bot", 'input "experimnt" is not defined'),
                         ("arms: B\n          experiment: support-bot", 'input "arms" is not defined')]:
        code, found = lint(example.replace("experiment: support-bot", seeded))
        check(f"a wrong input ({seeded.split(':')[0]})", (code, told in found), (1, True))
    code, found = lint(example.replace("outputs.result", "outputs.answer"))
    check("a wrong output", (code, 'property "answer" is not defined' in found), (1, True))


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        github = GitHub()
        runner = Runner(folder, github)
        prove_file(runner)
        prove_lint(folder)
        demo = Demo(folder)
        prove_codes(runner, github, demo.web)
        prove_failing_api(runner, github, demo.web)
        demo.stop()
        prove_server_gone(runner, github, demo.web)
        prove_skewed(folder, runner, github)
        prove_names(folder, runner, github)
        prove_install(folder, runner)
    finish()


if __name__ == "__main__":
    main()
