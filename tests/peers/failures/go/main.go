// An unchanged OpenTelemetry SDK of Go. Usage: client PROTOCOL ENDPOINT GZIP SPANS SECONDS FUTURE
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/trace"
	api "go.opentelemetry.io/otel/trace"
)

func exporter(protocol, endpoint string, gzip bool) (trace.SpanExporter, error) {
	ctx := context.Background()
	if protocol == "grpc" {
		options := []otlptracegrpc.Option{otlptracegrpc.WithEndpointURL(endpoint)}
		if gzip {
			options = append(options, otlptracegrpc.WithCompressor("gzip"))
		}
		return otlptracegrpc.New(ctx, options...)
	}
	options := []otlptracehttp.Option{otlptracehttp.WithEndpointURL(endpoint + "/v1/traces")}
	if gzip {
		options = append(options, otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
	}
	return otlptracehttp.New(ctx, options...)
}

func main() {
	spans, _ := strconv.Atoi(os.Args[4])
	seconds, _ := strconv.ParseFloat(os.Args[5], 64)
	future := os.Args[6] == "1"
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { fmt.Fprintln(os.Stderr, "otel:", err) }))
	out, err := exporter(os.Args[1], os.Args[2], os.Args[3] == "1")
	if err != nil {
		panic(err)
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(out, trace.WithMaxExportBatchSize(50), trace.WithBatchTimeout(200*time.Millisecond)))
	tracer := provider.Tracer("failures")
	for number := 0; number < spans; number++ {
		at := time.Now()
		if future && number%2 == 1 {
			at = at.Add(time.Hour)
		}
		_, span := tracer.Start(context.Background(), "chat m", api.WithNewRoot(), api.WithTimestamp(at), api.WithAttributes(
			attribute.String("gen_ai.operation.name", "chat"), attribute.String("gen_ai.request.model", "m")))
		span.End(api.WithTimestamp(at.Add(time.Millisecond)))
		time.Sleep(time.Duration(seconds / float64(spans) * float64(time.Second)))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := provider.Shutdown(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "otel:", err)
	}
}
