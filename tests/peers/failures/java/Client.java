// An unchanged OpenTelemetry SDK of Java. Usage: Client PROTOCOL ENDPOINT GZIP SPANS SECONDS FUTURE
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Context;
import io.opentelemetry.exporter.otlp.http.trace.OtlpHttpSpanExporter;
import io.opentelemetry.exporter.otlp.trace.OtlpGrpcSpanExporter;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.export.BatchSpanProcessor;
import io.opentelemetry.sdk.trace.export.SpanExporter;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

public class Client {
  static SpanExporter exporter(String protocol, String endpoint, String compression) {
    if (protocol.equals("grpc")) {
      return OtlpGrpcSpanExporter.builder().setEndpoint(endpoint).setCompression(compression).build();
    }
    String url = endpoint + "/v1/traces";
    return OtlpHttpSpanExporter.builder().setEndpoint(url).setCompression(compression).build();
  }

  public static void main(String[] words) throws Exception {
    int spans = Integer.parseInt(words[3]);
    double seconds = Double.parseDouble(words[4]);
    SpanExporter exporter = exporter(words[0], words[1], words[2].equals("1") ? "gzip" : "none");
    SdkTracerProvider provider = SdkTracerProvider.builder().addSpanProcessor(
        BatchSpanProcessor.builder(exporter).setMaxExportBatchSize(50).setScheduleDelay(Duration.ofMillis(200)).build()).build();
    Tracer tracer = provider.get("failures");
    for (int number = 0; number < spans; number++) {
      long at = System.currentTimeMillis() + (words[5].equals("1") && number % 2 == 1 ? 3_600_000 : 0);
      tracer.spanBuilder("chat m").setParent(Context.root()).setStartTimestamp(at, TimeUnit.MILLISECONDS)
          .setAttribute("gen_ai.operation.name", "chat").setAttribute("gen_ai.request.model", "m")
          .startSpan().end(at + 1, TimeUnit.MILLISECONDS);
      Thread.sleep((long) (seconds * 1000 / spans));
    }
    provider.shutdown().join(30, TimeUnit.SECONDS);
  }
}
