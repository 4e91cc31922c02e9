//! The command line: stdout is data, stderr is talk. Exit codes are those of `design.md`:
//! 0 pass, 1 error, 2 usage, 10 gate failed, 11 inconclusive, 12 evidence insufficient or invalid,
//! 74 disk failed, 130 interrupted.

pub mod args;
mod bench;
mod check;
mod client;
mod compare;

pub mod demo;
mod doctor;
mod dry_run;
mod examples;
mod explain;
mod export;
mod gate;
mod limits;
mod man;
mod plan;
pub mod print;
mod progress;
pub mod read;
mod replay;
mod report;
mod serve;
mod token;
mod watch;

use anyhow::Result;
use args::{Args, Arms, Command, Experiments, Runs};
use clap::CommandFactory;
use print::Data;
use read::Client;
use std::io::{Write, stderr, stdout};
use std::process::ExitCode;

/// Something went wrong.
pub const ERROR: u8 = 1;

/// Interrupted by a signal.
pub const INTERRUPTED: u8 = 130;

/// The disk failed.
pub const DISK_FAILED: u8 = 74;

/// Runs a command to its end.
pub fn run(args: &Args) -> ExitCode {
    limits::set();
    match dispatch(args) {
        Ok(code) => code,
        // A reader that has seen enough, such as `head`, is no error.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(stderr(), "error: {}", told(&error));
            ExitCode::from(ERROR)
        }
    }
}

/// An error with its causes; one that already ends in its cause does not say it twice.
fn told(error: &anyhow::Error) -> String {
    let causes = error.chain().skip(1).map(ToString::to_string);
    causes.fold(error.to_string(), |text, cause| match text.ends_with(&cause) {
        true => text,
        false => format!("{text}: {cause}"),
    })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn dispatch(args: &Args) -> Result<ExitCode> {
    match &args.command {
        Command::Serve(serve) => return serve::serve(serve, args.output),
        Command::Demo(demo) => return demo::demo(demo, args.output),
        Command::Explain(files) => return explain::explain(files, args.output),
        Command::Bench(load) => return bench::bench(load, args.output),
        Command::Replay(replay) => return replay::replay(replay, args.output),
        Command::Check(check) => {
            return check::check(check, args.output, &mut stdout().lock(), &mut stderr());
        }
        Command::Plan(plan) => print_data(args, &plan::plan(plan)?)?,
        Command::Token => print_data(args, &token::token()?)?,
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Args::command(), "armspan", &mut stdout());
        }
        Command::Man { dir } => {
            let pages = man::write(Args::command(), dir)?;
            let first = pages.first().map(|path| path.display().to_string()).unwrap_or_default();
            writeln!(stderr(), "{} pages; read one with `man {first}`", pages.len())?;
        }
        Command::Version => writeln!(stdout(), "armspan {}", env!("CARGO_PKG_VERSION"))?,
        Command::Export(export) => {
            return runtime()?.block_on(export::export(export, args.output));
        }
        Command::Gate(gate) => return runtime()?.block_on(gate::gate(gate, args.output)),
        Command::Report(report) => runtime()?.block_on(report::report(report))?,
        Command::Arms { command: Arms::Watch(watch) } => {
            return runtime()?.block_on(watch::watch(watch, args.output));
        }
        Command::Status(_)
        | Command::Doctor(_)
        | Command::Arms { .. }
        | Command::Experiments { .. }
        | Command::Runs { .. } => {
            let data = runtime()?.block_on(ask(&args.command))?;
            print_data(args, &data)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print_data(args: &Args, data: &Data) -> Result<()> {
    let mut out = stdout().lock();
    print::print(data, args.output, &mut out)?;
    Ok(out.flush()?)
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

async fn ask(command: &Command) -> Result<Data> {
    match command {
        Command::Status(server) => read::status(&Client::new(server)?).await,
        Command::Doctor(args) => doctor::doctor(args).await,
        Command::Arms { command: Arms::Status { experiment, server } } => {
            read::arms(&Client::new(server)?, experiment).await
        }
        Command::Experiments { command: Experiments::List { server } } => {
            read::experiments(&Client::new(server)?).await
        }
        Command::Runs { command: Runs::List { experiment, arm, site, server } } => {
            let filters = [("experiment", experiment), ("arm", arm), ("site", site)];
            read::runs(&Client::new(server)?, &filters).await
        }
        Command::Runs { command: Runs::Show { run, server } } => {
            read::run(&Client::new(server)?, run).await
        }
        Command::Runs { command: Runs::Compare { a, b, server } } => {
            compare::compare(&Client::new(server)?, a, b).await
        }
        _ => Ok(Data::default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn a_cause_is_told_once() {
        let inner = std::io::Error::other("no space");
        let error = anyhow::Error::new(inner).context("cannot write: no space").context("stopped");
        assert_eq!(told(&error), "stopped: cannot write: no space");
        assert_eq!(told(&anyhow::anyhow!("a").context("b")), "b: a");
    }

    #[test]
    fn a_server_that_is_not_there_is_an_error_that_says_what_to_do() {
        let args = ["armspan", "status", "--server", "127.0.0.1:1"];
        let error = dispatch(&Args::try_parse_from(args).expect("args")).expect_err("unreachable");
        assert!(format!("{error:#}").contains("armspan serve"), "{error:#}");
    }
}
