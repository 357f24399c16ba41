//! `tillwatch rotate`: a new webhook secret, with the old ones live for a while; and `tillwatch vault`: new keys for what
//! seals secrets.

use std::io::Read as _;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum, value_parser};
use serde::Deserialize;
use serde_json::json;
use tillwatch_platform::vault::KeyRing;

use super::client::{Api, StackArgs};
use super::error::Error;
use super::known::{self, Known};
use super::output::{self, printable};

/// Whose secret to rotate.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tillwatch rotate square --key - < new-key\n  \
                        tillwatch rotate --connection harbour-odoo --overlap 48")]
pub struct RotateArgs {
    /// The provider, for the secret that all its connections share
    #[arg(value_parser = known::parser(), required_unless_present = "connection", conflicts_with = "connection")]
    provider: Option<Known>,
    /// The connection, for a secret of its own
    #[arg(long, value_name = "ID")]
    connection: Option<String>,
    /// Which kind of secret; without it, the kind that the provider's webhooks are proved by
    #[arg(long)]
    kind: Option<KindArg>,
    /// The new secret, where the provider made it; `-` reads it from standard input, where no history keeps it. Without
    /// it, one is made and told once
    #[arg(long, allow_hyphen_values = true)]
    key: Option<String>,
    /// For how many hours the old ones stay live
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = value_parser!(u64).range(0..=720))]
    overlap: u64,
    #[command(flatten)]
    stack: StackArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum KindArg {
    SigningKey,
    UrlKey,
    VerifyToken,
}

#[derive(Deserialize)]
struct Rotated {
    key: String,
    issued: Option<String>,
    live: Vec<Live>,
}

#[derive(Deserialize)]
struct Live {
    kind: String,
    key: String,
    until: Option<String>,
}

pub(super) async fn run(args: &RotateArgs) -> Result<ExitCode, Error> {
    let key = match args.key.as_deref() {
        Some("-") => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            Some(text.trim().to_owned())
        }
        key => key.map(str::to_owned),
    };
    let kind = args.kind.map(|kind| match kind {
        KindArg::SigningKey => "signing_key",
        KindArg::UrlKey => "url_key",
        KindArg::VerifyToken => "verify_token",
    });
    let body = json!({"kind": kind, "key": key, "overlap_seconds": args.overlap * 3_600}).to_string();
    let api = Api::new(&args.stack)?;
    let path = match (&args.connection, args.provider) {
        (Some(id), _) => ["connections", id.as_str(), "rotate-secret"],
        (None, Some(provider)) => ["providers", provider.0.name(), "rotate-secret"],
        (None, None) => return Ok(ExitCode::FAILURE),
    };
    let rotated: Rotated = api.post(&path, &[], body.as_bytes()).await?;
    output::line(format_args!("The newest secret is {}.", printable(&rotated.key)))?;
    if let Some(issued) = &rotated.issued {
        output::line(format_args!("Told only now: {}", printable(issued)))?;
    }
    for live in &rotated.live {
        let until = live.until.as_deref().map_or_else(String::new, |until| format!(" until {until}"));
        let (kind, key) = (printable(&live.kind), printable(&live.key));
        output::line(format_args!("  {kind} {key}, live{until}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What to do with what seals secrets.
#[derive(Debug, Args)]
#[command(after_help = "Example: tillwatch vault rotate tokens")]
pub struct VaultArgs {
    #[command(subcommand)]
    action: VaultAction,
}

#[derive(Debug, Subcommand)]
enum VaultAction {
    /// Put a new key on a ring, and seal anew what older keys sealed
    Rotate(RingArgs),
    /// Seal anew what older keys of a ring sealed
    Reseal(RingArgs),
    /// Print a new ring with one random key, for a secrets file
    NewRing,
}

#[derive(Debug, Args)]
struct RingArgs {
    /// Which ring
    ring: Ring,
    #[command(flatten)]
    stack: StackArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Ring {
    /// What seals webhook secrets
    Webhooks,
    /// What seals tokens
    Tokens,
}

impl Ring {
    fn name(self) -> &'static str {
        match self {
            Self::Webhooks => "webhooks",
            Self::Tokens => "tokens",
        }
    }
}

#[derive(Deserialize)]
struct RingRotated {
    key: String,
}

#[derive(Deserialize)]
struct Resealed {
    #[serde(rename = "resealed")]
    count: u64,
    unopenable: Vec<String>,
    next: Option<String>,
}

pub(super) async fn vault(args: &VaultArgs) -> Result<ExitCode, Error> {
    match &args.action {
        VaultAction::NewRing => {
            output::line(KeyRing::generate())?;
            Ok(ExitCode::SUCCESS)
        }
        VaultAction::Rotate(args) => {
            let api = Api::new(&args.stack)?;
            let rotated: RingRotated = api.post(&["vault", args.ring.name(), "rotate"], &[], b"{}").await?;
            output::line(format_args!("The key {} seals from now on.", printable(&rotated.key)))?;
            reseal(&api, args.ring).await
        }
        VaultAction::Reseal(args) => reseal(&Api::new(&args.stack)?, args.ring).await,
    }
}

async fn reseal(api: &Api, ring: Ring) -> Result<ExitCode, Error> {
    let (mut resealed, mut unopenable, mut cursor) = (0, Vec::new(), None::<String>);
    loop {
        let query: Vec<_> = cursor.as_deref().map(|cursor| ("cursor", cursor)).into_iter().collect();
        let done: Resealed = api.post(&["vault", ring.name(), "reseal"], &query, b"{}").await?;
        resealed += done.count;
        unopenable.extend(done.unopenable);
        cursor = done.next;
        if cursor.is_some() {
            continue;
        }
        output::line(format_args!("Sealed anew: {resealed} connections' secrets."))?;
        if unopenable.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        let all: Vec<_> = unopenable.iter().map(|id| printable(id)).collect();
        output::line(format_args!(
            "Not opened: {}. Put the key that sealed them back on the ring, or configure their secrets anew.",
            all.join(", ")
        ))?;
        return Ok(ExitCode::FAILURE);
    }
}
