//! The operator's tools: sending samples, checking signatures, and looking at what a stack does, here or in the cloud.
//!
//! One file a command. They speak to a stack by its HTTP API alone ([`client`]) and to the operator through [`output`].

mod client;
mod config;
mod connections;
mod error;
mod events;
mod hints;
mod json;
mod known;
mod mix;
mod output;
mod pause;
mod reconcile;
mod release;
mod replay;
mod retry;
mod rotate;
pub(crate) mod secrets;
mod send;
pub(crate) mod shell;
mod show;
pub(crate) mod stack;
mod status;
mod subscriptions;
mod summary;
mod table;
mod tokens;
mod verify;

use std::process::ExitCode;

use clap::Subcommand;

pub use config::ConfigArgs;
pub use connections::ConnectionsArgs;
pub use events::EventsArgs;
pub use pause::PauseArgs;
pub use reconcile::ReconcileArgs;
pub use release::ReleaseArgs;
pub use replay::ReplayCommand;
pub use retry::RetryArgs;
pub use rotate::{RotateArgs, VaultArgs};
pub use send::SendArgs;
pub use show::ShowArgs;
pub use status::StatusArgs;
pub use subscriptions::SubscriptionsArgs;
pub use tokens::TokensArgs;
pub use verify::VerifyArgs;

/// What an operator can do beside running a stack.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tell whether each connection works, since when, whose fault it is if not, and what to do
    Status(StatusArgs),
    /// Send webhooks of a provider's shape, really signed
    Send(SendArgs),
    /// Check the signature of captured requests, and say why one is rejected
    Verify(VerifyArgs),
    /// List what arrived and what became of it, newest first
    Events(EventsArgs),
    /// Show one delivery: its request, event, timings and records
    Show(ShowArgs),
    /// Try an event again that took no effect
    Retry(RetryArgs),
    /// Judge a rejected request anew, and let it take effect if it is believed now
    Release(ReleaseArgs),
    /// Send again, or release, all that a filter names
    #[command(subcommand)]
    Replay(ReplayCommand),
    /// Ask a connection's provider what has happened, and fetch what no webhook told of
    Reconcile(ReconcileArgs),
    /// Hold the events of a provider, or of one connection, until it is resumed
    Pause(PauseArgs),
    /// End a pause, and let what was held take effect
    Resume(PauseArgs),
    /// Check the file that describes locations and connections, and bring it into force
    Config(ConfigArgs),
    /// List connections, show and try one
    Connections(ConnectionsArgs),
    /// Give webhooks a new secret, with the old ones live for a while
    Rotate(RotateArgs),
    /// Give the vault, which seals secrets, new keys
    Vault(VaultArgs),
    /// The webhook subscriptions at the providers: list, make, test and mend them
    Subscriptions(SubscriptionsArgs),
    /// The connections' tokens: how they stand, and having them refreshed
    Tokens(TokensArgs),
}

/// Runs a command to its end. What goes wrong is said on stderr, and the exit code is 1.
pub async fn run(command: Command) -> ExitCode {
    let done = match command {
        Command::Status(args) => status::run(&args).await,
        Command::Send(args) => send::run(&args).await,
        Command::Verify(args) => verify::run(&args),
        Command::Events(args) => events::run(&args).await,
        Command::Show(args) => show::run(&args).await,
        Command::Retry(args) => retry::run(&args).await,
        Command::Release(args) => release::run(&args).await,
        Command::Replay(command) => replay::run(&command).await,
        Command::Reconcile(args) => reconcile::run(&args).await,
        Command::Pause(args) => pause::run(&args, true).await,
        Command::Resume(args) => pause::run(&args, false).await,
        Command::Config(args) => config::run(&args).await,
        Command::Connections(args) => connections::run(&args).await,
        Command::Rotate(args) => rotate::run(&args).await,
        Command::Vault(args) => rotate::vault(&args).await,
        Command::Subscriptions(args) => subscriptions::run(&args).await,
        Command::Tokens(args) => tokens::run(&args).await,
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
