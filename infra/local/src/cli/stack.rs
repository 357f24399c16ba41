//! Which stack a command speaks to, and with which token.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use reqwest::Url;
use secrecy::SecretString;
use tillwatch_platform::config;

use super::secrets::{self, OPERATOR_TOKEN, SecretsError, SecretsFile};
use super::shell::quoted;

/// Where `tillwatch serve` listens unless told otherwise.
pub(crate) const DEFAULT_URL: &str = "http://127.0.0.1:8080";

const URL: &str = "TILLWATCH_URL";
const SECRETS: &str = "TILLWATCH_SECRETS";
const TOKEN: &str = "TILLWATCH_TOKEN";

/// Which stack to speak to.
#[derive(Debug, Args)]
pub(super) struct StackArgs {
    /// The stack's address
    #[arg(long, env = URL, value_name = "URL", default_value = DEFAULT_URL, value_parser = web_address)]
    pub(super) url: Url,
    /// Where the operator's token is, for a stack on this machine. For any stack, `TILLWATCH_TOKEN` is used first
    #[arg(long, env = SECRETS, value_name = "FILE", default_value = secrets::DEFAULT)]
    secrets: PathBuf,
}

impl StackArgs {
    /// The options by which another command speaks to the same stack, each with a space before it. None, where it does
    /// so anyway.
    pub(super) fn options(&self) -> String {
        self.options_beside(config::optional(URL).as_deref(), config::optional(SECRETS).as_deref())
    }

    fn options_beside(&self, url: Option<&str>, secrets: Option<&str>) -> String {
        let mut options = String::new();
        let otherwise = url.unwrap_or(DEFAULT_URL).parse();
        if otherwise.as_ref() != Ok(&self.url) {
            options.push_str(&format!(" --url {}", quoted(&shown(&self.url))));
        }
        let otherwise = secrets.unwrap_or(secrets::DEFAULT);
        if self.secrets != Path::new(otherwise) {
            options.push_str(&format!(" --secrets {}", quoted(&self.secrets.to_string_lossy())));
        }
        options
    }
}

/// An address that can be spoken to.
pub(super) fn web_address(text: &str) -> Result<Url, String> {
    let url =
        text.parse().ok().filter(|url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| format!("an address begins with http:// or https://, as in {DEFAULT_URL}"))
}

/// Whether an address is this machine's own, and no other can be there.
pub(crate) fn is_this_machine(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    })
}

/// An address as people write it.
pub(super) fn shown(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

/// The operator's token, and where it was found or is not.
pub(super) enum Token {
    /// In the environment.
    Variable(SecretString),
    /// In the secrets file of that name.
    File(SecretString, String),
    /// Not in the secrets file of that name, or there is no such file.
    NotIn(String),
    /// Not looked for in a file: those tokens are for a stack on this machine, and no other should see them.
    Elsewhere,
}

impl Token {
    /// The one that these arguments lead to.
    pub(super) fn find(args: &StackArgs) -> Result<Self, SecretsError> {
        if let Some(token) = config::optional(TOKEN) {
            return Ok(Self::Variable(token.trim().into()));
        }
        if !is_this_machine(&args.url) {
            return Ok(Self::Elsewhere);
        }
        Self::in_files(&args.secrets, Path::new(secrets::DEFAULT_DATA))
    }

    /// The one in the secrets file, else the one that `tillwatch serve` made for a file that has none.
    fn in_files(secrets: &Path, data: &Path) -> Result<Self, SecretsError> {
        let token = match SecretsFile::read(secrets) {
            Ok(file) => file.token()?,
            Err(SecretsError::Missing(_)) => None,
            Err(error) => return Err(error),
        };
        if let Some(token) = token {
            return Ok(Self::File(token, secrets.display().to_string()));
        }
        Ok(match secrets::kept_token(data)? {
            Some(token) => Self::File(token, data.join(OPERATOR_TOKEN).display().to_string()),
            None => Self::NotIn(secrets.display().to_string()),
        })
    }

    /// The token itself.
    pub(super) fn secret(&self) -> Option<&SecretString> {
        match self {
            Self::Variable(token) | Self::File(token, _) => Some(token),
            Self::NotIn(_) | Self::Elsewhere => None,
        }
    }

    /// What to do about it when the stack refuses.
    pub(super) fn advice(&self) -> String {
        match self {
            Self::Variable(_) => format!("it does not know the one in {TOKEN}"),
            Self::File(_, file) => {
                format!("it does not know the one in {file}. Put the right one into {TOKEN}")
            }
            Self::NotIn(file) => format!("put it into {TOKEN}, for there is none in {file}"),
            Self::Elsewhere => format!("put it into {TOKEN}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn only_loopback_addresses_are_this_machine() {
        for (url, expected) in [
            ("http://127.0.0.1:8080", true),
            ("http://localhost", true),
            ("http://[::1]:80/", true),
            ("http://127.0.0.1.example.com", false),
            ("https://api.example.com/prod", false),
        ] {
            assert_eq!(is_this_machine(&url.parse().unwrap()), expected, "{url}");
        }
    }

    #[test]
    fn the_token_is_the_secrets_files_or_else_the_one_that_was_made_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secrets.json");
        let found = || {
            let token = Token::in_files(&file, folder.path()).unwrap();
            token.secret().map(|token| token.expose_secret().to_owned())
        };
        assert_eq!(found(), None);
        std::fs::write(folder.path().join(OPERATOR_TOKEN), "made\n").unwrap();
        assert_eq!(found().as_deref(), Some("made"));
        std::fs::write(&file, r#"{"square": {"signing_keys": ["key"]}}"#).unwrap();
        assert_eq!(found().as_deref(), Some("made"));
        std::fs::write(&file, r#"{"console": {"tokens": ["the file's"]}}"#).unwrap();
        assert_eq!(found().as_deref(), Some("the file's"));
    }

    #[test]
    fn another_command_is_told_what_it_would_not_know() {
        let args =
            |url: &str, secrets: &str| StackArgs { url: url.parse().unwrap(), secrets: secrets.into() };
        let usual = args(DEFAULT_URL, secrets::DEFAULT);
        assert_eq!(usual.options_beside(None, None), "");
        assert_eq!(usual.options_beside(Some("https://example.com"), None), format!(" --url {DEFAULT_URL}"));
        let unusual = args("http://localhost:8081", "my data/secrets.json");
        assert_eq!(
            unusual.options_beside(None, None),
            " --url http://localhost:8081 --secrets 'my data/secrets.json'"
        );
        let (url, secrets) = ("http://localhost:8081/", "my data/secrets.json");
        assert_eq!(unusual.options_beside(Some(url), Some(secrets)), "");
    }

    #[test]
    fn an_address_has_a_scheme_that_is_spoken_here() {
        for wrong in ["localhost:8080", "127.0.0.1:8080", "ftp://example.com", "http://", ""] {
            assert!(web_address(wrong).unwrap_err().contains("http://127.0.0.1:8080"), "{wrong}");
        }
        assert!(web_address("https://example.com/prod").is_ok());
    }
}
