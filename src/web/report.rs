//! The report of an experiment: its page as one file that needs nothing else, to attach to a
//! ticket or to keep. Links within armspan lead nowhere in it, so it has none.

use super::asset::STYLE;
use super::experiment::sight::Sight;
use super::experiment::{as_of, report};
use crate::judge::trust::Notice;
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// The file; none of an experiment without a call.
pub fn page(sight: Option<&Sight<'_>>, notices: &[Notice]) -> Markup {
    let title = sight.map_or("report", |sight| sight.experiment.name.as_str());
    let body = html! { @match sight {
        Some(sight) => { (report(sight, notices)) (as_of(sight)) },
        None => section { h1 { "No call has come yet" } },
    } };
    let body = PreEscaped(without_links(&body.into_string()));
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · armspan report" }
                style { (PreEscaped(STYLE)) }
            }
            body.report { main { (body) } }
        }
    }
}

/// Links to places of a server become plain text; those to the web stay.
fn without_links(html: &str) -> String {
    html.replace(" href=\"/", " data-href=\"/").replace(" data-age=\"\"", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_a_server_are_none_in_a_file() {
        let html = without_links("<a href=\"/runs/1\">1</a><a href=\"https://x/\">x</a>");
        assert_eq!(html, "<a data-href=\"/runs/1\">1</a><a href=\"https://x/\">x</a>");
    }
}
