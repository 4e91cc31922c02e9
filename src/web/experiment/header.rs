//! The head of an experiment's page: where one is, what stretch of time the figures are of, how
//! fresh and how many they are; then what must be known before them, and the answer in short.

use super::asked::Window;
use super::sight::Sight;
use crate::judge::trust::{Notice, Severity};
use crate::model::id::{nanos, rfc3339};
use crate::model::metric::Role;
use crate::model::record::MetricLine;
use crate::model::view::ArmView;
use crate::web::{human, verdict};
use maud::{Markup, html};

/// Name, site, window, freshness, size.
pub fn header(sight: &Sight<'_>) -> Markup {
    let experiment = sight.experiment;
    html! {
        section.top {
            div.title {
                h1 { (experiment.name) }
                (sites(sight))
                (windows(sight))
            }
            (facts(sight))
            (of_window(sight))
            @if experiment.control_assumed {
                p.note { "Control " b { (sight.control()) } " is assumed. Set "
                    code { "experiments." (experiment.name) ".control" } " to settle it." }
            }
        }
    }
}

fn sites(sight: &Sight<'_>) -> Markup {
    let sites = &sight.experiment.sites;
    html! {
        @if sites.len() == 1 { span.site { "site " b { (sight.site.site) } } } @else {
            nav.tabs aria-label="Call site" {
                @for site in sites {
                    @let current = (site.site == sight.site.site).then_some("true");
                    a.tab aria-current=[current]
                        href=(sight.link(|asked| { asked.site = Some(site.site.clone()); asked.open = None; })) { (site.site) }
                }
            }
        }
    }
}

fn windows(sight: &Sight<'_>) -> Markup {
    let several = sight.site.all_epochs.iter().any(|arm| arm.mixed);
    let all = if several { "all epochs, mixed" } else { "all time" };
    let choices = [
        (Window::Epoch, None, format!("epoch {}", sight.site.epoch)),
        (Window::Day, Some("24h"), "24 h, descriptive".to_owned()),
        (Window::All, Some("all"), all.to_owned()),
    ];
    html! {
        nav.tabs.windows aria-label="Window" {
            @for (window, name, label) in &choices {
                @let current = (sight.window == *window).then_some("true");
                a.tab aria-current=[current] href=(sight.link(|asked| {
                    asked.window = name.map(str::to_owned);
                    asked.after = None;
                })) { (label) }
            }
        }
    }
}

fn facts(sight: &Sight<'_>) -> Markup {
    let experiment = sight.experiment;
    let calls: i64 = sight.arms.iter().map(|arm| arm.calls).sum();
    let units: i64 = sight.arms.iter().map(|arm| arm.units).sum();
    let confidence = experiment.confidence.map(human::confidence);
    html! {
        p.facts {
            span class=(format!("state {}", if experiment.state == "live" { "live" } else { "quiet" })) { (experiment.state) }
            @if let Some(seen) = &experiment.last_seen {
                span { "last call " (age(sight.view.log_time, seen)) }
            }
            span { b { (human::count(calls)) } " calls" }
            @if units > 0 { span { b { (human::count(units)) } " units by " code { (experiment.unit) } } }
            @if let Some(confidence) = confidence { span { b { (confidence) } " confidence over all claims, at every look" } }
        }
    }
}

/// How long ago something was, counted on by the script.
pub fn age(now: u64, at: &str) -> Markup {
    let seconds = nanos(at).map(|then| now.saturating_sub(then) / 1_000_000_000);
    let text = seconds.map_or_else(
        || human::minute(at),
        |s| match s {
            0..=119 => format!("{s} s ago"),
            _ => format!("{} ago", human::duration(s as f64)),
        },
    );
    html! { time datetime=(at) data-age="" { (text) } }
}

/// What the figures below are of, when they decide nothing.
fn of_window(sight: &Sight<'_>) -> Markup {
    let plain = "Levels as they were, without interval or verdict: the current epoch decides.";
    html! {
        @match sight.window {
            Window::Epoch => { @if let Some(began) = &sight.site.epoch_began {
                p.note { "Epoch " (sight.site.epoch) " began " (human::minute(began)) " UTC, when a configuration or the split changed." }
            } },
            Window::Day => p.note { b { "The last 24 hours. " } (plain) },
            Window::All => p.note { b { "All epochs pooled. " } (plain) },
            Window::After(from) => p.note { b { "Only after " (human::minute(&rfc3339(from))) " UTC. " } (plain) " "
                a href=(sight.link(|asked| asked.after = None)) { "show the whole epoch" } },
        }
    }
}

/// What must be known before the figures; nothing when there is nothing.
pub fn banner(notices: &[Notice]) -> Markup {
    let invalid = notices.iter().any(|notice| notice.severity == Severity::Invalid);
    let class = if invalid { "banner invalid" } else { "banner" };
    html! {
        @if !notices.is_empty() {
            section class=(class) role=[invalid.then_some("alert")] aria-labelledby="trust-title" {
                h2 #trust-title { @if invalid { "✕ Do not trust the verdicts below" } @else { "Before you read the figures" } }
                ul { @for notice in notices {
                    li { b { (notice.title) ". " } (notice.text) " " span.advice { (notice.advice) } }
                } }
            }
        }
    }
}

/// What to do with each arm, in one line each: the answer that people come for.
pub fn answer(sight: &Sight<'_>) -> Markup {
    let decided: Vec<&ArmView> = sight.site.arms.iter().filter(|a| a.decision.is_some()).collect();
    html! {
        @if !sight.is_descriptive() && !decided.is_empty() {
            section.answer aria-label="What to do" {
                ul { @for arm in decided { @if let Some(found) = &arm.decision {
                    li {
                        span class=(format!("decision {}", found.action.replace(' ', "-"))) {
                            (verdict::shape(&found.action)) " " (arm.arm) ": " (found.action) }
                        span.because { @match invalid(arm) {
                            Some(reason) => { "No verdict holds: " (reason) "." },
                            None => { @for sentence in because(arm) { (sentence) " " } },
                        } }
                    }
                } } }
            }
        }
    }
}

/// Why no verdict of an arm holds; it is said once, not of each metric.
fn invalid(arm: &ArmView) -> Option<&str> {
    let mut verdicts = arm.metrics.iter().filter(|line| line.decides());
    let first = verdicts.next()?.verdict.as_ref()?;
    let reason = first.reasons.first().filter(|_| first.state == "invalid")?;
    let same = |line: &MetricLine| {
        line.verdict.as_ref().is_some_and(|verdict| verdict.reasons.first() == Some(reason))
    };
    verdicts.all(same).then_some(reason)
}

/// Sentences that an action rests on: what it is for or waits for, after what quality says.
fn because(arm: &ArmView) -> Vec<&str> {
    const SENTENCES_MAX: usize = 3;
    let named = |line: &&MetricLine| {
        arm.decision.as_ref().is_some_and(|decision| decision.because.contains(&line.name))
    };
    let decides = || arm.metrics.iter().filter(|line| line.decides());
    let back = arm.decision.as_ref().is_some_and(|decision| decision.action == "roll back");
    let quality = decides().filter(|line| !back && line.role == Role::Quality && !named(line));
    let said = quality.chain(decides().filter(named));
    let sentences = said.filter_map(|line| Some(line.verdict.as_ref()?.sentence.as_str()));
    sentences.take(SENTENCES_MAX).collect()
}
