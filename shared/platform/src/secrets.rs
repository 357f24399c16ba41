//! Secrets: JSON objects by name, in Secrets Manager or in one local file.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::SystemTime;

use async_trait::async_trait;
use aws_sdk_secretsmanager::error::DisplayErrorContext;
use secrecy::SecretString;
use serde_json::value::RawValue;

/// The store could not be read. Ours: nothing can be verified, so the sender must try again.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the secret store could not be read: {cause}")]
pub struct SecretsError {
    /// Why not. Holds no secret.
    pub cause: String,
}

/// Where secrets are kept.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// The JSON object of that name as it is now; none if there is none.
    async fn read(&self, name: &str) -> Result<Option<SecretString>, SecretsError>;

    /// What is another when the store has changed, where asking costs nothing; none where it would.
    fn stamp(&self) -> Option<Stamp> {
        None
    }
}

/// One state of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    modified: SystemTime,
    length: u64,
    file: u64,
}

/// AWS Secrets Manager.
#[derive(Debug, Clone)]
pub struct SecretsManager {
    client: aws_sdk_secretsmanager::Client,
}

impl SecretsManager {
    /// The account's store.
    pub fn new(config: &aws_types::SdkConfig) -> Self {
        Self { client: aws_sdk_secretsmanager::Client::new(config) }
    }
}

#[async_trait]
impl Secrets for SecretsManager {
    async fn read(&self, name: &str) -> Result<Option<SecretString>, SecretsError> {
        match self.client.get_secret_value().secret_id(name).send().await {
            Ok(answer) => Ok(answer.secret_string.map(SecretString::from)),
            Err(error) if error.as_service_error().is_some_and(aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError::is_resource_not_found_exception) => Ok(None),
            Err(error) => Err(SecretsError { cause: DisplayErrorContext(error).to_string() }),
        }
    }
}

/// One local file: a JSON object with an object per name.
#[derive(Debug, Clone)]
pub struct SecretsFile {
    path: PathBuf,
}

impl SecretsFile {
    /// The file at this path. It is read anew each time.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }
}

#[async_trait]
impl Secrets for SecretsFile {
    fn stamp(&self) -> Option<Stamp> {
        let file = std::fs::metadata(&self.path).ok()?;
        Some(Stamp { modified: file.modified().ok()?, length: file.len(), file: file.ino() })
    }

    async fn read(&self, name: &str) -> Result<Option<SecretString>, SecretsError> {
        let path = self.path.display();
        let text = std::fs::read_to_string(&self.path)
            .map_err(|error| SecretsError { cause: format!("{path}: {}", error.kind()) })?;
        let mut all: std::collections::BTreeMap<String, Box<RawValue>> = serde_json::from_str(&text)
            .map_err(|error| SecretsError {
                cause: format!(
                    "{path} is not a JSON object: line {}, column {}",
                    error.line(),
                    error.column()
                ),
            })?;
        Ok(all.remove(name).map(|raw| SecretString::from(raw.get().to_owned())))
    }
}
