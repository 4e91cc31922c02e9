"""Sends spans by the exporter of the OpenTelemetry SDK, once: sender.py grpc|http ENDPOINT SPANS CA. The variables TOKEN,
CERT and KEY say with what credentials. Prints the exporter's own verdict."""

import os
import sys
import time

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

protocol, endpoint, spans, ca = sys.argv[1:]
token, cert, key = (os.environ.get(name) or None for name in ["TOKEN", "CERT", "KEY"])
headers = {"authorization": f"Bearer {token}"} if token else {}


def read(path):
    return open(path, "rb").read() if path else None


class Kept(SpanExporter):
    """Keeps spans, so that they go out in one request."""

    def __init__(self):
        self.spans = []

    def export(self, batch):
        self.spans += batch
        return SpanExportResult.SUCCESS


def exporter():
    if protocol == "grpc":
        import grpc
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        credentials = grpc.ssl_channel_credentials(read(ca), read(key), read(cert))
        return OTLPSpanExporter(endpoint=endpoint, credentials=credentials, headers=headers, timeout=5)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", certificate_file=ca, client_certificate_file=cert,
                            client_key_file=key, headers=headers, timeout=5)  # fmt: skip


kept = Kept()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(kept))
for number in range(int(spans)):
    with provider.get_tracer("proof").start_as_current_span(f"chat {number}", attributes={
        "gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "user.id": f"user-{time.time_ns()}",
    }):  # fmt: skip
        pass
print(exporter().export(kept.spans).name)
