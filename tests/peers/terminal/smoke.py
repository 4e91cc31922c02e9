"""A real terminal: `armspan arms watch` in tmux on the demo's live traffic. What it shows is what the API says, at every
size; keys work; whatever ends it gives the terminal back; figures of a killed server stay and are marked. A folder
whose server was killed shows the same figures as `arms status`. Manual pages have nothing for `man` to warn of."""

import atexit
import csv
import io
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

from peer import Demo, Server, binary, check, end, fetch, finish, wait

EXPERIMENT = "support-bot"
# 39 and 49 are the terminal's own colours.
COLOUR = re.compile(r"\x1b\[(?:[0-9]+;)*(?:[34][0-8]|9[0-7])[0-9;]*m")


class Terminal:
    """tmux with one window; the command's exit code is printed after it."""

    def __init__(self, folder, columns, rows, command):
        self.socket = str(folder / f"tmux-{time.monotonic_ns()}")
        self.size = (columns, rows)
        # A proof that fails leaves no terminal behind.
        atexit.register(self.close)
        line = f"echo BEFORE; {command}; echo EXIT $?; exec sleep 1000"
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", columns, "-y", rows, "sh", "-c", line)

    def tmux(self, *words):
        done = subprocess.run(["tmux", "-S", self.socket, *map(str, words)], capture_output=True, text=True, timeout=20)
        return done.stdout

    def lines(self, *flags):
        return self.tmux("capture-pane", "-p", *flags).split("\n")[: self.size[1]]

    def text(self):
        return "\n".join(self.lines())

    def press(self, *keys):
        self.tmux("send-keys", *keys)

    def resize(self, columns, rows):
        self.size = (columns, rows)
        self.tmux("resize-window", "-x", columns, "-y", rows)

    def shows(self, what, seconds=20):
        wait(lambda: re.search(what, self.text()), f"{what} on the terminal", seconds, self.text)

    def selected(self):
        found = re.search(r"^› (\S+)", self.text(), re.M)
        return found and found.group(1)

    def close(self):
        self.tmux("kill-server")


def calls(text):
    """Arm -> calls of the arms table."""
    rows = re.findall(r"^[› ] (\w+)(?: \(control\))? .*?([0-9][0-9,]*) +[0-9][0-9,]* +[0-9.]+ % of", text, re.M)
    return {arm: int(shown.replace(",", "")) for arm, shown in rows}


def told(web):
    """Arm -> calls of the site's epoch, by the API."""
    arms = fetch(f"{web}/api/v1/experiments/{EXPERIMENT}")[1]["sites"][0]["arms"]
    return {arm["arm"]: arm["calls"] for arm in arms}


def live(terminal, web):
    terminal.shows(rf"^{EXPERIMENT} · ● live, last span \d+ s ago")
    before = told(web)
    time.sleep(3)
    shown, after = calls(terminal.text()), told(web)
    within = {arm: before[arm] <= shown.get(arm, -1) <= after[arm] for arm in before}
    check("calls lie between what the API said before and after", within, {"A": True, "B": True, "C": True})
    terminal.press("p")
    terminal.shows("PAUSED")
    still = calls(terminal.text())
    time.sleep(4)
    check("a pause stops the figures", calls(terminal.text()), still)
    terminal.press("p")
    wait(lambda: calls(terminal.text()) != still, "figures that go on", 20, terminal.text)


def keys(terminal):
    check("the first arm that is compared is selected", terminal.selected(), "B")
    terminal.press("j")
    wait(lambda: terminal.selected() == "C", "arm C", 10, terminal.text)
    terminal.press("Up")
    wait(lambda: terminal.selected() == "B", "arm B", 10, terminal.text)
    terminal.press("?")
    terminal.shows("another arm")
    terminal.press("?")
    terminal.shows("answer_ok")


def sizes(terminal):
    for columns, rows in [(80, 24), (40, 12), (200, 50), (140, 40)]:
        terminal.resize(columns, rows)
        terminal.shows(EXPERIMENT)
        wait(lambda: terminal.lines()[-1].startswith("q quit"), f"keys in the last row of {rows}", 10, terminal.text)
        text = terminal.text()
        seen = [name for name in ("answer_ok", "error_rate", "latency_p95", "roll back") if name in text]
        check(f"at {columns}×{rows} what decides is seen", len(seen), 4)
    colours = lambda: len(COLOUR.findall("\n".join(terminal.lines("-e"))))
    check("there are colours", colours() > 0, True)


def given_back(terminal, code):
    terminal.shows(f"EXIT {code}")
    state = terminal.tmux("display-message", "-p", "#{alternate_on} #{cursor_flag}").strip()
    check(f"after exit {code} the screen is as before, with its cursor", (state, "BEFORE" in terminal.text()), ("0 1", True))
    terminal.close()


def ends(folder, watch):
    """Every way out gives the terminal back."""
    for keys, code in [(["q"], 0), (["Escape"], 0), (["C-c"], 130)]:
        terminal = Terminal(folder, 80, 24, watch)
        terminal.shows("● live")
        terminal.press(*keys)
        given_back(terminal, code)
    terminal = Terminal(folder, 80, 24, f"NO_COLOR=1 {watch} & P=$!; echo $P > {folder}/pid; fg 2>/dev/null; wait $P")
    wait(lambda: (folder / "pid").exists(), "the watch to start", 10)
    terminal.shows("● live")
    check("NO_COLOR is kept to", COLOUR.findall("\n".join(terminal.lines("-e"))), [])
    subprocess.run(["kill", "-TERM", (folder / "pid").read_text().strip()], check=True)
    given_back(terminal, 130)


def killed(folder, demo, terminal, watch_data, data):
    last = calls(terminal.text())
    end(demo.process)
    terminal.shows("stale: figures of")
    shown = calls(terminal.text())
    check("figures stay when the server is gone", all(shown[arm] >= last[arm] for arm in last), True)
    terminal.press("q")
    given_back(terminal, 0)
    status = [binary(), "arms", "status", EXPERIMENT, "--data", data, "-o", "csv"]
    done = subprocess.run(status, capture_output=True, text=True, timeout=60)
    check("a folder whose server was killed can be read", (done.returncode, done.stderr), (0, ""))
    terminal = Terminal(folder, 160, 50, watch_data)
    terminal.shows(EXPERIMENT, 60)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    check("calls are those of `arms status`", calls(terminal.text()), {r["arm"].split()[0]: int(r["calls"].replace(",", "")) for r in rows})
    for row in rows[1:]:
        for metric in ("answer_ok", "error_rate", "latency_p95"):
            line = next(l for l in terminal.lines() if re.match(rf"^  {metric} +{row['arm']} ", l))
            missing = [part for part in re.split(r" (?=[+−])| (?=[a-z]+$)", row[metric]) if part not in line]
            check(f"{metric} of {row['arm']} is {row[metric]}", missing, [])
    terminal.press("q")
    given_back(terminal, 0)


def comes_back(folder, data):
    """A server that is killed and started again."""
    again = folder / "again"
    shutil.copytree(data, again / "data")
    server = Server(again, "experiments_auto: true\n")
    # Its end leaves a snapshot: the next start is quick.
    check("a server on the folder of a killed one ends well", server.stop(), 0)
    server.start()
    terminal = Terminal(folder, 100, 30, f"{binary()} arms watch {EXPERIMENT} --interval 300ms --server {server.web}")
    terminal.shows("answer_ok")
    server.kill()
    terminal.shows("stale: figures of .*connection refused")
    server.start()
    wait(lambda: "stale" not in terminal.text() and "answer_ok" in terminal.text(), "fresh figures", 20, terminal.text)
    check("a server that comes back is asked again", terminal.lines()[-1].endswith("UTC"), True)
    terminal.press("q")
    given_back(terminal, 0)
    check("its end is as it should be", server.stop(), 0)


def pages(folder):
    done = subprocess.run([binary(), "man", folder / "man"], capture_output=True, text=True, timeout=60)
    check("manual pages are written", done.returncode, 0)
    found = sorted((folder / "man").glob("*.1"))
    check("there is a page for the screen", any(page.name == "armspan-arms-watch.1" for page in found), True)
    if shutil.which("mandoc"):
        lint = ["mandoc", "-T", "lint", "-W", "warning"]
    elif shutil.which("man"):
        lint = ["man", "--warnings", "-E", "UTF-8", "-l"]
    else:
        return
    warnings = []
    for page in found:
        done = subprocess.run([*lint, page], capture_output=True, text=True, env={**os.environ, "MANWIDTH": "100"})
        warnings += [done.stderr] if lint[0] == "man" else [done.stdout + done.stderr]
    check(f"{lint[0]} has nothing to warn of in {len(found)} pages", "".join(warnings), "")


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    pages(folder)
    demo = Demo(folder, env={**os.environ, "TMPDIR": str(folder)})
    web = f"http://{demo.web}"
    data = next(folder.glob("armspan-demo-*"))
    watch = f"{binary()} arms watch {EXPERIMENT} --interval 500ms"
    terminal = Terminal(folder, 140, 40, f"{watch} --server {web}")
    live(terminal, web)
    keys(terminal)
    sizes(terminal)
    ends(folder, f"{watch} --data {data}")
    killed(folder, demo, terminal, f"{watch} --data {data}", data)
    comes_back(folder, data)
finish()
