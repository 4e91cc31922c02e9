// An unchanged OpenTelemetry SDK of Node. Usage: node client.mjs PROTOCOL ENDPOINT GZIP SPANS SECONDS FUTURE
import { diag, DiagLogLevel, ROOT_CONTEXT } from '@opentelemetry/api';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';

const [protocol, endpoint, gzip, spans, seconds, future] = process.argv.slice(2);
const say = (...words) => console.error('otel:', ...words);
diag.setLogger({ error: say, warn: say, info() {}, debug() {}, verbose() {} }, DiagLogLevel.WARN);
const { OTLPTraceExporter } = await import({
  grpc: '@opentelemetry/exporter-trace-otlp-grpc',
  'http/protobuf': '@opentelemetry/exporter-trace-otlp-proto',
  'http/json': '@opentelemetry/exporter-trace-otlp-http',
}[protocol]);
const url = protocol === 'grpc' ? endpoint : `${endpoint}/v1/traces`;
const exporter = new OTLPTraceExporter({ url, compression: gzip === '1' ? 'gzip' : 'none' });
const processor = new BatchSpanProcessor(exporter, { scheduledDelayMillis: 200, maxExportBatchSize: 50 });
const provider = new NodeTracerProvider({ spanProcessors: [processor] });
const tracer = provider.getTracer('failures');
for (let number = 0; number < Number(spans); number++) {
  const at = Date.now() + (future === '1' && number % 2 ? 3_600_000 : 0);
  const attributes = { 'gen_ai.operation.name': 'chat', 'gen_ai.request.model': 'm' };
  tracer.startSpan('chat m', { attributes, startTime: at, root: true }, ROOT_CONTEXT).end(at + 1);
  await new Promise((done) => setTimeout(done, Number(seconds) * 1000 / Number(spans)));
}
await provider.shutdown();
