//! The secrets file of a stack on this machine, as far as the tools need it: what to sign with, and the operator's
//! token. `tillwatch serve` makes it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::value::RawValue;
use tillwatch_providers::{Key, Settings};

/// The folder that `tillwatch serve` keeps everything in unless told otherwise.
pub(crate) const DEFAULT_DATA: &str = "tillwatch-data";
/// Where the file is unless told otherwise: where `tillwatch serve` puts it.
pub(crate) const DEFAULT: &str = "tillwatch-data/secrets.json";
/// The file in the data folder with the operator's token, where the secrets file has none. `tillwatch serve` makes it.
pub(crate) const OPERATOR_TOKEN: &str = "operator-token";

/// Why the file is of no use. Quotes nothing of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretsError {
    #[error(
        "there is no secrets file {}: `tillwatch serve` makes one, or name yours by --secrets or TILLWATCH_SECRETS",
        .0.display()
    )]
    Missing(PathBuf),
    #[error("the secrets file {} can't be read: {}", path.display(), source.kind())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the operator's token in {} can't be read: {}", path.display(), source.kind())]
    UnreadableToken { path: PathBuf, source: io::Error },
    #[error("the secrets file {} is not a JSON object: line {line}, column {column}", path.display())]
    NotJson { path: PathBuf, line: usize, column: usize },
    #[error("the secrets file {} is wrong in what it holds for `{name}`: {expected}", path.display())]
    Malformed { path: PathBuf, name: String, expected: &'static str },
    #[error(
        "the secrets file {} has nothing for `{name}`: add {{\"{name}\": {{\"signing_keys\": [\"…\"]}}}}, or let \
         `tillwatch serve` make a file in a new data folder",
        path.display()
    )]
    NoProvider { path: PathBuf, name: String },
}

/// A secrets file that was read.
#[derive(Debug)]
pub(crate) struct SecretsFile {
    path: PathBuf,
    entries: BTreeMap<String, Box<RawValue>>,
}

/// What a person configured for a provider, readable where [`Settings`] are not.
#[derive(Default, Deserialize)]
pub(super) struct Entry {
    /// Live signing keys, the newest first.
    #[serde(default)]
    pub(super) signing_keys: Vec<Key>,
    /// The URL as the provider knows it.
    pub(super) notification_url: Option<String>,
}

#[derive(Deserialize)]
struct Console {
    #[serde(default)]
    tokens: Vec<SecretString>,
}

impl SecretsFile {
    /// Reads the file.
    pub(crate) fn read(path: &Path) -> Result<Self, SecretsError> {
        let text = std::fs::read_to_string(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => SecretsError::Missing(path.to_owned()),
            _ => SecretsError::Unreadable { path: path.to_owned(), source },
        })?;
        let entries = serde_json::from_str(&text).map_err(|error| SecretsError::NotJson {
            path: path.to_owned(),
            line: error.line(),
            column: error.column(),
        })?;
        Ok(Self { path: path.to_owned(), entries })
    }

    /// What verification is done with for the provider of that name, read as a stack reads it.
    pub(super) fn settings(&self, name: &str) -> Result<Settings, SecretsError> {
        self.entry_as(name)
    }

    /// The same in plain view.
    pub(super) fn entry(&self, name: &str) -> Result<Entry, SecretsError> {
        self.entry_as(name)
    }

    fn entry_as<'a, T: Deserialize<'a>>(&'a self, name: &str) -> Result<T, SecretsError> {
        let (path, name) = (self.path.clone(), name.to_owned());
        let Some(raw) = self.entries.get(&name) else { return Err(SecretsError::NoProvider { path, name }) };
        let expected = "an object such as {\"signing_keys\": [\"…\"], \"notification_url\": \"https://…\"}";
        serde_json::from_str(raw.get()).map_err(|_| SecretsError::Malformed { path, name, expected })
    }

    /// The first of the operators' tokens, if there is one.
    pub(crate) fn token(&self) -> Result<Option<SecretString>, SecretsError> {
        let Some(raw) = self.entries.get("console") else { return Ok(None) };
        let console: Console = serde_json::from_str(raw.get()).map_err(|_| SecretsError::Malformed {
            path: self.path.clone(),
            name: "console".to_owned(),
            expected: "an object such as {\"tokens\": [\"…\"]}",
        })?;
        Ok(console.tokens.into_iter().find(|token| !token.expose_secret().trim().is_empty()))
    }
}

/// The operator's token that is kept in a data folder, if there is one.
pub(crate) fn kept_token(data: &Path) -> Result<Option<SecretString>, SecretsError> {
    let path = data.join(OPERATOR_TOKEN);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim()).filter(|token| !token.is_empty()).map(SecretString::from)),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(SecretsError::UnreadableToken { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> SecretsFile {
        SecretsFile { path: "s.json".into(), entries: serde_json::from_str(text).unwrap() }
    }

    #[test]
    fn a_file_gives_settings_keys_and_the_token() {
        let file = file(
            r#"{"square": {"signing_keys": ["new", "old"], "notification_url": "https://example.com/"},
                "console": {"tokens": ["t1", "t2"]}}"#,
        );
        assert!(file.settings("square").is_ok());
        let entry = file.entry("square").unwrap();
        assert_eq!(entry.signing_keys[1].expose(), "old");
        assert_eq!(entry.notification_url.as_deref(), Some("https://example.com/"));
        assert_eq!(file.token().unwrap().unwrap().expose_secret(), "t1");
    }

    #[test]
    fn what_is_missing_is_said_with_what_makes_it() {
        let missing = SecretsFile::read(Path::new("/nowhere/s.json")).unwrap_err().to_string();
        assert!(
            missing.contains("/nowhere/s.json") && missing.contains("`tillwatch serve` makes one"),
            "{missing}"
        );
        let none = file("{}").settings("square").unwrap_err().to_string();
        assert!(none.contains("nothing for `square`"), "{none}");
        for tokenless in ["{}", r#"{"console": {}}"#, r#"{"console": {"tokens": [" "]}}"#] {
            assert!(file(tokenless).token().unwrap().is_none(), "{tokenless}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_quoting_it() {
        let wrong = file(r#"{"square": {"signing_keys": "hunter2"}, "console": {"tokens": "hunter2"}}"#);
        for error in [wrong.settings("square").unwrap_err(), wrong.token().unwrap_err()] {
            let said = error.to_string();
            assert!(said.contains("is wrong") && !said.contains("hunter2"), "{said}");
        }
    }
}
