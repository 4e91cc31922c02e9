//! Flags of `arms watch`, `doctor` and `plan`.

use super::Server;
use clap::Args as ClapArgs;
use std::path::PathBuf;
use std::time::Duration;

/// `arms watch`.
#[derive(Clone, Debug, ClapArgs)]
pub struct Watch {
    /// Which experiment.
    pub experiment: String,
    /// Begin with this site; off a terminal, show only this one.
    #[arg(long)]
    pub site: Option<String>,
    /// How often to ask, such as 500ms, 2s or 1m.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = interval)]
    pub interval: Duration,
    /// Where to ask.
    #[command(flatten)]
    pub server: Server,
}

/// A pause that a server does not feel.
fn interval(text: &str) -> Result<Duration, String> {
    const SHORTEST: Duration = Duration::from_millis(100);
    let length = Duration::from_nanos(crate::model::settings::Span::parse(text)?.0);
    match length >= SHORTEST {
        true => Ok(length),
        false => Err("at least 100ms".to_owned()),
    }
}

/// `doctor`.
#[derive(Clone, Debug, ClapArgs)]
pub struct Doctor {
    /// OTLP files (.pb, .json), one stream; without any a server or a folder is asked.
    #[arg(value_name = "FILE", conflicts_with_all = ["server", "data"])]
    pub files: Vec<PathBuf>,
    /// The config file for files, for mapping and experiments.
    #[arg(long, value_name = "FILE", env = "ARMSPAN_CONFIG")]
    pub config: Option<PathBuf>,
    /// Where to ask.
    #[command(flatten)]
    pub server: Server,
}

/// `plan`.
#[derive(Clone, Debug, ClapArgs)]
#[command(group(clap::ArgGroup::new("size").required(true).args(["effect", "margin"])))]
#[command(group(clap::ArgGroup::new("spread").required(true).args(["baseline", "sd"])))]
pub struct Plan {
    /// Control's level of a share or rate, such as 0.8.
    #[arg(long, value_name = "SHARE")]
    pub baseline: Option<f64>,
    /// Standard deviation of a unit's value, for a metric that is no share.
    #[arg(long, value_name = "NUMBER")]
    pub sd: Option<f64>,
    /// The smallest difference that matters, in the unit of the metric.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub effect: Option<f64>,
    /// By how much it may be worse than control: until it is known to be less.
    #[arg(long, value_name = "NUMBER")]
    pub margin: Option<f64>,
    /// Users, sessions or what is randomised, both arms together.
    #[arg(long, value_name = "NUMBER")]
    pub units_per_day: Option<f64>,
    /// Chance of a false claim over the whole experiment.
    #[arg(long, default_value_t = 0.05)]
    pub alpha: f64,
    /// Claims that share it: metrics of the family times arms beside control.
    #[arg(long, default_value_t = 1)]
    pub claims: u32,
    /// Chance to decide; several are told without it.
    #[arg(long, value_name = "SHARE")]
    pub power: Option<f64>,
    /// Share of the arm among its units and control's.
    #[arg(long, default_value_t = 0.5)]
    pub share: f64,
}
