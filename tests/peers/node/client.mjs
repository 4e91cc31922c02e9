// An unchanged service: Vercel AI SDK with its own telemetry, OTLP over HTTP/JSON, OpenFeature for the arm.
// Usage: node client.mjs OTLP_HTTP_ENDPOINT STANDIN_PORT USERS
import { createOpenAI } from '@ai-sdk/openai';
import { InMemoryProvider, OpenFeature } from '@openfeature/server-sdk';
import { SpanEventHook } from '@openfeature/open-telemetry-hooks';
import { context, trace } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import { embed, generateText, streamText } from 'ai';

const [endpoint, port, users] = process.argv.slice(2);
const prompts = {
  control: 'You are a terse weather assistant.',
  treatment: 'You are a friendly weather assistant. Answer in one sentence.',
};
const resource = resourceFromAttributes({
  'service.name': 'weather-js',
  'service.version': '2.4.1',
  'vcs.ref.head.revision': '9d59409acf479dfa0df1aa568182e43e43df8bbe',
});
const provider = new NodeTracerProvider({
  resource,
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ url: `${endpoint}/v1/traces` }))],
});
provider.register();

const armOf = (user) => (Number(user.split('-')[1]) % 2 ? 'treatment' : 'control');
await OpenFeature.setProviderAndWait(new InMemoryProvider({
  'answer-prompt': {
    variants: prompts,
    defaultVariant: 'control',
    disabled: false,
    contextEvaluator: (context) => armOf(context.targetingKey),
  },
}));
OpenFeature.addHooks(new SpanEventHook());

const openai = createOpenAI({ baseURL: `http://127.0.0.1:${port}/v1`, apiKey: 'none' });
const model = openai.chat('gpt-4o-mini');
const tracer = trace.getTracer('weather');

async function answer(user) {
  const system = await OpenFeature.getClient().getStringValue('answer-prompt', prompts.control, { targetingKey: user });
  const telemetry = { isEnabled: true, functionId: 'answer' };
  const asked = {
    model, system, prompt: 'What is the weather in Paris?', temperature: 0.2, maxOutputTokens: 256, maxRetries: 0,
    experimental_telemetry: telemetry,
  };
  await generateText(asked);
  const stream = streamText(asked);
  for await (const _ of stream.textStream) { /* read to the end */ }
  await embed({ model: openai.embedding('text-embedding-3-small'), value: 'Paris', experimental_telemetry: { isEnabled: true } });
  await generateText({ ...asked, model: openai.chat('error-model') }).catch(() => {});
}

for (let number = 0; number < Number(users); number++) {
  const user = `user-${number}`;
  const attributes = { 'user.id': user, 'session.id': `session-${number}` };
  const span = tracer.startSpan('POST /ask', { attributes });
  await context.with(trace.setSpan(context.active(), span), () => answer(user));
  span.end();
}
await provider.shutdown();
console.log(JSON.stringify({ users: Number(users) }));
