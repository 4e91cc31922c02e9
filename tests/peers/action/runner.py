"""As much of a GitHub runner as a composite action needs. The action's file itself says what is run."""

import json
import os
import re
import subprocess

from github import TOKEN
from peer import CACHE, ROOT

ACTION = ROOT / "deploy/github-action"
READ_YAML = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)"


class Runner:
    """Expressions, outputs, conditions, and commands in the log."""

    def __init__(self, folder, github):
        self.folder, self.github = folder, github
        text = (ACTION / "action.yml").read_text()
        done = subprocess.run([CACHE / "action/bin/python", "-c", READ_YAML], input=text, capture_output=True, text=True)
        self.action = json.loads(done.stdout)
        self.steps = self.action["runs"]["steps"]

    def value(self, text, scope):
        """Fills in `${{ … }}`."""
        def term(part):
            part = part.strip()
            return part[1:-1] if part.startswith("'") else scope.get(part, "")

        def one(found):
            for sign, is_true in (("==", True), ("!=", False)):
                if sign in found[1]:
                    left, right = found[1].split(sign)
                    return "true" if (term(left) == term(right)) is is_true else ""
            return next((seen for seen in map(term, found[1].split("||")) if seen), "")

        return re.sub(r"\$\{\{(.*?)\}\}", one, str(text))

    def run(self, event="pull_request", **inputs):
        """Exit code of the whole, outputs, and what the log shows."""
        given = {name.replace("_", "-"): value for name, value in inputs.items()}
        unknown = set(given) - set(self.action["inputs"])
        assert not unknown, unknown
        scope = {"github.token": TOKEN}
        for name, one in self.action["inputs"].items():
            scope[f"inputs.{name}"] = given.get(name, self.value(one.get("default", ""), scope))
        self.log, code = "", 0
        for step in self.steps:
            if "if" in step and not self.value(step["if"], scope):
                continue
            code = self.step(step, scope, event)
            if code:
                break
        outputs = {name: self.value(one["value"], scope) for name, one in self.action["outputs"].items()}
        return code, outputs

    def step(self, step, scope, event):
        """Runs one step as `shell: bash` does."""
        files = {name: self.folder / name for name in ("output", "summary", "event", "script")}
        for file in files.values():
            file.write_text("")
        files["event"].write_text(json.dumps({"pull_request": {"number": 7}} if event == "pull_request" else {}))
        files["script"].write_text(step["run"])
        env = {
            "PATH": os.environ["PATH"], "HOME": str(self.folder), "RUNNER_TEMP": str(self.folder),
            "GITHUB_ACTION_PATH": str(ACTION), "GITHUB_API_URL": self.github.url, "GITHUB_REPOSITORY": "o/r",
            "GITHUB_SERVER_URL": "https://github.example", "GITHUB_RUN_ID": "42", "GITHUB_OUTPUT": str(files["output"]),
            "GITHUB_STEP_SUMMARY": str(files["summary"]), "GITHUB_EVENT_PATH": str(files["event"]),
            **{name: self.value(text, scope) for name, text in step.get("env", {}).items()},
        }
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", files["script"]]
        done = subprocess.run(command, cwd=self.folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=60)
        self.log += done.stdout
        self.summary = files["summary"].read_text() or getattr(self, "summary", "")
        for line in files["output"].read_text().splitlines():
            name, _, value = line.partition("=")
            scope[f"steps.{step.get('id')}.outputs.{name}"] = value
        return done.returncode

    def commands(self):
        """Commands in the log that a runner would obey."""
        stopped, out = None, []
        for line in map(str.strip, self.log.splitlines()):
            if stopped:
                stopped = None if line == f"::{stopped}::" else stopped
            elif line.startswith("::stop-commands::"):
                stopped = line.removeprefix("::stop-commands::")
            elif line.startswith("::"):
                out.append(line)
        return out
