"""Checks what armspan posted and wrote with the libraries that its readers use: verify.py KEY HOOKS.jsonl STATEMENT…
prints how many of each were good."""

import json
import pathlib
import sys

from cloudevents.core.bindings.http import HTTPMessage, from_structured
from cloudevents.core.formats.json import JSONFormat
from google.protobuf.json_format import ParseDict
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1 import statement_pb2
from standardwebhooks.webhooks import Webhook

key, hooks, statements = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3:]
signed = events = 0
for line in hooks.read_text().splitlines():
    got = json.loads(line)
    Webhook(key).verify(got["body"], got["headers"])
    signed += 1
    event = from_structured(HTTPMessage(got["headers"], got["body"].encode()), JSONFormat())
    data = event.get_data()
    events += event.get_id() == data["id"] and event.get_type().startswith("dev.armspan.")
good = 0
for path in statements:
    document = json.loads(pathlib.Path(path).read_text())
    parsed = statement_pb2.Statement()
    ParseDict(document, parsed)
    Statement.copy_from_pb(parsed).validate()
    good += 1
print(json.dumps({"signed": signed, "events": events, "statements": good}))
