"""The unchanged Prometheus and promtool, and Grafana's own types: the rules and their tests are right, Prometheus takes
every series of a real armspan with its exemplars, the alerts that fire on the demo are those of its story, and every
query of the dashboard finds data."""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.parse

from peer import CACHE, HERE, ROOT, Demo, check, end, faults, fetch, finish, free_port, start, wait

BIN = CACHE / "bin"
RULES = ROOT / "deploy/prometheus/rules.yml"
DASHBOARD = ROOT / "deploy/grafana/armspan.json"
# What the demo tells: arm C fails more and is slower. Nothing else may fire, or wait to.
STORY = [f"firing ArmspanGuardrailBreached C {metric}" for metric in ("error_rate", "latency_p95")]
# In the scenario srm units do not come in the planned shares.
SRM = "firing ArmspanSampleRatioMismatch"
# Queries that have nothing to show on a page where all is well.
MAY_BE_EMPTY = {"New epochs": "no epoch begins while the proof runs"}
# How fast this machine's disk is says nothing about the rule.
DISK = "pending ArmspanLogCommitsSlow"
SCRAPES = 20


class Prometheus:
    """It scrapes each second what the deployed config scrapes each quarter of a minute."""

    def __init__(self, folder, target):
        config = (ROOT / "deploy/prometheus/prometheus.yml").read_text()
        config = config.replace("127.0.0.1:4390", target).replace("15s", "1s").replace("- rules.yml", f"- {RULES}")
        path = folder / "prometheus.yml"
        path.write_text(config)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/api/v1"
        self.told = folder / "prometheus.log"
        command = [BIN / "prometheus", "--config.file", path, "--storage.tsdb.path", folder / "tsdb"]
        command += ["--web.listen-address", f"127.0.0.1:{port}", "--enable-feature=exemplar-storage"]
        self.process = start(command, self.told)
        ready = f"http://127.0.0.1:{port}/-/ready"
        wait(lambda: fetch(ready)[0] == 200, "Prometheus", 30, self.told.read_text)
        wait(lambda: self.query("count_over_time(up[1m])"), "the first scrape", 30, self.told.read_text)

    def get(self, path, **params):
        status, body = fetch(f"{self.url}/{path}?{urllib.parse.urlencode(params, doseq=True)}")
        if status != 200:
            sys.exit(f"{path} {params} gives {status}: {body}")
        return body["data"]

    def query(self, expr):
        return self.get("query", query=expr)["result"]

    def alerts(self):
        """Those that fire or wait to, in words."""
        found = self.get("alerts")["alerts"]
        parts = [[a["state"], *(a["labels"].get(key) for key in ("alertname", "arm", "metric"))] for a in found]
        return sorted({" ".join(filter(None, words)) for words in parts} - {DISK})

    def value(self, expr):
        return float(self.query(expr)[0]["value"][1])


def promtool(*arguments, given=None):
    done = subprocess.run([BIN / "promtool", *arguments], input=given, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def check_files(folder):
    for command in (["config", "deploy/prometheus/prometheus.yml"], ["rules", "deploy/prometheus/rules.yml"]):
        code, told = promtool("check", command[0], str(ROOT / command[1]))
        check(f"promtool check {' '.join(command)}", (code, told if code else ""), (0, ""))
    code, told = promtool("test", "rules", str(ROOT / "deploy/prometheus/rules_test.yml"))
    check("promtool test rules", (code, told if code else ""), (0, ""))
    check_rules()
    check_types(folder)


def check_rules():
    """Each alert has a test, and its words name labels that it has."""
    tests = (RULES.parent / "rules_test.yml").read_text()
    text = RULES.read_text()
    alerts = re.findall(r"- alert: (\w+)(.*?)(?=\n      - alert:|\n  - name:|\Z)", text, re.DOTALL)
    check("alerts", len(alerts), text.count("- alert:"))
    for name, body in alerts:
        fired = re.findall(r"labels: 'ALERTS\{alertname=\"" + name + r"\", alertstate=\"firing\", (.*)\}'", tests)
        known = [set(re.findall(r"(\w+)=", labels)) for labels in fired]
        named = set(re.findall(r"\$labels\.(\w+)", body))
        if not known or any(named - labels for labels in known):
            faults.append(f"{name}: no test in which it fires, or it names a label that it has not: {named}")


def check_types(folder):
    modules = CACHE / "grafana/node_modules"
    (folder / "node_modules").symlink_to(modules)
    (folder / "dashboard.ts").write_text((HERE / "prometheus/dashboard.ts").read_text())
    shown = f'import type {{ Dashboard }} from "./dashboard";\nexport const shown: Dashboard = {DASHBOARD.read_text()};\n'
    (folder / "shown.ts").write_text(shown)
    flags = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2022"]
    done = subprocess.run([modules / ".bin/tsc", *flags, "shown.ts"], cwd=folder, capture_output=True, text=True, timeout=60)
    check("the dashboard has Grafana's types", done.stdout[:2_000], "")


def check_page(demo):
    """The plain format, as promtool reads and judges it; gives the page as OpenMetrics."""
    status, page = fetch(f"http://{demo.web}/metrics", headers={"accept": "text/plain"})
    code, told = promtool("check", "metrics", given=page)
    check("promtool check metrics", (status, code, told), (200, 0, ""))
    _, page = fetch(f"http://{demo.web}/metrics", headers={"accept": "application/openmetrics-text;version=1.0.0"})
    return page


def check_scrape(prometheus, page):
    """Every series of the page is in Prometheus."""
    target = prometheus.get("targets")["activeTargets"][0]
    check("the target", (target["health"], target["lastError"]), ("up", ""))
    series = {line.split(" ", 1)[0].split("{", 1)[0] for line in page.splitlines() if not line.startswith("#")}
    kept = set(prometheus.get("label/__name__/values"))
    check("names on the page that Prometheus lacks", sorted(series - kept), [])
    count = sum(1 for line in page.splitlines() if line and not line.startswith("#"))
    check("series", prometheus.value('count({__name__=~"armspan_.*"})') >= count, True)


def check_rules_live(prometheus):
    groups = prometheus.get("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    check("rules that fail", [rule["name"] for rule in rules if rule["health"] != "ok"], [])
    recorded = [rule["name"] for rule in rules if rule["type"] == "recording"]
    check(f"recording rules without data ({len(recorded)})", [n for n in recorded if not real(prometheus.query(n))], [])
    check("alerts that fire, and none waits to", prometheus.alerts(), STORY)
    alerts = prometheus.get("alerts")["alerts"]
    summary = "Arm C of support-bot breaches its guardrail error_rate"
    check("the words of one", summary in [alert["annotations"]["summary"] for alert in alerts], True)


def real(result):
    """Series with a number in them."""
    values = [value for one in result for value in (one.get("values") or [one["value"]])]
    return [value for value in values if value[1] != "NaN"]


def variables(prometheus, dashboard):
    """Values as Grafana would find them, each by its own query with those before it."""
    values = {"__rate_interval": "1m"}
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"]).groups()
            found = prometheus.get(f"label/{label}/values", **{"match[]": filled(metric, values)})
            check(f"variable {variable['name']} has values", bool(found), True)
            values[variable["name"]] = "|".join(found) if variable["multi"] else found[0]
    check("arms and those compared", (values["arm"], values["treatment"]), ("A|B|C", "B|C"))
    return values


def filled(expr, values):
    # Grafana escapes what it puts into a regular expression.
    escaped = {name: value.replace(".", r"\\.") if "|" in value or name == "instance" else value
               for name, value in values.items()}
    return re.sub(r"\$(\w+)", lambda found: escaped[found.group(1)], expr)


def check_dashboard(prometheus):
    dashboard = json.loads(DASHBOARD.read_text())
    values = variables(prometheus, dashboard)
    asked = [(panel["title"], target["expr"], target["instant"])
             for panel in dashboard["panels"] for target in panel.get("targets", [])]
    asked += [(note["name"], note["expr"], True) for note in dashboard["annotations"]["list"]]
    empty = []
    for title, expr, instant in asked:
        now = time.time()
        window = {"time": now} if instant else {"start": now - 60, "end": now, "step": 5}
        found = prometheus.get("query" if instant else "query_range", query=filled(expr, values), **window)["result"]
        if not real(found) and title not in MAY_BE_EMPTY:
            empty.append(f"{title}: {expr}")
    check(f"queries of the dashboard without data ({len(asked)})", empty, [])
    ids = [panel["id"] for panel in dashboard["panels"]]
    check("ids of panels that come twice", [one for one in ids if ids.count(one) > 1], [])


def check_exemplars(prometheus, demo):
    """Traces behind latencies: in their buckets, and the slowest of each arm is the one that its record links."""
    now = time.time()
    found = prometheus.get("query_exemplars", query="armspan_call_latency_seconds_bucket", start=now - 90_000, end=now + 60)
    seen = [(series["seriesLabels"], one) for series in found for one in series["exemplars"]]
    above = [one for labels, one in seen if float(one["value"]) > float(labels["le"].replace("+Inf", "inf"))]
    check("exemplars above their bucket", (bool(seen), above), (True, []))
    _, runs = fetch(f"http://{demo.web}/api/v1/runs?limit=100")
    slowest = {link["trace_id"] for run in runs["runs"] for link in run["links"] if link.get("why", "").startswith("slowest")}
    for arm in "ABC":
        own = [(float(one["value"]), one["labels"]["trace_id"]) for labels, one in seen if labels["arm"] == arm]
        check(f"the slowest exemplar of arm {arm} is linked in a run record", max(own)[1] in slowest, True)


def prove(folder):
    """The demo's story."""
    demo = Demo(folder)
    try:
        prometheus = Prometheus(folder, demo.web)
        check_files(folder)
        page = check_page(demo)
        scraped = f"count_over_time(armspan_ready[5m]) >= {SCRAPES}"
        wait(lambda: prometheus.query(scraped), "enough scrapes", 60, prometheus.told.read_text)
        check_scrape(prometheus, page)
        check_dashboard(prometheus)
        check_rules_live(prometheus)
        check_exemplars(prometheus, demo)
    finally:
        demo.stop()
    down = "pending ArmspanDown"
    wait(lambda: down in prometheus.alerts(), down, 30, lambda: str(prometheus.alerts()))
    check("alerts when armspan has ended", down in prometheus.alerts(), True)
    end(prometheus.process)


def prove_split(folder):
    """A split that is not as planned makes one alert, and no verdict makes another."""
    demo = Demo(folder, "--scenario", "srm")
    try:
        prometheus = Prometheus(folder, demo.web)
        # Before its first scrape Prometheus knows no target, so ArmspanAbsent waits for a moment.
        wait(lambda: prometheus.alerts() == [SRM], SRM, 30, lambda: str(prometheus.alerts()))
        check("alerts of a skewed split", prometheus.alerts(), [SRM])
        invalid = prometheus.value('sum(armspan_verdict{state="invalid"}) / sum(armspan_verdict)')
        check("share of its verdicts that are invalid", invalid, 1.0)
    finally:
        demo.stop()


def main():
    for proof in (prove, prove_split):
        with tempfile.TemporaryDirectory() as name:
            proof(pathlib.Path(name))
    finish()


if __name__ == "__main__":
    main()
