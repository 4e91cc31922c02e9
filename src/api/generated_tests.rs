//! Generated code, descriptors and schemas are current; `ARMSPAN_REGENERATE=1` rewrites them.
//! The record's Rust type, JSON Schema and protobuf twin have the same names.

use crate::model::record::RunRecord;
use prost_types::{DescriptorProto, FileDescriptorSet};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const PROTOS: [&str; 3] =
    ["armspan/v1/record.proto", "armspan/v1/run_service.proto", "armspan/v1/score_service.proto"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Fails when the committed bytes differ, or rewrites them when asked to.
fn assert_current(path: &Path, wanted: &[u8]) {
    let found = std::fs::read(path).unwrap_or_default();
    if found == wanted {
        return;
    }
    if std::env::var_os("ARMSPAN_REGENERATE").is_some() {
        std::fs::write(path, wanted).expect("written");
        return;
    }
    panic!("{} is not current: run the tests with ARMSPAN_REGENERATE=1", path.display());
}

fn descriptors(source_info: bool) -> FileDescriptorSet {
    let mut compiler = protox::Compiler::new([root().join("proto")]).expect("compiler");
    compiler.include_imports(true).include_source_info(source_info);
    for proto in PROTOS {
        compiler.open_file(proto).expect(proto);
    }
    compiler.file_descriptor_set()
}

#[test]
fn generated_code_is_current() {
    let out = tempfile::tempdir().expect("folder");
    tonic_prost_build::configure()
        .out_dir(out.path())
        .btree_map(".")
        .compile_fds(descriptors(true))
        .expect("generated");
    let code = std::fs::read(out.path().join("armspan.v1.rs")).expect("code");
    assert_current(&root().join("src/api/generated/armspan.v1.rs"), &code);
    let encoded = prost::Message::encode_to_vec(&descriptors(false));
    assert_current(&root().join("src/api/generated/descriptors.bin"), &encoded);
}

fn record_schema() -> Value {
    schemars::schema_for!(RunRecord).to_value()
}

#[test]
fn schema_files_are_current() {
    let pretty = |value: &Value| format!("{value:#}\n").into_bytes();
    let path = root().join("proto/armspan/v1/record.schema.json");
    assert_current(&path, &pretty(&record_schema()));
    assert_current(&root().join("src/api/openapi.json"), &pretty(&super::openapi()));
}

#[test]
fn schema_and_protobuf_twin_have_the_same_names() {
    let schema = record_schema();
    let set = descriptors(false);
    let file = set.file.iter().find(|file| file.name().ends_with("record.proto")).expect("record");
    let mut compared = 0;
    for message in &file.message_type {
        let part = match message.name() {
            "RunRecord" => &schema,
            name => &schema["$defs"][name],
        };
        assert_eq!(schema_names(part), proto_names(message), "{}", message.name());
        compared += 1;
    }
    let enums = ["Role", "Direction"];
    let defs = schema["$defs"].as_object().expect("defs");
    let structs = defs.keys().filter(|name| !enums.contains(&name.as_str())).count();
    assert_eq!(compared, structs + 1, "a type has no twin");
}

/// `Attribution` is the view without what each metric says; `Order` is a list in JSON.
#[test]
fn comparison_and_protobuf_twin_have_the_same_names() {
    let schema = schemars::schema_for!(crate::compare::Comparison).to_value();
    let set = descriptors(false);
    let file = set.file.iter().find(|file| file.name().ends_with("run_service.proto"));
    let messages = &file.expect("service").message_type;
    for (name, ours) in [
        ("CompareRunsResponse", None),
        ("RunSide", Some("RunSide")),
        ("FacetDifference", Some("FacetDifference")),
        ("MetricContrast", Some("MetricContrast")),
        ("Attribution", Some("AttributionView")),
        ("FieldChange", Some("FieldChange")),
        ("MissingArm", Some("MissingArm")),
        ("Effect", Some("Effect")),
        ("Bounds", Some("Bounds")),
    ] {
        let message = messages.iter().find(|m| m.name() == name).expect(name);
        let mut wanted = schema_names(ours.map_or(&schema, |ours| &schema["$defs"][ours]));
        if name == "Attribution" {
            wanted.retain(|field| !["effects", "bounds"].contains(&field.as_str()));
        }
        assert_eq!(wanted, proto_names(message), "{name}");
    }
}

fn schema_names(part: &Value) -> BTreeSet<String> {
    part["properties"].as_object().map(|all| all.keys().cloned().collect()).unwrap_or_default()
}

fn proto_names(message: &DescriptorProto) -> BTreeSet<String> {
    message.field.iter().map(|field| field.name().to_owned()).collect()
}

#[test]
fn an_optional_part_is_optional_in_both() {
    let schema = record_schema();
    let set = descriptors(false);
    let file = set.file.iter().find(|file| file.name().ends_with("record.proto")).expect("record");
    for message in &file.message_type {
        let part = match message.name() {
            "RunRecord" => &schema,
            name => &schema["$defs"][name],
        };
        let required: Vec<&str> =
            part["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for field in message.field.iter().filter(|field| field.proto3_optional()) {
            let both = (message.name(), field.name());
            assert!(!required.contains(&field.name()), "{both:?} is required in the schema");
        }
    }
}
