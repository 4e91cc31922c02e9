//! The loop of the screen: keys, sizes, answers, signals. The terminal is given back whatever
//! ends it, a panic included.

use super::frame::render;
use super::screen::{Screen, Wish};
use super::theme::Theme;
use super::{Seen, ask, now};
use crate::cli::INTERRUPTED;
use crate::cli::args::Watch;
use crate::cli::read::Client;
use anyhow::{Context as _, Result, bail};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior};

/// How often ages are drawn again.
const SECOND: Duration = Duration::from_secs(1);

/// Gives the terminal back when it goes.
struct Borrowed(DefaultTerminal);

impl Drop for Borrowed {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// What a question led to.
type Answer = Result<Box<Seen>, String>;

/// What happens.
enum Happened {
    Event(Event),
    Answer(Answer),
    Due,
    Second,
    Signal,
    NoTerminal,
}

/// Shows the experiment until a key or a signal ends it.
pub async fn run(client: Arc<Client>, args: &Watch, first: Seen) -> Result<ExitCode> {
    client.hush();
    let mut source = Source::new(client, args)?;
    let mut screen = Screen::new(first, args.site.as_deref(), now());
    let theme = Theme::from_env();
    // It restores the terminal before a panic's message, too.
    let mut terminal = Borrowed(ratatui::try_init().context("cannot take the terminal")?);
    loop {
        terminal.0.draw(|frame| render(&screen, theme, frame))?;
        let wish = match source.next(screen.paused).await {
            Happened::Event(Event::Key(key)) => screen.key(key),
            Happened::Event(_) | Happened::Second => Wish::Draw,
            Happened::Answer(answer) => {
                // What was under way when the pause began is not shown.
                if !screen.paused {
                    screen.answer(answer.map(|seen| *seen), now());
                }
                Wish::Draw
            }
            Happened::Due => Wish::Ask,
            Happened::Signal => Wish::Interrupt,
            Happened::NoTerminal => bail!("the terminal is gone"),
        };
        screen.now = now();
        match wish {
            Wish::Draw => {}
            Wish::Ask => source.ask(),
            Wish::Quit => return Ok(ExitCode::SUCCESS),
            Wish::Interrupt => return Ok(ExitCode::from(INTERRUPTED)),
        }
    }
}

/// Where what happens comes from.
struct Source {
    client: Arc<Client>,
    experiment: String,
    events: mpsc::UnboundedReceiver<Event>,
    answers: (mpsc::Sender<Answer>, mpsc::Receiver<Answer>),
    /// A question is under way.
    asking: bool,
    due: Interval,
    second: Interval,
    signals: [Signal; 3],
}

impl Source {
    fn new(client: Arc<Client>, args: &Watch) -> Result<Source> {
        let every = |period| {
            let mut interval = tokio::time::interval(period);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval.reset();
            interval
        };
        let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
        let [terminate, interrupt, hangup] = kinds.map(signal);
        Ok(Source {
            client,
            experiment: args.experiment.clone(),
            events: events(),
            answers: mpsc::channel(1),
            asking: false,
            due: every(args.interval),
            second: every(SECOND),
            signals: [terminate?, interrupt?, hangup?],
        })
    }

    async fn next(&mut self, paused: bool) -> Happened {
        let [terminate, interrupt, hangup] = &mut self.signals;
        tokio::select! {
            event = self.events.recv() => event.map_or(Happened::NoTerminal, Happened::Event),
            Some(answer) = self.answers.1.recv() => {
                self.asking = false;
                self.due.reset();
                Happened::Answer(answer)
            }
            _ = self.due.tick(), if !paused && !self.asking => Happened::Due,
            _ = self.second.tick() => Happened::Second,
            _ = terminate.recv() => Happened::Signal,
            _ = interrupt.recv() => Happened::Signal,
            _ = hangup.recv() => Happened::Signal,
        }
    }

    /// Asks beside the loop: keys work while a server is slow.
    fn ask(&mut self) {
        if self.asking {
            return;
        }
        self.asking = true;
        let (client, name, to) =
            (self.client.clone(), self.experiment.clone(), self.answers.0.clone());
        tokio::spawn(async move {
            let answer = ask(&client, &name).await.map(Box::new);
            let answer = answer.map_err(|error| format!("{error:#}"));
            // Nobody waits for it when the screen is closed.
            let _ = to.send(answer).await;
        });
    }
}

/// Reads the terminal on a thread of its own, which ends with the process.
fn events() -> mpsc::UnboundedReceiver<Event> {
    let (to, from) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if to.send(event).is_err() {
                break;
            }
        }
    });
    from
}
