//! `tillwatch release`: a rejected request, judged by the present settings, and sent on if it is believed.

use std::process::ExitCode;

use clap::Args;
use http::Method;
use serde::Deserialize;

use super::client::{Api, StackArgs};
use super::error::Error;
use super::output::{self, printable};
use super::shell::program;

/// Which request to release.
#[derive(Debug, Args)]
#[command(after_help = "Example: tillwatch release req_019ab2c3d4e5f60718293a4b5c6d7e8f\n\n\
                        Many at once: tillwatch replay start --status rejected --cause wrong_signature")]
pub struct ReleaseArgs {
    /// The request's id, as `tillwatch events --status rejected` lists it
    id: String,
    /// Whose it is; without it, every provider is asked
    #[arg(long)]
    provider: Option<String>,
    #[command(flatten)]
    stack: StackArgs,
}

#[derive(Deserialize)]
struct Released {
    id: String,
}

pub(super) async fn run(args: &ReleaseArgs) -> Result<ExitCode, Error> {
    let api = Api::new(&args.stack)?;
    let released: Released =
        api.on_delivery(Method::POST, "release", args.provider.as_deref(), &args.id).await?;
    let id = printable(&released.id);
    let (program, options) = (program(), args.stack.options());
    output::line(format_args!(
        "{id} is believed now, and queued. See what comes of it:\n  {program} show {id}{options}"
    ))?;
    Ok(ExitCode::SUCCESS)
}
