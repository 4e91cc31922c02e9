"""Fingerprints and run ids by an independent few lines, as the design gives the preimages.

Writes tests/identity/vectors.json; with --check compares with what is there and exits 1 when they differ.
Canonical JSON (RFC 8785) of these documents is what json.dumps gives with sorted keys and no white
space, since their keys are ASCII and their numbers are short decimals.
"""

import hashlib
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).parent / "vectors.json"

CASES = [
    ("support-bot", "A", "answer", {"model": {"provider": "openai", "requested": "gpt-4o-mini", "revision": "gpt-4o-mini-2024-07-18"}}),
    ("support-bot", "B", "answer", {"model": {"provider": "openai", "requested": "gpt-4o-mini", "revision": "gpt-4o-mini-2024-07-18"}}),
    ("support-bot", "A", "planner", {"model": {"provider": "openai", "requested": "gpt-4o-mini", "revision": "gpt-4o-mini-2024-07-18"}}),
    ("support-bot", "A", "answer", {"model": {"requested": "m"}, "sampling": {"temperature": 0.2, "top_p": 0.9, "max_tokens": 256, "stop": ["\n\n"]}}),
    ("support-bot", "A", "answer", {"model": {"requested": "m"}, "sampling": {"temperature": 1, "frequency_penalty": -0.5}}),
    ("support-bot", "A", "answer", {"prompt": {"name": "answer", "version": "7", "hash": "sha256:" + "ab" * 32}}),
    ("support-bot", "A", "answer", {"tools": {"hash": "sha256:" + "cd" * 32, "version": "2"}, "retrieval": {"source": "kb-eu", "snapshot": "2026-11-20"}}),
    ("größe", "höher", "antwort", {"model": {"requested": "modèle"}, "safety": {"policy": "p-12"}}),
    ("offline", "candidate", "chat", {"dataset": {"name": "faq", "version": "4"}, "model": {"requested": "m"}}),
    ("support-bot", "A", "answer", {}),
]


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def vector(experiment, arm, site, config):
    fingerprint = "sha256:" + sha256(canonical(config))
    run = sha256(canonical(["armspan/run/v1", experiment, arm, site, fingerprint]))[:32]
    return {"experiment": experiment, "arm": arm, "site": site, "config": config, "fingerprint": fingerprint, "run": run}


def main():
    text = json.dumps([vector(*case) for case in CASES], indent=1, ensure_ascii=False) + "\n"
    if "--check" not in sys.argv:
        HERE.write_text(text)
    elif HERE.read_text() != text:
        sys.exit("tests/identity/vectors.json differs from what this program computes")


main()
