//! Fingerprints and run ids equal those of `vectors.py`, which shares no code with us.

use armspan::identify;
use armspan::model::canonical::canonical_number;
use armspan::model::{FacetSet, Field, Value};
use serde_json::Value as Json;

fn value(json: &Json) -> Value {
    match json {
        Json::Number(number) => Value::Number(canonical_number(number.as_f64().expect("number"))),
        Json::Array(list) => Value::List(list.iter().map(value).collect()),
        other => Value::text(other.as_str().expect("text")),
    }
}

fn facets(config: &Json) -> FacetSet {
    let mut set = FacetSet::default();
    for (group, fields) in config.as_object().expect("object") {
        for (name, found) in fields.as_object().expect("group") {
            let path = format!("{group}.{name}");
            set.set(Field::from_path(&path).expect(&path), value(found));
        }
    }
    set
}

#[test]
fn ten_vectors_of_an_independent_program() {
    let vectors: Vec<Json> = serde_json::from_str(include_str!("vectors.json")).expect("vectors");
    assert_eq!(vectors.len(), 10);
    for vector in &vectors {
        let text = |key: &str| vector[key].as_str().expect(key).to_owned();
        let set = facets(&vector["config"]);
        assert_eq!(Json::Object(identify::config(&set)), vector["config"]);
        let fingerprint = identify::fingerprint(&set);
        assert_eq!(fingerprint, text("fingerprint"), "{vector}");
        let run = identify::run_id(&text("experiment"), &text("arm"), &text("site"), &fingerprint);
        assert_eq!(run, text("run"), "{vector}");
    }
}
