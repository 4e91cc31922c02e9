"""Starts demos and an armspan that nothing was sent to, and lets `drive.mjs` look at their pages in a real Chromium.
What the script finds comes back as lines of JSON, a check each."""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

from peer import CACHE, HERE, Demo, Server, check, faults, finish

MODULES = CACHE / "dashboard/node_modules"
SHOTS = CACHE / "dashboard/shots"
WIDTHS = [1440, 390]
THEMES = ["light", "dark"]


def chromium():
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    return found or sys.exit("missing: chromium; run tests/peers/install dashboard")


def drive(seconds, **plan):
    """Runs the script with a plan; it must end within so many seconds."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    plan |= {"chromium": chromium(), "modules": str(MODULES), "shots": str(SHOTS)}
    plan = {"widths": WIDTHS, "themes": THEMES} | plan
    command = ["node", HERE / "dashboard/drive.mjs"]
    node = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        out, _ = node.communicate(json.dumps(plan), timeout=seconds)
    except subprocess.TimeoutExpired:
        node.terminate()
        out, _ = node.communicate()
        faults.append(f"{plan['scenario']}: not done after {seconds} s")
    for line in out.splitlines():
        check(**json.loads(line))
    if node.returncode:
        faults.append(f"{plan['scenario']}: drive.mjs ended with {node.returncode}")


def run(scenarios, seconds, **plan):
    """Each scenario in a demo of its own, beside one armspan that waits for its first span."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        empty = Server(folder, "{}\n")
        for scenario in scenarios:
            place = folder / scenario
            place.mkdir()
            demo = Demo(place, "--scenario", scenario)
            print(f"{scenario}: http://{demo.web}", flush=True)
            drive(seconds, demo=f"http://{demo.web}", empty=empty.web, scenario=scenario, **plan)
            demo.stop()
        check("exit of an armspan that nothing was sent to", empty.stop(), 0)
    finish()
