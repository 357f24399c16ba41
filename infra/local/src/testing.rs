//! What tests of whole requests share: a stack in a folder of its own, and secrets from anywhere.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;
use serde_json::json;
use tillwatch_domain::retry::RetryPolicy;
use tillwatch_platform::clock::{Clock as _, SystemClock};
use tillwatch_platform::connections::Unknown;
use tillwatch_platform::metrics::Metrics;
use tillwatch_platform::outbound::Limits;
use tillwatch_platform::payloads::Folder;
use tillwatch_platform::secrets::{Secrets, SecretsError};
use tillwatch_platform::vault::Vault;

use crate::embedded::DataFolder;
use crate::ports::{Queues, Storage, system_now};
use crate::stack::{Ports, Stack};

/// The operator's token in [`Known`] secrets.
pub(crate) const TOKEN: &str = "an-operators-token";

/// Secrets of every provider, and of the console.
pub(crate) struct Known;

#[async_trait]
impl Secrets for Known {
    async fn read(&self, name: &str) -> Result<Option<SecretString>, SecretsError> {
        let secret = match name {
            "console" => json!({"tokens": [TOKEN]}),
            _ => json!({"signing_keys": ["key"], "notification_url": "https://example.com/"}),
        };
        Ok(Some(secret.to_string().into()))
    }
}

/// A vault's ring.
struct Ring;

#[async_trait]
impl Secrets for Ring {
    async fn read(&self, _: &str) -> Result<Option<SecretString>, SecretsError> {
        Ok(Some(json!({"current": "k1", "k1": "0123456789abcdef0123456789abcdef"}).to_string().into()))
    }
}

/// A stack in that folder.
pub(crate) async fn stack(path: &Path, secrets: Arc<dyn Secrets>) -> Arc<Stack> {
    let folder = DataFolder::open(path).unwrap();
    let queues = Queues::open(&folder, &system_now()).await.unwrap();
    let storage = Storage::open(queues, &folder, system_now()).await.unwrap();
    let ring: Arc<dyn Secrets> = Arc::new(Ring);
    let vault = Vault::open(ring, "ring".to_owned(), SystemClock.now()).await.unwrap();
    let vault = Arc::new(vault);
    Arc::new(Stack::new(Ports {
        clock: Arc::new(SystemClock),
        table: storage.table,
        stream: storage.stream,
        events: storage.events,
        dead_letters: storage.dead_letters,
        checks: storage.checks,
        refreshes: storage.refreshes,
        reconciliations: storage.reconciliations,
        payloads: Arc::new(Folder::new(path.join("payloads"))),
        secrets,
        webhook_vault: Arc::clone(&vault),
        token_vault: vault,
        unknown: Unknown::Auto,
        metrics: Arc::new(Metrics::off()),
        policy: RetryPolicy::default(),
        outbound: Limits::default(),
        public_url: None,
        check_every: tillwatch_workflows::watch::EVERY,
        reconcile_every: tillwatch_workflows::reconcile::EVERY,
        deadman_url: None,
        references: Vec::new(),
        beside: tillwatch_workflows::watch::Beside::default(),
    }))
}
