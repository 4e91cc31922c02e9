//! Commands and flags.

mod server;
mod tools;

pub use server::{GlobalServer, Server};
pub use tools::{Doctor, Plan, Watch};

use super::demo::scenario::Scenario;
use super::examples;
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// An OpenTelemetry collector for online evals: what each traffic arm served, how good it was,
/// what it cost.
#[derive(Clone, Debug, Parser)]
#[command(name = "armspan", version, disable_version_flag = true, max_term_width = 100)]
#[command(arg_required_else_help = true, infer_long_args = true)]
pub struct Args {
    /// How to print data.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    pub output: Format,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How data is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// The whole document.
    Json,
    /// One JSON document a line.
    Jsonl,
    /// A table for a pull request.
    Markdown,
    /// A table for a spreadsheet.
    Csv,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Collect: receive OTLP, show arms, write run records
    #[command(after_help = examples::SERVE)]
    Serve(Serve),
    /// Show everything with seeded traffic; writes to a temporary folder only
    #[command(after_help = examples::DEMO)]
    Demo(Demo),
    /// Say what is wrong with a config, and where
    #[command(after_help = examples::CHECK)]
    Check(Check),
    /// What is received, waiting and rejected, and what to do about it
    #[command(after_help = examples::STATUS)]
    Status(Server),
    /// What each service and SDK leaves out, and the line that adds it
    #[command(after_help = examples::DOCTOR)]
    Doctor(Doctor),
    /// Sample size and days for an effect
    #[command(after_help = examples::PLAN)]
    Plan(Plan),
    /// How each span of OTLP files was understood, and why
    #[command(after_help = examples::EXPLAIN)]
    Explain(Files),
    /// Arms of an experiment
    Arms {
        /// What about them.
        #[command(subcommand)]
        command: Arms,
    },
    /// Experiments
    Experiments {
        /// What about them.
        #[command(subcommand)]
        command: Experiments,
    },
    /// Run records
    Runs {
        /// What about them.
        #[command(subcommand)]
        command: Runs,
    },
    /// Whether an experiment may ship: exit code 0, 10 (fails), 11 (not decided), 12 (cannot say)
    #[command(after_help = examples::GATE)]
    Gate(super::gate::Args),
    /// An experiment as a comment for a pull request, a page, JUnit XML or JSON
    #[command(after_help = examples::REPORT)]
    Report(super::report::Args),
    /// Drive the engine from OTLP files or from our own log
    #[command(after_help = examples::REPLAY)]
    Replay(Replay),
    /// Deliver run records to a tool, or print them; what is there already stays as it is
    #[command(after_help = examples::EXPORT)]
    Export(Export),
    /// Send made-up spans to a receiver, and say how fast it acknowledges them
    #[command(hide = true, after_help = examples::BENCH)]
    Bench(super::bench::Args),
    /// Print completions for a shell
    #[command(after_help = examples::COMPLETIONS)]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Write a manual page for each command
    #[command(after_help = examples::MAN)]
    Man {
        /// Into this folder, such as ~/.local/share/man/man1.
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
    /// Make a bearer token, and the hash of it that the config wants
    #[command(after_help = examples::TOKEN)]
    Token,
    /// Print the version
    Version,
}

/// `serve`.
#[derive(Clone, Debug, Default, ClapArgs)]
pub struct Serve {
    /// The config file.
    #[arg(long, value_name = "FILE", env = "ARMSPAN_CONFIG")]
    pub config: Option<PathBuf>,
    /// The folder of log, snapshots and records.
    #[arg(long, value_name = "DIR")]
    pub data: Option<String>,
    /// Where to take OTLP over gRPC.
    #[arg(long, value_name = "ADDRESS")]
    pub listen_grpc: Option<String>,
    /// Where to take OTLP over HTTP.
    #[arg(long, value_name = "ADDRESS")]
    pub listen_http: Option<String>,
    /// Where to serve pages, API and metrics.
    #[arg(long, value_name = "ADDRESS")]
    pub listen_web: Option<String>,
    /// Listen on other than loopback addresses although there are no credentials.
    #[arg(long)]
    pub allow_remote: bool,
    /// error, warn, info, debug, trace, or a filter.
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// Start although the log is damaged or has a gap, losing what the message names.
    #[arg(long)]
    pub accept_loss: bool,
}

/// `demo`.
#[derive(Clone, Debug, ClapArgs)]
pub struct Demo {
    /// What happens.
    #[arg(long, value_enum, default_value_t)]
    pub scenario: Scenario,
    /// The same seed gives the same traffic.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Replay the history, print the table, exit.
    #[arg(long)]
    pub once: bool,
}

/// `check`.
#[derive(Clone, Debug, Default, ClapArgs)]
pub struct Check {
    /// The config file.
    #[arg(long, value_name = "FILE", env = "ARMSPAN_CONFIG")]
    pub config: Option<PathBuf>,
    /// Print the config with all defaults, secrets hidden.
    #[arg(long, conflicts_with_all = ["print_schema", "dry_run"])]
    pub print_effective: bool,
    /// Print the JSON Schema of the config file.
    #[arg(long, conflicts_with = "dry_run")]
    pub print_schema: bool,
    /// Try it on OTLP files: what it names that is not in them is an error.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub dry_run: Vec<PathBuf>,
}

/// OTLP files.
#[derive(Clone, Debug, ClapArgs)]
pub struct Files {
    /// OTLP files (.pb, .json); several are one stream.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The config file, for mapping and experiments.
    #[arg(long, value_name = "FILE", env = "ARMSPAN_CONFIG")]
    pub config: Option<PathBuf>,
}

/// `replay`.
#[derive(Clone, Debug, ClapArgs)]
pub struct Replay {
    /// What to replay.
    #[command(flatten)]
    pub files: Files,
    /// Print the run records as JSONL after every wait expired.
    #[arg(long)]
    pub records: bool,
}

/// `arms`.
#[derive(Clone, Debug, Subcommand)]
pub enum Arms {
    /// The arms table
    #[command(after_help = examples::ARMS_STATUS)]
    Status {
        /// Which experiment.
        experiment: String,
        /// Where to ask.
        #[command(flatten)]
        server: Server,
    },
    /// The arms as they go on: a screen on a terminal, a line per change elsewhere
    #[command(after_help = examples::ARMS_WATCH)]
    Watch(Watch),
}

/// `experiments`.
#[derive(Clone, Debug, Subcommand)]
pub enum Experiments {
    /// List experiments
    #[command(after_help = examples::EXPERIMENTS_LIST)]
    List {
        /// Where to ask.
        #[command(flatten)]
        server: Server,
    },
}

/// `runs`.
#[derive(Clone, Debug, Subcommand)]
pub enum Runs {
    /// List runs
    #[command(after_help = examples::RUNS_LIST)]
    List {
        /// Only of this experiment.
        #[arg(long)]
        experiment: Option<String>,
        /// Only of this arm.
        #[arg(long)]
        arm: Option<String>,
        /// Only of this site.
        #[arg(long)]
        site: Option<String>,
        /// Where to ask.
        #[command(flatten)]
        server: Server,
    },
    /// Show one run
    #[command(after_help = examples::RUNS_SHOW)]
    Show {
        /// Its id, or the first digits of it.
        run: String,
        /// Where to ask.
        #[command(flatten)]
        server: Server,
    },
    /// What differs between two runs, by how much, and what that may be put down to
    #[command(after_help = examples::RUNS_COMPARE)]
    Compare {
        /// Id of the first run, or the first digits of it.
        a: String,
        /// Id of the second; differences are the second minus the first.
        b: String,
        /// Where to ask.
        #[command(flatten)]
        server: Server,
    },
}

/// `export`.
#[derive(Clone, Debug, ClapArgs)]
pub struct Export {
    /// Which records.
    #[command(flatten)]
    pub range: ExportRange,
    /// To which tool.
    #[command(subcommand)]
    pub kind: ExportKind,
}

/// Which records an export takes, and from where.
#[derive(Clone, Debug, Default, ClapArgs)]
pub struct ExportRange {
    /// Only what was recorded from then on: RFC 3339, a day, or 24h for that long ago.
    #[arg(long, global = true, value_name = "TIME")]
    pub from: Option<String>,
    /// Only what was recorded until then; else records are made as of now, too.
    #[arg(long, global = true, value_name = "TIME")]
    pub to: Option<String>,
    /// Only of this experiment.
    #[arg(long, global = true)]
    pub experiment: Option<String>,
    /// Take the settings of all sinks of the kind from this config file.
    #[arg(long, global = true, value_name = "FILE", env = "ARMSPAN_CONFIG")]
    pub config: Option<PathBuf>,
    /// Where to ask.
    #[command(flatten)]
    pub server: GlobalServer,
}

/// To which tool.
#[derive(Clone, Debug, Subcommand)]
pub enum ExportKind {
    /// How each sink of a running server does
    Status,
    /// One of the tools.
    #[command(flatten)]
    Sink(crate::sink::Config),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_commands_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_misspelt_command_is_a_usage_error_with_the_near_one() {
        let error = Args::try_parse_from(["armspan", "statsu"]).expect_err("unknown");
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("'status'"), "{error}");
    }

    #[test]
    fn output_may_stand_anywhere() {
        for words in [["armspan", "-o", "json", "status"], ["armspan", "status", "-o", "json"]] {
            assert_eq!(Args::try_parse_from(words).expect("args").output, Format::Json);
        }
    }
}
