"""An unchanged OpenTelemetry SDK of Python. Usage: client.py PROTOCOL ENDPOINT GZIP SPANS SECONDS FUTURE"""

import logging
import sys
import time

from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

protocol, endpoint, gzip, spans, seconds, future = sys.argv[1:7]
logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
if protocol == "grpc":
    from grpc import Compression
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    compression = Compression.Gzip if gzip == "1" else Compression.NoCompression
    exporter = OTLPSpanExporter(endpoint=endpoint, insecure=endpoint.startswith("http:"), compression=compression)
else:
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    compression = Compression.Gzip if gzip == "1" else Compression.NoCompression
    exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", compression=compression)
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=200, max_export_batch_size=50))
tracer = provider.get_tracer("failures")
for number in range(int(spans)):
    at = time.time_ns() + (3_600_000_000_000 if future == "1" and number % 2 else 0)
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
    tracer.start_span("chat m", Context(), attributes=attributes, start_time=at).end(at + 1_000_000)
    time.sleep(float(seconds) / int(spans))
provider.shutdown()
