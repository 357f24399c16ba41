//! The operator's tools: sending samples, checking signatures, and looking at what a stack does, here or in the cloud.
//!
//! One file a command. They speak to a stack by its HTTP API alone ([`client`]) and to the operator through [`output`].

mod client;
mod error;
mod events;
mod hints;
mod json;
mod known;
mod mix;
mod output;
mod retry;
pub(crate) mod secrets;
mod send;
pub(crate) mod shell;
mod show;
pub(crate) mod stack;
mod summary;
mod table;
mod verify;

use std::process::ExitCode;

use clap::Subcommand;

pub use events::EventsArgs;
pub use retry::RetryArgs;
pub use send::SendArgs;
pub use show::ShowArgs;
pub use verify::VerifyArgs;

/// What an operator can do beside running a stack.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send webhooks of a provider's shape, really signed
    Send(SendArgs),
    /// Check the signature of captured requests, and say why one is rejected
    Verify(VerifyArgs),
    /// List what arrived and what became of it, newest first
    Events(EventsArgs),
    /// Show one delivery: its request, event, timings and records
    Show(ShowArgs),
    /// Try a parked or failed event again
    Retry(RetryArgs),
}

/// Runs a command to its end. What goes wrong is said on stderr, and the exit code is 1.
pub async fn run(command: Command) -> ExitCode {
    let done = match command {
        Command::Send(args) => send::run(&args).await,
        Command::Verify(args) => verify::run(&args),
        Command::Events(args) => events::run(&args).await,
        Command::Show(args) => show::run(&args).await,
        Command::Retry(args) => retry::run(&args).await,
    };
    match done {
        Ok(code) => code,
        Err(error) if error.is_closed_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            output::note(format_args!("tillwatch: {error}"));
            ExitCode::FAILURE
        }
    }
}
