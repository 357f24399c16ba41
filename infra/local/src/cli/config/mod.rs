//! `tillwatch config`: the file that describes businesses, locations and connections, checked, compared with a stack, and
//! brought into force.

mod apply;
mod export;
mod finding;
mod load;
mod placeholder;
mod plan;
mod read;
mod requests;
mod tree;
mod write;

use std::fmt;
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use tillwatch_domain::location::Configuration;
use tillwatch_platform::config;
use tillwatch_workflows::configuration::did_you_mean;

use super::client::{Api, StackArgs};
use super::error::Error;
use super::output::{self, Paint, counted};
use finding::{shown, summary};
use load::load;
use plan::Plan;

/// What to do with a configuration.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Say everything that is wrong with a file, each with its line and column
    Check(CheckArgs),
    /// Say what a file would change at a stack, and change nothing
    Plan(PlanArgs),
    /// Bring a file into force at a stack, after its plan
    Apply(ApplyArgs),
    /// Write a stack's configuration as a file, with variables in the place of secrets
    Export(ExportArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Example: tillwatch config check locations.yaml")]
struct CheckArgs {
    /// The file, or - for stdin
    file: PathBuf,
    /// Do without the environment variables that the file names
    #[arg(long)]
    no_env: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: tillwatch config plan locations.yaml --only harbour hill")]
struct PlanArgs {
    /// The file, or - for stdin
    file: PathBuf,
    /// Only these locations, by their ids, and the businesses that they belong to
    #[arg(long, value_name = "LOCATION", num_args = 1..)]
    only: Vec<String>,
    #[command(flatten)]
    stack: StackArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: tillwatch config apply locations.yaml --only harbour")]
struct ApplyArgs {
    #[command(flatten)]
    plan: PlanArgs,
    /// Don't ask before anything is changed
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: tillwatch config export --output locations.yaml")]
struct ExportArgs {
    /// The file to write, which must not be there yet. Without it, stdout
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    stack: StackArgs,
}

/// A stack that could not answer, in the middle of it.
#[derive(Debug)]
pub(super) struct Stopped {
    /// What was sent.
    at: String,
    cause: String,
    /// How many entries were applied before; none, if nothing was to be.
    applied: Option<usize>,
    /// The entries that were not, or perhaps not.
    left: Vec<String>,
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMED: usize = 10;
        write!(f, "stopped at {}: {}", self.at, self.cause)?;
        let Some(applied) = self.applied else { return f.write_str("\nNothing was changed.") };
        let named: Vec<_> = self.left.iter().take(NAMED).map(String::as_str).collect();
        write!(f, "\n{applied} applied; {} not, or not for certain: {}", self.left.len(), named.join(", "))?;
        if self.left.len() > NAMED {
            write!(f, " and {} more", self.left.len() - NAMED)?;
        }
        f.write_str("\nRun the same again: what is applied stays as it is.")
    }
}

pub(super) async fn run(args: &ConfigArgs) -> Result<ExitCode, Error> {
    let done = match &args.command {
        ConfigCommand::Check(args) => check(args)?,
        ConfigCommand::Plan(args) => {
            let api = Arc::new(Api::at_once(&args.stack, requests::AT_ONCE)?);
            planned(&api, args).await?.is_some_and(|plan| plan.refused == 0)
        }
        ConfigCommand::Apply(args) => applied(args).await?,
        ConfigCommand::Export(args) => exported(args).await?,
    };
    Ok(if done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check(args: &CheckArgs) -> Result<bool, Error> {
    let Some(configuration) = loaded(&args.file, !args.no_env)? else { return Ok(false) };
    let of_locations = configuration.locations.iter().map(|location| location.providers.len());
    let connections = of_locations.sum::<usize>() + configuration.connections.len();
    let locations = counted(configuration.locations.len() as u64, "location");
    let connections = counted(connections as u64, "connection");
    output::line(format_args!("{} can be applied: {locations}, {connections}.", args.file.display()))?;
    Ok(true)
}

/// The plan of a file, printed. None, if the file is wrong.
async fn planned(api: &Arc<Api>, args: &PlanArgs) -> Result<Option<Plan>, Error> {
    let Some(configuration) = loaded(&args.file, true)? else { return Ok(None) };
    let ids = || configuration.locations.iter().map(|location| location.id.as_str());
    for only in &args.only {
        if !ids().any(|id| id == only) {
            let meant = did_you_mean(only, ids()).map(|meant| format!(". {meant}")).unwrap_or_default();
            output::note(format_args!(
                "tillwatch: {} has no location \"{only}\"{meant}",
                args.file.display()
            ));
            return Ok(None);
        }
    }
    let requests = requests::requests(&configuration, &args.only);
    let plan = plan::plan(api, requests, Paint::stdout()).await?;
    if !args.only.is_empty() && configuration.locations.len() > args.only.len() {
        output::note(
            "What the file says of other locations, of providers and of whole businesses is left out.",
        );
    }
    Ok(Some(plan))
}

async fn applied(args: &ApplyArgs) -> Result<bool, Error> {
    let api = Arc::new(Api::at_once(&args.plan.stack, requests::AT_ONCE)?);
    let Some(plan) = planned(&api, &args.plan).await? else { return Ok(false) };
    if plan.refused > 0 {
        output::note("Nothing was applied, for the stack refuses a part of it.");
        return Ok(false);
    }
    if !args.yes && !plan.changing.is_empty() {
        match apply::asked("Apply this?")? {
            Some(true) => {}
            Some(false) => {
                output::note("Nothing was applied.");
                return Ok(false);
            }
            None => {
                output::note("tillwatch: there is no terminal to ask at. Say --yes to apply this");
                return Ok(false);
            }
        }
    }
    apply::apply(&api, plan, args.plan.only.is_empty(), Paint::stdout()).await
}

async fn exported(args: &ExportArgs) -> Result<bool, Error> {
    let api = Api::new(&args.stack)?;
    let text = export::export(&api).await?.text().map_err(std::io::Error::from)?;
    let Some(path) = &args.output else {
        output::bytes(text.as_bytes())?;
        return Ok(true);
    };
    // A file that is there may be somebody's work.
    let created = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    created
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|source| Error::NotWritten { path: path.clone(), source })?;
    output::note(format_args!("{} is written.", path.display()));
    Ok(true)
}

/// The configuration of a file, after everything that is wrong with it is said. None, if it can't be applied.
fn loaded(file: &Path, with_environment: bool) -> Result<Option<Configuration>, Error> {
    let bytes = bytes(file).map_err(|source| Error::File { path: file.to_owned(), source })?;
    let environment: &dyn Fn(&str) -> Option<String> = &config::optional;
    let loaded = load(&bytes, with_environment.then_some(environment));
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.trim_start_matches('\u{feff}').lines().collect();
    let (name, paint) = (file.to_string_lossy(), Paint::stdout());
    for finding in &loaded.findings {
        output::line(shown(&name, &lines, finding, &loaded.hidden, paint))?;
    }
    if let Some(summary) = summary(&loaded.findings) {
        let more =
            if loaded.more > 0 { format!(", and {} more mistakes", loaded.more) } else { String::new() };
        output::note(format_args!("{summary}{more} in {}.", file.display()));
    }
    Ok((!loaded.is_wrong()).then_some(loaded.configuration))
}

/// The file's bytes. Of one that is too large, enough to see that it is.
fn bytes(file: &Path) -> std::io::Result<Vec<u8>> {
    let source: Box<dyn std::io::Read> = if file.as_os_str() == "-" {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(file)?)
    };
    let mut bytes = Vec::new();
    source.take(tree::LARGEST as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A bar on a terminal, and nothing elsewhere.
fn bar(length: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {human_pos}/{human_len}  {elapsed} gone, {eta} left");
    ProgressBar::new(length as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

#[cfg(test)]
mod tests;
