//! The secrets of a stack on one machine: the file that people write or that is made for them, and the operator's token,
//! which is in the environment, else in that file, else made once and kept in the data folder.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};
use tillwatch_platform::entropy;
use tillwatch_platform::secrets::{Secrets, SecretsError, SecretsFile, Stamp};
use tillwatch_platform::table::Written;
use tillwatch_platform::vault::KeyRing;
use tillwatch_providers::{Headers, Request, Settings, Unverified};

use super::Failure;
use crate::cli::secrets::{self, OPERATOR_TOKEN};

/// The vault's key rings: what seals webhook secrets, and what seals tokens.
pub(super) const RINGS: [&str; 2] = ["vault_webhooks", "vault_tokens"];
/// The file in the data folder with the rings that the secrets file has not.
pub(super) const KEPT_RINGS: &str = "vault.json";
/// A shorter token might be guessed.
const TOKEN_LENGTH: usize = 16;

/// The operator's token, and where it is from.
#[derive(Debug)]
pub(super) enum Token {
    /// The environment.
    Environment(String),
    /// The secrets file.
    File(String),
    /// The data folder, because there was none elsewhere.
    Kept(String),
}

impl Token {
    /// The token itself.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Environment(token) | Self::File(token) | Self::Kept(token) => token,
        }
    }
}

/// The token in the environment, as `TILLWATCH_TOKEN` says it. A blank one is refused: whoever set it wanted one.
pub(super) fn from_environment(variable: Option<String>) -> Result<Option<String>, Failure> {
    let Some(variable) = variable else { return Ok(None) };
    let token = variable.trim();
    if token.is_empty() {
        return Err("TILLWATCH_TOKEN is blank: set it to the operator's token, or unset it".into());
    }
    if token.chars().count() < TOKEN_LENGTH {
        tracing::warn!("TILLWATCH_TOKEN is shorter than {TOKEN_LENGTH} characters and might be guessed");
    }
    Ok(Some(token.to_owned()))
}

/// The secrets file, and the operator's token where that is not in it.
pub(super) struct LocalSecrets {
    file: SecretsFile,
    environment: Option<String>,
    kept: Option<String>,
    rings: SecretsFile,
}

impl LocalSecrets {
    /// The secrets in the file at `path`, with the token that the environment says. Where neither has one, it is the one
    /// in the data folder, which is made if there is none. Whatever is wrong with a file is said here and not with the
    /// first request.
    pub(super) fn open(
        path: PathBuf,
        environment: Option<String>,
        data: &Path,
    ) -> Result<(Self, Token), Failure> {
        let in_file = secrets::SecretsFile::read(&path)?.token()?;
        let mut opened = Self {
            file: SecretsFile::new(path),
            environment,
            kept: None,
            rings: SecretsFile::new(data.join(KEPT_RINGS)),
        };
        let token = match (&opened.environment, in_file) {
            (Some(token), _) => Token::Environment(token.clone()),
            (None, Some(token)) => Token::File(token.expose_secret().to_owned()),
            (None, None) => {
                let token = match secrets::kept_token(data)? {
                    Some(token) => token.expose_secret().to_owned(),
                    None => make_token(data)?,
                };
                opened.kept = Some(token.clone());
                Token::Kept(token)
            }
        };
        Ok((opened, token))
    }
}

#[async_trait]
impl Secrets for LocalSecrets {
    fn stamp(&self) -> Option<Stamp> {
        self.file.stamp()
    }

    async fn write(
        &self,
        name: &str,
        secret: &SecretString,
        over: Option<&SecretString>,
    ) -> Result<Written, SecretsError> {
        let in_file = !RINGS.contains(&name) || self.file.read(name).await?.is_some();
        let file = if in_file { &self.file } else { &self.rings };
        file.write(name, secret, over).await
    }

    async fn read(&self, name: &str) -> Result<Option<SecretString>, SecretsError> {
        let only = |token: &String| Ok(Some(json!({"tokens": [token]}).to_string().into()));
        if RINGS.contains(&name) {
            let ring = self.file.read(name).await?;
            return if ring.is_some() { Ok(ring) } else { self.rings.read_if_there(name).await };
        }
        if name != "console" {
            return self.file.read(name).await;
        }
        if let Some(token) = &self.environment {
            return only(token);
        }
        let in_file = self.file.read(name).await?;
        match &self.kept {
            // Until someone writes another one into the file.
            Some(token) if !in_file.as_ref().is_some_and(has_token) => only(token),
            _ => Ok(in_file),
        }
    }
}

fn has_token(console: &SecretString) -> bool {
    let console: Value = serde_json::from_str(console.expose_secret()).unwrap_or_default();
    let tokens = console["tokens"].as_array();
    tokens.is_some_and(|tokens| {
        tokens.iter().any(|token| token.as_str().is_some_and(|token| !token.trim().is_empty()))
    })
}

/// Makes a secrets file with random keys, for a stack that is reached at `url`.
pub(super) fn make(path: &Path, url: &str) -> io::Result<()> {
    let mut secrets = Map::new();
    for provider in tillwatch_providers::ALL {
        let url = format!("{url}/webhooks/{}", provider.name());
        secrets.insert(provider.name().to_owned(), provider.fresh_settings(&random(), &url));
    }
    secrets.insert("console".to_owned(), json!({"tokens": [new_token()]}));
    for ring in RINGS {
        secrets.insert(ring.to_owned(), serde_json::from_str(&KeyRing::generate())?);
    }
    // Whole or not at all: a process that ends in between must not leave half a file for every later start.
    let part = path.with_extension("part");
    write(
        &part,
        &serde_json::to_string_pretty(&secrets)?,
        std::fs::File::options().create(true).truncate(true),
    )?;
    // Unlike a renaming, a link replaces nothing that is there.
    std::fs::hard_link(&part, path)?;
    std::fs::remove_file(&part)?;
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => std::fs::File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

/// Makes the rings that are missing, in the data folder.
pub(super) fn make_rings(data: &Path, missing: &[&str]) -> Result<(), Failure> {
    let path = data.join(KEPT_RINGS);
    let mut rings: Map<String, Value> = match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Map::new(),
        Err(error) => return Err(error.into()),
    };
    for ring in missing {
        rings.insert((*ring).to_owned(), serde_json::from_str(&KeyRing::generate())?);
    }
    let part = path.with_extension("part");
    write(
        &part,
        &serde_json::to_string_pretty(&rings)?,
        std::fs::File::options().create(true).truncate(true),
    )?;
    std::fs::rename(&part, &path)?;
    Ok(std::fs::File::open(data)?.sync_all()?)
}

impl LocalSecrets {
    /// Says which providers' webhooks will be answered 503 until their settings are mended.
    pub(super) async fn warn_of_useless_settings(&self, now: Timestamp) {
        for provider in tillwatch_providers::ALL {
            let name = provider.name();
            let problem = match self.read(name).await {
                Ok(None) => "the secrets file has nothing for it".to_owned(),
                Err(error) => error.to_string(),
                Ok(Some(secret)) => match serde_json::from_str::<Settings>(secret.expose_secret()) {
                    Err(_) => "its entry in the secrets file is not an object of settings".to_owned(),
                    Ok(settings) => match provider.sign(&settings, &trial(), now) {
                        Err(error) => error.to_string(),
                        Ok(_) => continue,
                    },
                },
            };
            tracing::warn!(provider = name, problem, "its webhooks are answered 503 until that is mended");
        }
    }
}

/// A request that is nothing but signed.
fn trial() -> Request<Unverified> {
    Request::new(Headers::new(), b"{}".to_vec())
}

fn make_token(data: &Path) -> io::Result<String> {
    let token = new_token();
    // There may be an empty file, of a process that did not come to write it.
    write(&data.join(OPERATOR_TOKEN), &token, std::fs::File::options().create(true).truncate(true))?;
    Ok(token)
}

fn new_token() -> String {
    format!("tw_{}", random())
}

fn random() -> String {
    hex::encode(entropy::bytes::<16>())
}

/// Writes a line or more for its owner's eyes only.
fn write(path: &Path, text: &str, options: &mut std::fs::OpenOptions) -> io::Result<()> {
    let mut file = options.write(true).mode(0o600).open(path)?;
    file.write_all(format!("{text}\n").as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use jiff::Timestamp;
    use tempfile::tempdir;

    use super::*;

    async fn tokens(secrets: &LocalSecrets) -> Value {
        let console = secrets.read("console").await.unwrap().unwrap();
        serde_json::from_str::<Value>(console.expose_secret()).unwrap()["tokens"].clone()
    }

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn a_file_without_a_token_gets_one_that_later_starts_find_again() {
        let data = tempdir().unwrap();
        let file = data.path().join("mine.json");
        std::fs::write(&file, r#"{"square": {"signing_keys": ["key"]}}"#).unwrap();
        let (secrets, token) = LocalSecrets::open(file.clone(), None, data.path()).unwrap();
        assert!(matches!(token, Token::Kept(_)) && token.text().len() > TOKEN_LENGTH);
        assert_eq!(tokens(&secrets).await, json!([token.text()]));
        assert!(secrets.read("square").await.unwrap().is_some());
        assert_eq!(mode(&data.path().join(OPERATOR_TOKEN)), 0o600);
        let (_, again) = LocalSecrets::open(file.clone(), None, data.path()).unwrap();
        assert_eq!(again.text(), token.text());
        // A token that is written into the file later takes its place.
        std::fs::write(&file, r#"{"console": {"tokens": ["mine"]}}"#).unwrap();
        assert_eq!(tokens(&secrets).await, json!(["mine"]));
    }

    #[tokio::test]
    async fn the_environments_token_is_the_only_one() {
        let data = tempdir().unwrap();
        let file = data.path().join("secrets.json");
        make(&file, "http://127.0.0.1:8080").unwrap();
        let given = Some("from the environment".to_owned());
        let (secrets, token) = LocalSecrets::open(file, given, data.path()).unwrap();
        assert!(matches!(token, Token::Environment(_)));
        assert_eq!(tokens(&secrets).await, json!(["from the environment"]));
        assert!(!data.path().join(OPERATOR_TOKEN).exists());
    }

    #[test]
    fn a_blank_token_is_refused_and_a_short_one_is_not() {
        assert!(from_environment(Some(" \n".to_owned())).unwrap_err().to_string().contains("is blank"));
        assert_eq!(from_environment(Some("short\n".to_owned())).unwrap().as_deref(), Some("short"));
        assert_eq!(from_environment(None).unwrap(), None);
    }

    #[test]
    fn a_file_that_is_wrong_is_refused_at_the_start() {
        let data = tempdir().unwrap();
        let file = data.path().join("secrets.json");
        for wrong in ["", "[]", r#"{"console": {"tokens": "one"}}"#] {
            std::fs::write(&file, wrong).unwrap();
            assert!(LocalSecrets::open(file.clone(), None, data.path()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_made_file_signs_for_every_provider_and_is_its_owners_alone() {
        let data = tempdir().unwrap();
        let file = data.path().join("secrets.json");
        make(&file, "http://127.0.0.1:8080").unwrap();
        let made: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        for provider in tillwatch_providers::ALL {
            let settings = serde_json::from_value(made[provider.name()].clone()).unwrap();
            assert!(provider.sign(&settings, &trial(), Timestamp::UNIX_EPOCH).is_ok(), "{}", provider.name());
        }
        assert_eq!(made["square"]["notification_url"], "http://127.0.0.1:8080/webhooks/square");
        assert!(made["console"]["tokens"][0].as_str().unwrap().starts_with("tw_"));
        assert_eq!(mode(&file), 0o600);
        assert!(make(&file, "http://127.0.0.1:8080").is_err(), "a file that is there is never replaced");
    }
}
