//! `armspan export KIND`: delivers what the outbox keeps to one tool, now: a backfill, or a look
//! at a tool without a config. It runs the same sink as the server does; what is there already
//! stays as it is.

use super::args::{Export, ExportKind, ExportRange};
use super::client::address;
use super::print::{self, Data};
use super::progress::Counter;
use super::read::{self, Client, typed};
use crate::api::{OutboxItem, OutboxPage};
use crate::app::export::deliver_all;
use crate::config::{self, Flags};
use crate::model::delivery::{Body, Cut, Event, Item};
use crate::model::id::nanos;
use crate::model::settings::Span;
use crate::model::{Nanos, RunRecord, human};
use crate::sink::jsonl::records_jsonl;
use crate::sink::{Around, Config, intoto};
use crate::store::{self, Outbox};
use anyhow::{Context, Result, anyhow, bail};
use std::cell::Cell;
use std::io::{Write, stderr, stdout};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

/// Which items are wanted.
struct Wanted {
    from: Nanos,
    to: Nanos,
    experiment: Option<String>,
}

/// The outbox of a server, or of a folder without one.
enum Source {
    Server(Client),
    Folder(store::Lock, Outbox),
}

/// Runs it.
pub async fn export(export: &Export, format: super::args::Format) -> Result<ExitCode> {
    let range = &export.range;
    let wanted = Wanted::new(range)?;
    match &export.kind {
        ExportKind::Status => {
            let data = statuses(&Client::of_server(&range.server.get())?).await?;
            print::print(&data, format, &mut stdout().lock())?;
            Ok(ExitCode::SUCCESS)
        }
        ExportKind::Sink(Config::Jsonl(jsonl)) if jsonl.dir.is_none() => {
            let mut out = stdout().lock();
            out.write_all(records_jsonl(&records(range, &wanted).await?).as_bytes())?;
            out.flush()?;
            Ok(ExitCode::SUCCESS)
        }
        ExportKind::Sink(Config::Intoto(intoto)) if intoto.dir.is_none() => {
            let mut out = stdout().lock();
            for record in records(range, &wanted).await? {
                let mut files = intoto::files(&record, None).0;
                out.write_all(&files.pop().map(|(_, statement)| statement).unwrap_or_default())?;
            }
            Ok(ExitCode::SUCCESS)
        }
        ExportKind::Sink(given) => deliver(given, range, &wanted).await,
    }
}

/// Records for standard output: as they are now, or all that were recorded in a stretch of time.
async fn records(range: &ExportRange, wanted: &Wanted) -> Result<Vec<RunRecord>> {
    let now = range.from.is_none() && range.to.is_none();
    if let (true, Ok(client)) = (now, Client::of_server(&range.server.get())) {
        return read::export(&client, &range.experiment).await;
    }
    let (_keep, outbox) = gather(range).await?;
    let (mut out, mut after) = (Vec::new(), None);
    while let Some(item) = outbox.next(after, &|_| true)? {
        after = Some(item.key);
        if let Some(Item { body: Body::Cut(cut), .. }) = wanted.select(item) {
            out.extend(cut.records);
        }
    }
    Ok(out)
}

async fn deliver(given: &Config, range: &ExportRange, wanted: &Wanted) -> Result<ExitCode> {
    let (sinks, around) = sinks(given, range)?;
    let (_keep, outbox) = gather(range).await?;
    let mut code = ExitCode::SUCCESS;
    for config in sinks {
        let faults = config.settings().faults();
        if let Some((key, what)) = faults.first() {
            bail!("{}: {key}: {what}", config.kind());
        }
        let mut sink = config.settings().open(&around)?;
        let (progress, seen) = (Counter::new("items"), Cell::new(0));
        let select = |item| {
            progress.at(seen.replace(seen.get() + 1));
            wanted.select(item)
        };
        let done = deliver_all(&mut *sink, &outbox, &select).await;
        drop(progress);
        let (delivered, refused) = done.with_context(|| format!("to {}", config.name()))?;
        let items = if delivered == 1 { "item" } else { "items" };
        writeln!(stderr(), "{}: {delivered} {items} delivered", config.name())?;
        for what in &refused {
            writeln!(stderr(), "refused: {what}")?;
            code = ExitCode::from(super::ERROR);
        }
    }
    Ok(code)
}

/// The sinks that are meant: as the flags say, or with --config all of the kind in the file.
fn sinks(given: &Config, range: &ExportRange) -> Result<(Vec<Config>, Around)> {
    let path = range.config.as_deref();
    let config = config::load(path, &config::process_env, &Flags::default())?;
    let around = Around { data: config.data.clone(), dashboard: config.dashboard.clone() };
    let same = |sink: &&Config| sink.kind() == given.kind();
    let named: Vec<Config> = config.sinks.iter().filter(same).cloned().collect();
    if path.is_none() || !given.is_plain() {
        return Ok((vec![given.clone()], around));
    }
    if named.is_empty() {
        bail!("the config has no sink of kind {}; give its settings as flags", given.kind());
    }
    Ok((named, around))
}

/// An outbox with all items. What a running server has is copied: a sink may ask for the history
/// of a run again and again.
async fn gather(range: &ExportRange) -> Result<(Box<dyn std::any::Any>, Outbox)> {
    match source(range)? {
        Source::Folder(lock, outbox) => Ok((Box::new(lock), outbox)),
        Source::Server(client) => {
            if range.to.is_none() {
                cut(&client).await?;
            }
            let dir = TempDir::new().context("no temporary folder")?;
            let outbox = Outbox::open(dir.path())?;
            copy(&client, &outbox).await?;
            Ok((Box::new(dir), outbox))
        }
    }
}

fn source(range: &ExportRange) -> Result<Source> {
    let folder =
        range.server.data.as_ref().filter(|dir| range.server.server.is_none() && dir.is_dir());
    if let Some(dir) = folder.filter(|dir| matches!(address(dir), Ok(None))) {
        return Ok(Source::Folder(store::Lock::take(dir)?, Outbox::open(dir)?));
    }
    Ok(Source::Server(Client::of_server(&range.server.get())?))
}

/// Has the server record what there is now.
async fn cut(client: &Client) -> Result<()> {
    for _ in 0..5 {
        if client.post("/api/v1/cuts").await?.is_some() {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    Err(anyhow!("the server is too busy to record its runs; try again later"))
}

async fn copy(client: &Client, into: &Outbox) -> Result<()> {
    let mut after = None::<String>;
    let mut group: Vec<OutboxItem> = Vec::new();
    loop {
        let query: Vec<(&str, &str)> = after.as_deref().map(|a| ("after", a)).into_iter().collect();
        let page: OutboxPage = typed(&client.get("/api/v1/outbox", &query).await?)?;
        for item in page.items {
            if group.first().is_some_and(|first| first.position != item.position) {
                put(into, std::mem::take(&mut group))?;
            }
            group.push(item);
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return put(into, group),
        }
    }
}

/// Puts the items of one position.
fn put(into: &Outbox, group: Vec<OutboxItem>) -> Result<()> {
    let Some(position) = group.first().map(|item| item.position) else { return Ok(()) };
    let mut events: Vec<Event> = Vec::new();
    let mut cut = None::<Cut>;
    for item in group {
        events.extend(item.event);
        cut = item.cut.or(cut);
    }
    into.put(position, &events, cut.as_ref())?;
    Ok(())
}

/// `armspan export status`.
async fn statuses(client: &Client) -> Result<Data> {
    let document = client.get("/api/v1/status", &[]).await?;
    let sinks = document["sinks"].clone();
    let list: Vec<crate::model::delivery::SinkStatus> = typed(&sinks)?;
    let time = |at: &Option<String>| at.as_deref().map_or("–".to_owned(), human::minute);
    let rows = list.iter().map(|sink| {
        vec![
            sink.name.clone(),
            sink.state.clone(),
            human::count(i64::try_from(sink.waiting).unwrap_or(i64::MAX)),
            human::count(i64::try_from(sink.delivered).unwrap_or(i64::MAX)),
            human::count(i64::try_from(sink.refused).unwrap_or(i64::MAX)),
            time(&sink.last_success),
            sink.last_error.as_ref().or(sink.last_refusal.as_ref()).cloned().unwrap_or("–".into()),
        ]
    });
    let columns =
        ["sink", "state", ">waiting", ">delivered", ">refused", "last success", "last error"];
    Ok(Data {
        columns: columns.map(str::to_owned).into(),
        rows: rows.collect(),
        items: sinks.as_array().cloned().unwrap_or_default(),
        document: sinks,
        ..Data::default()
    })
}

// === impl Wanted ===

impl Wanted {
    fn new(range: &ExportRange) -> Result<Self> {
        let read = |flag: &str, text: &Option<String>, otherwise| match text {
            None => Ok(otherwise),
            Some(text) => instant(text).with_context(|| format!("--{flag} {text}")),
        };
        Ok(Wanted {
            from: read("from", &range.from, 0)?,
            to: read("to", &range.to, Nanos::MAX)?,
            experiment: range.experiment.clone(),
        })
    }

    /// An item, or what of it is wanted.
    fn select(&self, item: Item) -> Option<Item> {
        let Item { key, body } = item;
        let fits = |name: &str| self.experiment.as_deref().is_none_or(|wanted| wanted == name);
        let inside = |at: Nanos| at >= self.from && at <= self.to;
        match body {
            Body::Cut(mut cut) if inside(cut.at) => {
                cut.records.retain(|record| fits(&record.run.experiment));
                cut.experiments.retain(|experiment| fits(&experiment.name));
                cut.windows.retain(|window| fits(&window.experiment));
                Some(Item { key, body: Body::Cut(cut) })
            }
            Body::Event(event) if fits(&event.experiment) => {
                inside(nanos(&event.at)?).then_some(Item { key, body: Body::Event(event) })
            }
            _ => None,
        }
    }
}

/// A time: RFC 3339, a day (its beginning, UTC), or a length of time before now.
fn instant(text: &str) -> Result<Nanos> {
    let day = || {
        let day = text.parse::<jiff::civil::Date>().ok()?;
        let stamp = day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
        Nanos::try_from(stamp.as_nanosecond()).ok()
    };
    let before = || {
        let length = Span::parse(text).ok()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_nanos();
        Some(Nanos::try_from(now).ok()?.saturating_sub(length.0))
    };
    nanos(text).or_else(day).or_else(before).ok_or_else(|| {
        anyhow!("is no time; write 2026-11-23T14:00:00Z, 2026-11-23, or 24h for that long ago")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::delivery::ItemKey;
    use crate::sink::sample;

    fn wanted(from: &str, to: &str, experiment: Option<&str>) -> Wanted {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let range = ExportRange {
            from: some(from),
            to: some(to),
            experiment: experiment.map(str::to_owned),
            ..ExportRange::default()
        };
        Wanted::new(&range).expect("a range")
    }

    #[test]
    fn times_are_stamps_days_or_lengths() {
        let day = instant("2026-11-23").expect("a day");
        assert_eq!(day, instant("2026-11-23T00:00:00Z").expect("a stamp"));
        assert!(instant("24h").expect("a length") < instant("1h").expect("a length"));
        assert!(instant("yesterday").expect_err("no time").to_string().contains("2026-11-23"));
    }

    #[test]
    fn a_range_takes_its_cuts_and_an_experiment_its_records() {
        let all = wanted("", "", None).select(sample::item()).expect("all");
        assert_eq!(all, sample::item());
        let at = "2026-11-24T18:00:00.25Z";
        assert!(wanted(at, at, None).select(sample::item()).is_some(), "both ends belong to it");
        assert!(wanted("2026-11-25", "", None).select(sample::item()).is_none());
        assert!(wanted("", "2026-11-24", None).select(sample::item()).is_none());
        let other = wanted("", "", Some("other")).select(sample::item()).expect("a cut");
        let Body::Cut(cut) = other.body else { panic!("a cut") };
        assert!(cut.records.is_empty() && cut.windows.is_empty());
    }

    #[test]
    fn what_is_copied_has_the_same_keys() {
        let dir = TempDir::new().expect("dir");
        let outbox = Outbox::open(dir.path()).expect("opens");
        let cut = sample::cut();
        let item = OutboxItem { position: 9, ordinal: 0, cut: Some(cut.clone()), event: None };
        put(&outbox, vec![item]).expect("puts");
        let next = outbox.next(None, &|_| true).expect("reads").expect("an item");
        assert_eq!(next.key, ItemKey { position: 9, ordinal: 0 });
        assert_eq!(next.body, Body::Cut(Box::new(Cut { position: cut.position, ..cut })));
    }
}
