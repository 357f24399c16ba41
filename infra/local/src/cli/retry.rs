//! `tillwatch retry`: an event that was parked, failed or held, tried again at once.

use std::process::ExitCode;

use clap::Args;
use http::Method;
use serde::Deserialize;

use super::client::{Api, StackArgs};
use super::error::Error;
use super::output::{self, printable};
use super::shell::program;

/// Which event to try again.
#[derive(Debug, Args)]
#[command(after_help = "Example: tillwatch retry evt_0123456789abcdef0123456789abcdef")]
pub struct RetryArgs {
    /// The delivery's id, as `tillwatch events` lists it
    id: String,
    /// Whose it is; without it, every provider is asked
    #[arg(long)]
    provider: Option<String>,
    #[command(flatten)]
    stack: StackArgs,
}

#[derive(Deserialize)]
struct Retried {
    id: String,
    status: String,
}

pub(super) async fn run(args: &RetryArgs) -> Result<ExitCode, Error> {
    let api = Api::new(&args.stack)?;
    let retried: Retried = api.on_delivery(Method::POST, "retry", args.provider.as_deref(), &args.id).await?;
    let (id, status) = (printable(&retried.id), printable(&retried.status));
    let (program, options) = (program(), args.stack.options());
    output::line(format_args!(
        "{id} is {status} to be tried again. See what comes of it:\n  {program} show {id}{options}"
    ))?;
    Ok(ExitCode::SUCCESS)
}
