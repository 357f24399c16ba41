//! Secrets: JSON objects by name, in Secrets Manager or in one local file.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::SystemTime;

use async_trait::async_trait;
use aws_sdk_secretsmanager::error::DisplayErrorContext;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use secrecy::{ExposeSecret, SecretString};
use serde_json::value::RawValue;

use crate::table::Written;

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

    /// Replaces the JSON object of that name, if it still is what was read (`over`): what somebody else has written since
    /// is not lost.
    async fn write(
        &self,
        name: &str,
        _secret: &SecretString,
        _over: Option<&SecretString>,
    ) -> Result<Written, SecretsError> {
        Err(SecretsError { cause: format!("{name} can't be written here") })
    }

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

/// The label of the version that is in force.
const CURRENT: &str = "AWSCURRENT";
/// The label of a version that is about to be.
const NEXT: &str = "TILLWATCH_NEXT";

fn failed<E: std::error::Error>(error: &E) -> SecretsError {
    SecretsError { cause: DisplayErrorContext(error).to_string() }
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

    /// The secret's text and the id of its version.
    async fn current(&self, name: &str) -> Result<Option<(SecretString, String)>, SecretsError> {
        match self.client.get_secret_value().secret_id(name).send().await {
            Ok(answer) => Ok(answer.secret_string.map(SecretString::from).zip(answer.version_id)),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(GetSecretValueError::is_resource_not_found_exception) =>
            {
                Ok(None)
            }
            Err(error) => Err(failed(&error)),
        }
    }
}

#[async_trait]
impl Secrets for SecretsManager {
    async fn read(&self, name: &str) -> Result<Option<SecretString>, SecretsError> {
        Ok(self.current(name).await?.map(|(text, _)| text))
    }

    /// The new version waits under a label of its own until it becomes the current one, which it does only in the place of the
    /// one that was read.
    async fn write(
        &self,
        name: &str,
        secret: &SecretString,
        over: Option<&SecretString>,
    ) -> Result<Written, SecretsError> {
        let now = self.current(name).await?;
        if now.as_ref().map(|(text, _)| text.expose_secret()) != over.map(ExposeSecret::expose_secret) {
            return Ok(Written::No);
        }
        let put = self.client.put_secret_value().secret_id(name).secret_string(secret.expose_secret());
        let put = put.version_stages(NEXT).send().await;
        let new = put.map_err(|error| failed(&error))?.version_id;
        let mut moved = self.client.update_secret_version_stage().secret_id(name).version_stage(CURRENT);
        moved = moved.set_move_to_version_id(new.clone());
        moved = moved.set_remove_from_version_id(now.map(|(_, version)| version));
        match moved.send().await {
            Ok(_) => Ok(Written::Yes),
            Err(error)
                if error.as_service_error().is_some_and(|error| {
                    error.is_invalid_parameter_exception() || error.is_invalid_request_exception()
                }) =>
            {
                let now = self.current(name).await?;
                let is_ours = now.is_some_and(|(_, version)| Some(version) == new);
                Ok(if is_ours { Written::Yes } else { Written::No })
            }
            Err(error) => Err(failed(&error)),
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

impl SecretsFile {
    /// The same as reading, where there may be no file either.
    pub async fn read_if_there(&self, name: &str) -> Result<Option<SecretString>, SecretsError> {
        if self.path.exists() { self.read(name).await } else { Ok(None) }
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
        let mut all: BTreeMap<String, Box<RawValue>> =
            serde_json::from_str(&text).map_err(|error| SecretsError {
                cause: format!(
                    "{path} is not a JSON object: line {}, column {}",
                    error.line(),
                    error.column()
                ),
            })?;
        Ok(all.remove(name).map(|raw| SecretString::from(raw.get().to_owned())))
    }

    async fn write(
        &self,
        name: &str,
        secret: &SecretString,
        over: Option<&SecretString>,
    ) -> Result<Written, SecretsError> {
        let path = self.path.display();
        let failed = |error: &std::io::Error| SecretsError { cause: format!("{path}: {}", error.kind()) };
        let malformed = || SecretsError { cause: format!("{path} is not a JSON object") };
        let _one_at_a_time = WRITING.lock().await;
        let text = std::fs::read_to_string(&self.path).map_err(|error| failed(&error))?;
        let mut all: BTreeMap<String, Box<RawValue>> =
            serde_json::from_str(&text).map_err(|_| malformed())?;
        if all.get(name).map(|raw| raw.get()) != over.map(ExposeSecret::expose_secret) {
            return Ok(Written::No);
        }
        let value = RawValue::from_string(secret.expose_secret().to_owned()).map_err(|_| malformed())?;
        all.insert(name.to_owned(), value);
        let all = serde_json::to_value(&all).map_err(|_| malformed())?;
        let text = serde_json::to_string_pretty(&all).map_err(|_| malformed())?;
        replace(&self.path, &text).map_err(|error| failed(&error))?;
        Ok(Written::Yes)
    }
}

/// One process writes the file: its own writers wait for each other.
static WRITING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Replaces a file by another for its owner's eyes only, whole or not at all.
fn replace(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let part = path.with_extension("part");
    let mut file =
        std::fs::File::options().create(true).truncate(true).write(true).mode(0o600).open(&part)?;
    file.write_all(format!("{text}\n").as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&part, path)?;
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => std::fs::File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}
