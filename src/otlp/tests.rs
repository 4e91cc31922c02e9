//! The committed descriptors are those of the committed `.proto` files.

use super::OTLP_DESCRIPTORS;
use prost::Message;

#[test]
fn descriptors_are_up_to_date() {
    let services = ["trace/v1/trace", "logs/v1/logs", "metrics/v1/metrics"]
        .map(|name| format!("opentelemetry/proto/collector/{name}_service.proto"));
    let set = protox::compile(services, ["proto"]).expect("compiles");
    let bytes = set.encode_to_vec();
    if std::env::var_os("ARMSPAN_REWRITE").is_some() {
        std::fs::write("src/otlp/descriptors.bin", &bytes).expect("written");
    }
    let committed = std::fs::read("src/otlp/descriptors.bin").expect("committed");
    assert!(committed == bytes, "run the tests with ARMSPAN_REWRITE=1 and commit descriptors.bin");
    assert!(!OTLP_DESCRIPTORS.is_empty());
}
