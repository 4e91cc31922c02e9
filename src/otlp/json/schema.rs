//! The messages of OTLP as tables: name in JSON, number, and how the value is written.

/// A message: its fields.
pub struct Message {
    /// In the order in which emitters usually write them.
    pub fields: &'static [Field],
    /// Counts against the depth of attribute values.
    pub is_value: bool,
}

/// A field: name in JSON, number, type.
pub struct Field(pub &'static str, pub u32, pub Type);

/// How a value is written.
pub enum Type {
    /// A string.
    Text,
    /// Bytes in hexadecimal: trace and span ids.
    Hex,
    /// Bytes in base64.
    Base64,
    /// `true` or `false`.
    Bool,
    /// A double.
    Double,
    /// 64 bits, fixed width, unsigned.
    Fixed64,
    /// 32 bits, fixed width, unsigned.
    Fixed32,
    /// A varint, signed.
    Int,
    /// An integer, or one of these names by position.
    Enum(&'static [&'static str]),
    /// One message.
    One(&'static Message),
    /// A list of messages.
    Many(&'static Message),
}

use Type::*;

const fn message(fields: &'static [Field]) -> Message {
    Message { fields, is_value: false }
}

/// `ExportTraceServiceRequest`.
pub static TRACES: Message = message(&[Field("resourceSpans", 1, Many(&RESOURCE_SPANS))]);
/// `ExportLogsServiceRequest`.
pub static LOGS: Message = message(&[Field("resourceLogs", 1, Many(&RESOURCE_LOGS))]);
/// `ExportMetricsServiceRequest`, down to data points.
pub static METRICS: Message = message(&[Field("resourceMetrics", 1, Many(&RESOURCE_METRICS))]);

static RESOURCE_SPANS: Message = message(&[
    Field("resource", 1, One(&RESOURCE)),
    Field("scopeSpans", 2, Many(&SCOPE_SPANS)),
    Field("schemaUrl", 3, Text),
]);
static SCOPE_SPANS: Message = message(&[
    Field("scope", 1, One(&SCOPE)),
    Field("spans", 2, Many(&SPAN)),
    Field("schemaUrl", 3, Text),
]);
static RESOURCE_LOGS: Message = message(&[
    Field("resource", 1, One(&RESOURCE)),
    Field("scopeLogs", 2, Many(&SCOPE_LOGS)),
    Field("schemaUrl", 3, Text),
]);
static SCOPE_LOGS: Message = message(&[
    Field("scope", 1, One(&SCOPE)),
    Field("logRecords", 2, Many(&LOG_RECORD)),
    Field("schemaUrl", 3, Text),
]);
static RESOURCE: Message =
    message(&[Field("attributes", 1, Many(&KEY_VALUE)), Field("droppedAttributesCount", 2, Int)]);
static SCOPE: Message = message(&[
    Field("name", 1, Text),
    Field("version", 2, Text),
    Field("attributes", 3, Many(&KEY_VALUE)),
    Field("droppedAttributesCount", 4, Int),
]);
static SPAN: Message = message(&[
    Field("traceId", 1, Hex),
    Field("spanId", 2, Hex),
    Field("traceState", 3, Text),
    Field("parentSpanId", 4, Hex),
    Field("name", 5, Text),
    Field("kind", 6, Enum(&SPAN_KINDS)),
    Field("startTimeUnixNano", 7, Fixed64),
    Field("endTimeUnixNano", 8, Fixed64),
    Field("attributes", 9, Many(&KEY_VALUE)),
    Field("droppedAttributesCount", 10, Int),
    Field("events", 11, Many(&EVENT)),
    Field("droppedEventsCount", 12, Int),
    Field("links", 13, Many(&LINK)),
    Field("droppedLinksCount", 14, Int),
    Field("status", 15, One(&STATUS)),
    Field("flags", 16, Fixed32),
]);
static SPAN_KINDS: [&str; 6] = [
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];
static EVENT: Message = message(&[
    Field("timeUnixNano", 1, Fixed64),
    Field("name", 2, Text),
    Field("attributes", 3, Many(&KEY_VALUE)),
    Field("droppedAttributesCount", 4, Int),
]);
static LINK: Message = message(&[
    Field("traceId", 1, Hex),
    Field("spanId", 2, Hex),
    Field("traceState", 3, Text),
    Field("attributes", 4, Many(&KEY_VALUE)),
    Field("droppedAttributesCount", 5, Int),
    Field("flags", 6, Fixed32),
]);
static STATUS: Message = message(&[
    Field("message", 2, Text),
    Field("code", 3, Enum(&["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"])),
]);
static LOG_RECORD: Message = message(&[
    Field("timeUnixNano", 1, Fixed64),
    Field("observedTimeUnixNano", 11, Fixed64),
    Field("severityNumber", 2, Enum(&["SEVERITY_NUMBER_UNSPECIFIED"])),
    Field("severityText", 3, Text),
    Field("body", 5, One(&ANY_VALUE)),
    Field("attributes", 6, Many(&KEY_VALUE)),
    Field("droppedAttributesCount", 7, Int),
    Field("flags", 8, Fixed32),
    Field("traceId", 9, Hex),
    Field("spanId", 10, Hex),
    Field("eventName", 12, Text),
]);
static KEY_VALUE: Message = message(&[Field("key", 1, Text), Field("value", 2, One(&ANY_VALUE))]);
static ANY_VALUE: Message = Message {
    fields: &[
        Field("stringValue", 1, Text),
        Field("boolValue", 2, Bool),
        Field("intValue", 3, Int),
        Field("doubleValue", 4, Double),
        Field("arrayValue", 5, One(&ARRAY)),
        Field("kvlistValue", 6, One(&LIST)),
        Field("bytesValue", 7, Base64),
    ],
    is_value: true,
};
static ARRAY: Message = message(&[Field("values", 1, Many(&ANY_VALUE))]);
static LIST: Message = message(&[Field("values", 1, Many(&KEY_VALUE))]);

static RESOURCE_METRICS: Message = message(&[Field("scopeMetrics", 2, Many(&SCOPE_METRICS))]);
static SCOPE_METRICS: Message = message(&[Field("metrics", 2, Many(&METRIC))]);
static METRIC: Message = message(&[
    Field("gauge", 5, One(&POINTS)),
    Field("sum", 7, One(&POINTS)),
    Field("histogram", 9, One(&POINTS)),
    Field("exponentialHistogram", 10, One(&POINTS)),
    Field("summary", 11, One(&POINTS)),
]);
static POINTS: Message = message(&[Field("dataPoints", 1, Many(&POINT))]);
static POINT: Message = message(&[]);
