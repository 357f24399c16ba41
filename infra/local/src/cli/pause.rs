//! `tillwatch pause` and `tillwatch resume`: a provider's, or one connection's, events are held and let go.

use std::process::ExitCode;

use clap::Args;
use serde::Deserialize;

use super::client::{Api, StackArgs};
use super::error::Error;
use super::output::{self, printable};
use super::shell::program;

/// What to pause, or resume.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tillwatch pause square\n  tillwatch resume --connection harbour-square")]
pub struct PauseArgs {
    /// The provider, with all its connections
    #[arg(required_unless_present = "connection", conflicts_with = "connection")]
    provider: Option<String>,
    /// One connection only
    #[arg(long, value_name = "ID")]
    connection: Option<String>,
    #[command(flatten)]
    stack: StackArgs,
}

#[derive(Deserialize)]
struct Paused {
    replays: Vec<String>,
}

pub(super) async fn run(args: &PauseArgs, pause: bool) -> Result<ExitCode, Error> {
    let api = Api::new(&args.stack)?;
    let (kind, name) = match (&args.connection, &args.provider) {
        (Some(id), _) => ("connections", id.as_str()),
        (None, provider) => ("providers", provider.as_deref().unwrap_or_default()),
    };
    let what = if pause { "pause" } else { "resume" };
    let paused: Paused = api.post(&[kind, name, what], &[], b"").await?;
    let (program, options, name) = (program(), args.stack.options(), printable(name));
    if pause {
        let flag = if args.connection.is_some() { "--connection " } else { "" };
        output::line(format_args!(
            "{name} is paused: its events are kept, and held until\n  {program} resume {flag}{name}{options}"
        ))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::line(format_args!("{name} is resumed, and what was held takes effect. See how far it is:"))?;
    for id in &paused.replays {
        output::line(format_args!("  {program} replay show {}{options}", printable(id)))?;
    }
    Ok(ExitCode::SUCCESS)
}
