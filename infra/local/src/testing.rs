//! What tests of whole requests share: a stack in a folder of its own, and secrets from anywhere.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;
use serde_json::json;
use tillwatch_domain::retry::RetryPolicy;
use tillwatch_platform::clock::SystemClock;
use tillwatch_platform::metrics::Metrics;
use tillwatch_platform::payloads::Folder;
use tillwatch_platform::secrets::{Secrets, SecretsError};

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

/// A stack in that folder.
pub(crate) async fn stack(path: &Path, secrets: Arc<dyn Secrets>) -> Arc<Stack> {
    let folder = DataFolder::open(path).unwrap();
    let queues = Queues::open(&folder, &system_now()).await.unwrap();
    let storage = Storage::open(queues, &folder, system_now()).await.unwrap();
    Arc::new(Stack::new(Ports {
        clock: Arc::new(SystemClock),
        table: storage.table,
        stream: storage.stream,
        events: storage.events,
        dead_letters: storage.dead_letters,
        payloads: Arc::new(Folder::new(path.join("payloads"))),
        secrets,
        metrics: Arc::new(Metrics::off()),
        policy: RetryPolicy::default(),
    }))
}
