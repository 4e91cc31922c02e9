//! Scripts and styles: ours, and three small libraries kept beside the sources with their
//! licences. Addresses have a hash of the content, so browsers keep them for ever; what is
//! served is compressed once.

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use std::io::Write as _;
use std::sync::LazyLock;

/// Our style sheet.
pub const STYLE: &str = concat!(
    include_str!("style/base.css"),
    include_str!("style/experiment.css"),
    include_str!("style/pages.css"),
    include_str!("vendor/uPlot-1.6.32.min.css"),
);
/// Runs before the page is drawn: the colours that the reader chose.
const THEME: &str = include_str!("script/theme.js");
/// Everything else, in the order in which the parts need each other.
const SCRIPT: &str = concat!(
    include_str!("vendor/htmx-2.0.11.min.js"),
    "\n",
    include_str!("vendor/idiomorph-ext-0.8.0.min.js"),
    "\n",
    include_str!("script/app.js"),
);
/// Fetched when a chart comes near the window.
const CHART: &str = concat!(
    include_str!("vendor/uPlot-1.6.32.iife.min.js"),
    "\n",
    include_str!("script/chart.js"),
);
const ICON: &str = include_str!("script/icon.svg");

/// One file that pages name.
pub struct Asset {
    /// Its address.
    pub path: String,
    name: &'static str,
    kind: &'static str,
    plain: Bytes,
    gzip: Bytes,
}

/// All of them.
pub struct Assets {
    /// The style sheet.
    pub style: Asset,
    /// The script that runs first.
    pub theme: Asset,
    /// The scripts.
    pub script: Asset,
    /// The script of charts.
    pub chart: Asset,
    /// The icon.
    pub icon: Asset,
}

/// Made once: compressing takes longer than answering.
pub static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets {
    style: Asset::new("style.css", "text/css; charset=utf-8", STYLE),
    theme: Asset::new("theme.js", "text/javascript; charset=utf-8", THEME),
    script: Asset::new("app.js", "text/javascript; charset=utf-8", SCRIPT),
    chart: Asset::new("chart.js", "text/javascript; charset=utf-8", CHART),
    icon: Asset::new("icon.svg", "image/svg+xml", ICON),
});

impl Asset {
    fn new(name: &'static str, kind: &'static str, text: &'static str) -> Self {
        let hash = format!("{:x}", Sha256::digest(text.as_bytes()));
        Asset {
            path: format!("/assets/{}/{name}", &hash[..12]),
            name,
            kind,
            plain: Bytes::from_static(text.as_bytes()),
            gzip: gzip(text.as_bytes(), Compression::best()).into(),
        }
    }
}

impl Assets {
    fn find(&self, name: &str) -> Option<&Asset> {
        let all = [&self.style, &self.theme, &self.script, &self.chart, &self.icon];
        all.into_iter().find(|asset| asset.name == name)
    }
}

/// `/assets/{hash}/{name}`. A hash of another version gets what there is now, not to be kept.
pub async fn serve(Path((hash, name)): Path<(String, String)>, headers: HeaderMap) -> Response {
    let Some(asset) = ASSETS.find(&name) else {
        return (StatusCode::NOT_FOUND, "there is no such file\n").into_response();
    };
    let ours = asset.path.split('/').nth(2) == Some(hash.as_str());
    let keep = if ours { "public, max-age=31536000, immutable" } else { "no-cache" };
    let always = [(header::CONTENT_TYPE, asset.kind), (header::CACHE_CONTROL, keep)];
    match takes_gzip(&headers) {
        true => (always, [(header::CONTENT_ENCODING, "gzip")], asset.gzip.clone()).into_response(),
        false => (always, asset.plain.clone()).into_response(),
    }
}

/// Whether a client takes gzip.
pub fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    accepted.is_some_and(|list| {
        list.split(',').any(|one| {
            let mut parts = one.split(';').map(str::trim);
            parts.next() == Some("gzip") && parts.all(|part| part.replace(' ', "") != "q=0")
        })
    })
}

/// Bytes, compressed.
pub fn gzip(bytes: &[u8], level: Compression) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), level);
    // Writing to memory cannot fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As published: `dist` of the packages of these versions, byte for byte.
    const VENDORED: [(&str, &str, &str); 4] = [
        (
            "htmx.org 2.0.11 htmx.min.js",
            include_str!("vendor/htmx-2.0.11.min.js"),
            "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717",
        ),
        (
            "idiomorph 0.8.0 idiomorph-ext.min.js",
            include_str!("vendor/idiomorph-ext-0.8.0.min.js"),
            "5811b9a7eda14878b7dab4378bf60432e1bb6f11fcfb970cc26540642650181e",
        ),
        (
            "uplot 1.6.32 uPlot.iife.min.js",
            include_str!("vendor/uPlot-1.6.32.iife.min.js"),
            "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
        ),
        (
            "uplot 1.6.32 uPlot.min.css",
            include_str!("vendor/uPlot-1.6.32.min.css"),
            "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
        ),
    ];

    #[test]
    fn what_others_wrote_is_as_they_published_it() {
        for (name, text, hash) in VENDORED {
            assert_eq!(format!("{:x}", Sha256::digest(text.as_bytes())), hash, "{name}");
        }
    }

    #[test]
    fn gzip_is_for_those_who_take_it() {
        let takes = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, text.parse().expect("a value"));
            takes_gzip(&headers)
        };
        assert!(takes("br, gzip") && takes("gzip;q=0.5") && !takes("gzip; q=0") && !takes("br"));
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
