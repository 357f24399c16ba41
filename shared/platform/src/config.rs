//! Configuration from the environment. The one place that reads it.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::connections::Unknown;

/// A variable that is missing or makes no sense. Start-up stops with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable {name} {problem}")]
pub struct ConfigError {
    /// The variable.
    pub name: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// The value of a variable, if it is set and not empty.
#[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
pub fn optional(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The value of a variable that must be set.
pub fn required(name: &str) -> Result<String, ConfigError> {
    optional(name).ok_or(ConfigError { name: name.to_owned(), problem: "is not set" })
}

/// A time in whole seconds, if the variable is set.
fn seconds(
    name: &str,
    allowed: RangeInclusive<u64>,
    problem: &'static str,
) -> Result<Option<Duration>, ConfigError> {
    let Some(text) = optional(name) else { return Ok(None) };
    match text.parse() {
        Ok(seconds) if allowed.contains(&seconds) => Ok(Some(Duration::from_secs(seconds))),
        _ => Err(ConfigError { name: name.to_owned(), problem }),
    }
}

/// What every function is told by the template. Each reads only what it needs.
#[derive(Debug, Clone, Copy)]
pub struct Environment;

impl Environment {
    /// Which deployment this is: `dev`, `staging`, `prod`. Part of the metrics' namespace.
    pub fn stage(self) -> String {
        optional("TILLWATCH_STAGE").unwrap_or_else(|| "dev".to_owned())
    }

    /// The least severe level that is logged, as in `info` or `tillwatch=debug`. A word that is no level is an error: it
    /// would be taken for the name of the only thing that is logged.
    pub fn log_level(self) -> Result<String, ConfigError> {
        const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
        let name = "TILLWATCH_LOG";
        let text = optional(name).unwrap_or_else(|| "info".to_owned());
        let level = |part: &str| {
            let word = part.rsplit('=').next().unwrap_or_default().trim();
            LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word))
        };
        if text.split(',').all(level) {
            return Ok(text);
        }
        let problem = "must be error, warn, info, debug, trace or off, or pairs such as tillwatch=debug";
        Err(ConfigError { name: name.to_owned(), problem })
    }

    /// How many attempts are made to process an event before it is parked; none: as many as by default.
    pub fn attempts(self) -> Result<Option<u32>, ConfigError> {
        let name = "TILLWATCH_ATTEMPTS";
        let Some(text) = optional(name) else { return Ok(None) };
        match text.parse() {
            Ok(attempts @ 1..=1_000) => Ok(Some(attempts)),
            _ => Err(ConfigError { name: name.to_owned(), problem: "must be a whole number from 1 to 1000" }),
        }
    }

    /// The URL of the queue of events.
    pub fn queue_url(self) -> Result<String, ConfigError> {
        required("TILLWATCH_QUEUE_URL")
    }

    /// The URL of the queue of dead letters.
    pub fn dead_letter_queue_url(self) -> Result<String, ConfigError> {
        required("TILLWATCH_DEAD_LETTER_QUEUE_URL")
    }

    /// The URL of the queue of checks.
    pub fn checks_queue_url(self) -> Result<String, ConfigError> {
        required("TILLWATCH_CHECKS_QUEUE_URL")
    }

    /// The URL of the queue of refreshes.
    pub fn refreshes_queue_url(self) -> Result<String, ConfigError> {
        required("TILLWATCH_REFRESHES_QUEUE_URL")
    }

    /// The URL of the queue of reconciliations.
    pub fn reconciliations_queue_url(self) -> Result<String, ConfigError> {
        required("TILLWATCH_RECONCILIATIONS_QUEUE_URL")
    }

    /// The time between two checks of a connection; none: as by default.
    pub fn check_every(self) -> Result<Option<Duration>, ConfigError> {
        seconds("TILLWATCH_CHECK_SECONDS", 10..=86_400, "must be a whole number from 10 to 86400")
    }

    /// The time between two comparisons of what has arrived with what a provider lists; none: as by default.
    pub fn reconcile_every(self) -> Result<Option<Duration>, ConfigError> {
        seconds("TILLWATCH_RECONCILE_SECONDS", 300..=86_400, "must be a whole number from 300 to 86400")
    }

    /// The table of events and records.
    pub fn table(self) -> Result<String, ConfigError> {
        required("TILLWATCH_TABLE")
    }

    /// The table of figures.
    pub fn figures_table(self) -> Result<String, ConfigError> {
        required("TILLWATCH_FIGURES_TABLE")
    }

    /// The table of connections.
    pub fn connections_table(self) -> Result<String, ConfigError> {
        required("TILLWATCH_CONNECTIONS_TABLE")
    }

    /// What becomes of verified events of accounts that no connection has, unless the table says; `declared` by default.
    pub fn unknown(self) -> Result<Unknown, ConfigError> {
        let name = "TILLWATCH_CONNECTIONS";
        match optional(name) {
            None => Ok(Unknown::Declared),
            Some(text) => Unknown::named(&text)
                .ok_or(ConfigError { name: name.to_owned(), problem: "must be `auto` or `declared`" }),
        }
    }

    /// The name or ARN of the ring that seals what webhook functions may open.
    pub fn vault_webhooks(self) -> Result<String, ConfigError> {
        required("TILLWATCH_VAULT_WEBHOOKS")
    }

    /// The name or ARN of the ring that seals tokens.
    pub fn vault_tokens(self) -> Result<String, ConfigError> {
        required("TILLWATCH_VAULT_TOKENS")
    }

    /// What comes before a provider's name in the name of its secret.
    pub fn provider_secrets(self) -> Result<String, ConfigError> {
        required("TILLWATCH_PROVIDER_SECRETS")
    }

    /// The name or ARN of the function's secret.
    pub fn secret(self) -> Result<String, ConfigError> {
        required("TILLWATCH_SECRET")
    }

    /// The API's own address, which providers are given, without a slash at its end; none, if it is not said.
    pub fn public_url(self) -> Option<String> {
        let url = optional("TILLWATCH_PUBLIC_URL")?;
        Some(url.trim().trim_end_matches('/').to_owned())
    }

    /// The URL that is called each minute to say that all is at work; none, if it is not said. A secret.
    pub fn deadman_url(self) -> Option<String> {
        optional("TILLWATCH_DEADMAN_URL").map(|url| url.trim().to_owned())
    }

    /// Whether calls may go to private addresses, and by plain HTTP. For a developer's own machine alone: whoever may say
    /// where a provider is reached could reach everything that is near.
    pub fn allow_private(self) -> Result<bool, ConfigError> {
        let name = "TILLWATCH_ALLOW_PRIVATE";
        match optional(name).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(ConfigError { name: name.to_owned(), problem: "must be `true` or `false`" }),
        }
    }

    /// The bucket of payloads too large for a message.
    pub fn payload_bucket(self) -> Result<String, ConfigError> {
        required("TILLWATCH_PAYLOAD_BUCKET")
    }
}
