"""Cuts of consecutive hours, made from the sample `tests/fixtures/cut.json`."""

import copy
import datetime
import json

from peer import ROOT

HOUR = 3_600_000_000_000


def sample():
    return json.loads((ROOT / "tests/fixtures/cut.json").read_text())


def stamped(cut, position, at):
    """The cut at another position and log time."""
    cut["position"], cut["at"] = position, at
    shown = datetime.datetime.fromtimestamp(at // 10**9, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.25Z")
    for record in cut["records"]:
        record["collector"] |= {"position": {"0": position}, "exported_at": shown}
    return cut


def hours(count=3, apart=500):
    """Cuts of `count` hours up to the sample, `apart` positions from each other: fewer calls and lower levels the hour
    before. Only the last one closes an epoch."""
    out = []
    for back in reversed(range(count)):
        cut = copy.deepcopy(sample())
        for record in cut["records"]:
            record["traffic"]["calls"] -= 20 * back
            for line in record["metrics"]:
                line["level"]["estimate"] *= 0.99**back
            if back:
                record["window"].pop("closed", None)
        out.append(stamped(cut, cut["position"] - apart * back, cut["at"] - HOUR * back))
    return out


def write(folder, cuts):
    """Their files, in their order."""
    paths = [folder / f"cut-{cut['position']}.json" for cut in cuts]
    for path, cut in zip(paths, cuts):
        path.write_text(json.dumps(cut))
    return paths
