//! What is left out of OTLP files: each call, after all joins, against what a trustworthy run
//! has.

use super::super::explain::missing;
use super::super::progress::Counter;
use super::super::replay::load;
use super::{Gap, lines};
use crate::app::replay;
use crate::engine::join::resolve::Fate;
use crate::identify::tells_failures;
use crate::model::{Field, TraceId};
use crate::normalize::{Understood, Witness};
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Remembers the traces that have a call.
#[derive(Default)]
struct Traces(BTreeSet<TraceId>);

impl Witness for Traces {
    fn wants(&self) -> bool {
        true
    }

    fn saw(&mut self, understood: Understood) {
        if understood.kind == "call" {
            self.0.extend(understood.trace_id);
        }
    }
}

/// Calls of one service through one SDK, and how many lack what.
#[derive(Default)]
struct Tally {
    calls: i64,
    missing: BTreeMap<String, i64>,
}

/// Finds what is left out of files, which are one stream.
pub fn gaps(paths: &[PathBuf], config: Option<&Path>) -> Result<Vec<Gap>> {
    let config = load(config)?;
    let progress = Counter::new("requests read");
    let mut traces = Traces::default();
    let mut fold = replay::otlp(&config, paths, &mut traces, &|done| progress.at(done))?;
    let mut found: BTreeMap<(String, String), Tally> = BTreeMap::new();
    for trace in traces.0 {
        let calls = fold.engine.explain(trace);
        for call in calls.iter().filter(|call| call.fate == Fate::Call) {
            let full = fold.engine.dictionary().set(call.resolved.full);
            let text = |field| full.text(field).unwrap_or_default().to_owned();
            let key = (text(Field::CodeService), text(Field::Emitter));
            let tally = found.entry(key).or_default();
            tally.calls += 1;
            let silent = (!tells_failures(&full)).then(|| "failures".to_owned());
            for what in missing(&full, call).into_iter().chain(silent) {
                *tally.missing.entry(what).or_default() += 1;
            }
        }
    }
    Ok(found.into_iter().flat_map(|((service, sdk), tally)| of(&service, &sdk, tally)).collect())
}

fn of(service: &str, sdk: &str, tally: Tally) -> Vec<Gap> {
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let gap = |(what, missing): (String, i64)| Gap {
        service: some(service),
        sdk: some(sdk),
        add: lines::line(&what, sdk),
        what,
        missing,
        calls: tally.calls,
    };
    tally.missing.into_iter().map(gap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str) -> Vec<Gap> {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
        let file = |kind: &str| corpus.join(format!("{name}.{kind}.pb"));
        let paths = ["traces", "logs"].map(file).into_iter().filter(|path| path.exists());
        gaps(&paths.collect::<Vec<_>>(), None).expect("read")
    }

    #[test]
    fn content_that_is_switched_off_is_missed_and_the_switch_named() {
        let off = found("python/openai_v2/v130_chat_default");
        let prompt = off.iter().find(|gap| gap.what == "prompt.hash").expect("no prompt is sent");
        assert_eq!(prompt.missing, prompt.calls);
        assert!(prompt.add.contains("CAPTURE_MESSAGE_CONTENT"), "{prompt:?}");
        assert!(prompt.service.is_some() && prompt.sdk.is_some(), "{prompt:?}");
        let on = found("python/openai_v2/v130_chat_content");
        assert_eq!(on, [], "this capture has all that is asked for");
    }

    #[test]
    fn an_sdk_that_sends_no_failed_call_is_told() {
        let silent = found("js/openinference_openai/chat");
        assert!(silent.iter().any(|gap| gap.what == "failures"), "{silent:?}");
    }
}
