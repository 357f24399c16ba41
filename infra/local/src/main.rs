//! The `tillwatch` command.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Keeps every webhook of your point-of-sale, payment and messaging providers, and makes each take effect exactly once.
#[derive(Parser)]
#[command(version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything on this machine.
    Serve(tillwatch::serve::Arguments),
    #[command(flatten)]
    Tool(Box<tillwatch::cli::Command>),
}

#[tokio::main]
async fn main() -> ExitCode {
    match Arguments::parse_from(with_default_command()).command {
        Command::Serve(arguments) => tillwatch::serve::run(arguments).await,
        Command::Tool(command) => tillwatch::cli::run(*command).await,
    }
}

/// `tillwatch` alone starts everything.
fn with_default_command() -> Vec<std::ffi::OsString> {
    let mut arguments: Vec<_> = std::env::args_os().collect();
    if arguments.len() == 1 {
        arguments.push("serve".into());
    }
    arguments
}
