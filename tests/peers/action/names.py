"""Experiments whose names come from somebody who means harm, and one with more runs than a comment holds."""

import time

from peer import Server, fetch

# At most 128 bytes, as names are.
ARM = 'B"; touch PWNED; $(touch PWNED2) `touch PWNED3` --> </details> @team |\n::add-mask::x\n<b>'
CONFIG = """
assignment_wait: 1s
experiments:
  hostile: {control: A, family: {rollback: [error_rate]}}
  many: {control: A, family: {rollback: [error_rate]}}
metrics: {error_rate: {role: guardrail, from: error, direction: decrease, margin: 0.3}}
"""
UNITS = 1_000
ARMS, CONFIGS = 30, 40


def text(key, value):
    return {"key": key, "value": {"stringValue": value}}


class Names:
    """A server with their calls."""

    def __init__(self, folder):
        self.server = Server(folder, CONFIG)
        self.began = time.time_ns() - 1_000_000_000
        calls = [self.call(f"a{n}", "hostile", "A", n % 10 == 0) for n in range(UNITS)]
        calls += [self.call(f"b{n}", "hostile", ARM, n % 10 > 0) for n in range(UNITS)]
        calls += [self.call(f"m{arm}-{one}", "many", f"arm-{arm}" if arm else "A", False, temperature=one / 100)
                  for arm in range(ARMS) for one in range(CONFIGS)]
        self.send(calls)
        self.server.wait(lambda: self.settled() == len(calls), "all calls to be counted")
        arms = self.server.get("/api/v1/experiments/hostile")["arms"]
        assert arms == ["A", ARM], arms

    def settled(self):
        engine = self.server.get("/api/v1/status")["engine"]
        return engine["calls"] if engine["parked"] == 0 else -1

    def call(self, user, experiment, arm, fails, temperature=None):
        attributes = [text("gen_ai.operation.name", "chat"), text("gen_ai.request.model", "m"), text("user.id", user),
                      text("armspan.experiment", experiment), text("armspan.arm", arm)]
        attributes += [text("error.type", "500")] if fails else []
        if temperature is not None:
            attributes.append({"key": "gen_ai.request.temperature", "value": {"doubleValue": temperature}})
        return {"name": "chat", "attributes": attributes, "startTimeUnixNano": str(self.began),
                "endTimeUnixNano": str(self.began + 1_000_000)}

    def send(self, calls):
        spans = [{"traceId": f"{n + 1:032x}", "spanId": f"{n + 1:016x}", **call} for n, call in enumerate(calls)]
        body = {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}
        status, answer = fetch(f"http://127.0.0.1:{self.server.ports[1]}/v1/traces", body, timeout=30)
        assert status == 200, answer
