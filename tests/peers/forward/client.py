"""An unchanged OpenTelemetry SDK: spans of calls, log records and a counter over OTLP gRPC, for some seconds.

Usage: client.py OTLP_ENDPOINT SECONDS. Prints as JSON what it made: span ids by arm, log records, data points.
"""

import json
import sys
import time

from grpc import Compression
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

points = []


class NotingExporter(OTLPMetricExporter):
    """The SDK's own, which notes what it was given."""

    def export(self, metrics_data, *arguments, **named):
        for resource in metrics_data.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    points.extend([metric.name, point.time_unix_nano, point.value] for point in metric.data.data_points)
        return super().export(metrics_data, *arguments, **named)


def main():
    endpoint, seconds = sys.argv[1], float(sys.argv[2])
    # Retries end with the time-out, which is longer than downstream is away.
    to = {"endpoint": endpoint, "insecure": True, "timeout": 60}
    resource = Resource.create({"service.name": "inline"})
    traces = TracerProvider(resource=resource)
    exporter = OTLPSpanExporter(compression=Compression.Gzip, **to)
    traces.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=300))
    logs = LoggerProvider(resource=resource)
    logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(**to), schedule_delay_millis=300))
    reader = PeriodicExportingMetricReader(NotingExporter(**to), export_interval_millis=500)
    metrics = MeterProvider([reader], resource=resource)
    tracer, logger = traces.get_tracer("inline"), logs.get_logger("inline")
    counter = metrics.get_meter("inline").create_counter("inline.calls")
    spans, number, end = {"A": [], "B": []}, 0, time.monotonic() + seconds
    while time.monotonic() < end:
        arm = "AB"[number % 2]
        attributes = {
            "gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.system_instructions": "Be brief.",
            "user.id": f"user-{number % 20}", "armspan.experiment": "inline", "armspan.arm": arm,
        }  # fmt: skip
        with tracer.start_as_current_span("chat m", attributes=attributes) as span:
            context = span.get_span_context()
            logger.emit(LogRecord(
                timestamp=time.time_ns(), trace_id=context.trace_id, span_id=context.span_id,
                trace_flags=context.trace_flags, body="asked", attributes={"number": number},
            ))  # fmt: skip
        spans[arm].append(f"{context.span_id:016x}")
        counter.add(1)
        number += 1
        time.sleep(0.02)
    traces.shutdown()
    logs.shutdown()
    metrics.shutdown(timeout_millis=60_000)
    print(json.dumps({"spans": spans, "records": number, "points": points}))


main()
