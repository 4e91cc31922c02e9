//! Figures of a record that depend on its data only.

use serde_json::Value;

/// Metric lines without what looks remember, which depends on when data came.
pub fn lasting(metrics: &Value) -> Value {
    let mut metrics = metrics.clone();
    for line in metrics.as_array_mut().into_iter().flatten() {
        let line = line.as_object_mut().expect("a line");
        line.remove("verdict");
        line.get_mut("difference").and_then(Value::as_object_mut).map(|found| found.remove("p"));
    }
    metrics
}
