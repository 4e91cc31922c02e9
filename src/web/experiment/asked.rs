//! What the address of an experiment's page asks for. Everything that a reader can set is in it,
//! so a page can be sent to somebody else, and links change one part and keep the rest.

use crate::model::id::{MINUTE, Nanos, nanos};
use crate::model::url::part;
use serde::Deserialize;

/// Parts of the query; what is unknown or empty is as if it were not there.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// The call site.
    pub site: Option<String>,
    /// `epoch`, `24h` or `all`.
    pub window: Option<String>,
    /// The metric that levels, differences and the large chart show.
    pub metric: Option<String>,
    /// Arms whose metrics are all shown, separated by commas.
    pub open: Option<String>,
    /// Only what came after this time, RFC 3339.
    pub after: Option<String>,
    /// The first run of the diff.
    pub a: Option<String>,
    /// The second.
    pub b: Option<String>,
    /// `all` shows every arm, however many there are.
    pub arms: Option<String>,
}

/// The stretch of time whose figures are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Window {
    /// The current epoch: the one that decides.
    Epoch,
    /// The last 24 hours from a full hour on: descriptive.
    Day,
    /// All epochs, pooled: labelled `mixed`.
    All,
    /// From a time on, nanoseconds: descriptive.
    After(Nanos),
}

impl Asked {
    /// Which stretch of time.
    pub fn window(&self) -> Window {
        match (self.after.as_deref().and_then(nanos), self.window.as_deref()) {
            (Some(at), _) => Window::After(at / MINUTE * MINUTE),
            (None, Some("24h")) => Window::Day,
            (None, Some("all")) => Window::All,
            _ => Window::Epoch,
        }
    }

    /// Whether all metrics of an arm are shown.
    pub fn is_open(&self, arm: &str) -> bool {
        self.opened().any(|open| open == arm)
    }

    fn opened(&self) -> impl Iterator<Item = &str> {
        self.open.as_deref().unwrap_or_default().split(',').filter(|arm| !arm.is_empty())
    }

    /// The same with the metrics of an arm shown or hidden.
    pub fn toggled(&self, arm: &str) -> Asked {
        let mut open: Vec<&str> = self.opened().filter(|open| *open != arm).collect();
        if !self.is_open(arm) {
            open.push(arm);
        }
        let open = open.join(",");
        Asked { open: Some(open).filter(|list| !list.is_empty()), ..self.clone() }
    }

    /// The address of the page of an experiment.
    pub fn href(&self, experiment: &str) -> String {
        let given = [
            ("site", &self.site),
            ("window", &self.window),
            ("metric", &self.metric),
            ("open", &self.open),
            ("after", &self.after),
            ("a", &self.a),
            ("b", &self.b),
            ("arms", &self.arms),
        ];
        let mut out = format!("/experiments/{}", part(experiment));
        let given = given.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        for (at, (name, value)) in given.enumerate() {
            let mark = if at == 0 { '?' } else { '&' };
            out.push_str(&format!("{mark}{name}={}", part(value)));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_keeps_what_it_does_not_change() {
        let text = |text: &str| Some(text.to_owned());
        let asked = Asked { site: text("an&swer"), open: text("B,C"), ..Asked::default() };
        assert_eq!(asked.href("a/b"), "/experiments/a%2Fb?site=an%26swer&open=B%2CC");
        assert_eq!(asked.toggled("B").open, text("C"));
        assert_eq!(asked.toggled("B").toggled("C").open, None);
        assert_eq!(asked.toggled("D").open, text("B,C,D"));
    }

    #[test]
    fn a_window_that_is_none_is_the_epoch() {
        let of = |window: &str, after: &str| {
            let (window, after) = (Some(window.to_owned()), Some(after.to_owned()));
            Asked { window, after, ..Asked::default() }.window()
        };
        assert_eq!(of("24h", ""), Window::Day);
        assert_eq!(of("yesterday", "noon"), Window::Epoch);
        assert_eq!(of("all", "1970-01-01T00:01:59Z"), Window::After(MINUTE));
    }
}
