"""An unchanged service: OpenTelemetry SDK with openai-v2 over OTLP gRPC, OpenFeature for the arm.

Usage: client.py OTLP_ENDPOINT STANDIN_PORT USERS. Prints what it did as JSON.
"""

import json
import os
import sys
import time

os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "gen_ai_latest_experimental"
os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "SPAN_AND_EVENT"

import openai
from openfeature import api
from openfeature.contrib.hook.opentelemetry import TracingHook
from openfeature.evaluation_context import EvaluationContext
from openfeature.flag_evaluation import FlagResolutionDetails, Reason
from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider
from opentelemetry import trace
from opentelemetry._logs import LogRecord, set_logger_provider
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

PROMPTS = {
    "control": "You are a terse weather assistant.",
    "treatment": "You are a friendly weather assistant. Answer in one sentence.",
}


def arm_of(user):
    return "treatment" if int(user.split("-")[1]) % 2 else "control"


def evaluate(flag, context):
    variant = arm_of(context.targeting_key)
    return FlagResolutionDetails(flag.variants[variant], reason=Reason.TARGETING_MATCH, variant=variant)


def instrument(endpoint):
    resource = Resource.create({
        "service.name": "weather-py", "service.version": "1.4.2",
        "vcs.ref.head.revision": "9f3c2d1e8b7a6f5e4d3c2b1a0f9e8d7c6b5a4f3e",
    })
    from grpc import Compression
    traces = TracerProvider(resource=resource)
    exporter = OTLPSpanExporter(endpoint=endpoint, insecure=True, compression=Compression.Gzip)
    traces.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(traces)
    logs = LoggerProvider(resource=resource)
    logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(endpoint=endpoint, insecure=True)))
    set_logger_provider(logs)
    OpenAIInstrumentor().instrument(tracer_provider=traces, logger_provider=logs)
    variants = {arm: prompt for arm, prompt in PROMPTS.items()}
    api.set_provider(InMemoryProvider({"answer-prompt": InMemoryFlag("control", variants, context_evaluator=evaluate)}))
    api.add_hooks([TracingHook()])
    return traces, logs


def judge(logs, span):
    context = span.get_span_context()
    logs.get_logger("judge").emit(LogRecord(
        timestamp=time.time_ns(), trace_id=context.trace_id, span_id=context.span_id, trace_flags=context.trace_flags,
        event_name="gen_ai.evaluation.result",
        attributes={"gen_ai.evaluation.name": "answer_ok", "gen_ai.evaluation.score.value": 1.0,
                    "armspan.grader.name": "judge", "armspan.grader.version": "3"},
    ))


def request(tracer, logs, client, number):
    user = f"user-{number}"
    with tracer.start_as_current_span("POST /ask", attributes={"user.id": user, "session.id": f"session-{number}"}) as span:
        prompt = api.get_client().get_string_value("answer-prompt", PROMPTS["control"], EvaluationContext(user))
        messages = [{"role": "system", "content": prompt}, {"role": "user", "content": "What is the weather in Paris?"}]
        asked = {"model": "gpt-4o-mini", "messages": messages, "temperature": 0.2, "max_tokens": 256}
        client.chat.completions.create(**asked)
        for _ in client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}):
            pass
        client.embeddings.create(model="text-embedding-3-small", input="Paris")
        try:
            client.chat.completions.create(**{**asked, "model": "error-model"})
        except openai.RateLimitError:
            pass
        judge(logs, span)


def main():
    endpoint, port, users = sys.argv[1], sys.argv[2], int(sys.argv[3])
    traces, logs = instrument(endpoint)
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0)
    tracer = trace.get_tracer("weather")
    for number in range(users):
        request(tracer, logs, client, number)
    traces.shutdown()
    logs.shutdown()
    print(json.dumps({"users": users}))


main()
