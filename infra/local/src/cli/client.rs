//! The stack's HTTP API, as the tools use it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use http::{Method, StatusCode};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tillwatch_platform::config;

use super::error::Error;
use super::secrets::{self, OPERATOR_TOKEN, SecretsError, SecretsFile};

/// Where `tillwatch serve` listens unless told otherwise.
pub(crate) const DEFAULT_URL: &str = "http://127.0.0.1:8080";

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take. A gateway gives up after 30 seconds.
const ANSWER: Duration = Duration::from_secs(35);

const TOKEN: &str = "TILLWATCH_TOKEN";

/// Which stack to speak to.
#[derive(Debug, Args)]
pub(super) struct StackArgs {
    /// The stack's address
    #[arg(long, env = "TILLWATCH_URL", value_name = "URL", default_value = DEFAULT_URL)]
    url: Url,
    /// Where the operator's token is, for a stack on this machine. For any stack, `TILLWATCH_TOKEN` is used first
    #[arg(long, env = "TILLWATCH_SECRETS", value_name = "FILE", default_value = secrets::DEFAULT)]
    secrets: PathBuf,
}

/// Why the stack gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    /// Nobody listens there.
    #[error(
        "nothing listens at {0}: is `tillwatch serve` running? TILLWATCH_URL or --url names another address"
    )]
    NotThere(String),
    /// The way there or back failed.
    #[error("{url} could not be asked: {cause}")]
    Failed {
        /// The stack's address.
        url: String,
        /// What the system says.
        cause: String,
    },
    /// The token is missing or wrong.
    #[error("{url} wants the operator's token: {advice}")]
    Token {
        /// The stack's address.
        url: String,
        /// Where it was looked for and what to do.
        advice: String,
    },
    /// The API's own word of what is wrong.
    #[error("{title}: {detail}")]
    Problem {
        /// The HTTP status.
        status: StatusCode,
        /// What is wrong, in general.
        title: String,
        /// What is wrong here.
        detail: String,
    },
    /// Something else answers at that address, or another version of the API.
    #[error(
        "{url} answered {status} with what is not Tillwatch's: does --url or TILLWATCH_URL name a stack?"
    )]
    Foreign {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: StatusCode,
    },
}

impl ApiError {
    /// Whether the stack says that there is no such thing; another provider may have it.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Problem { status: StatusCode::NOT_FOUND, .. })
    }

    /// Whether asking again later may help.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::NotThere(_) | Self::Failed { .. } => true,
            Self::Problem { status, .. } | Self::Foreign { status, .. } => status.is_server_error(),
            Self::Token { .. } => false,
        }
    }
}

/// An error as RFC 9457 describes it.
#[derive(Debug, Deserialize)]
pub(super) struct Problem {
    /// What is wrong, in general.
    pub(super) title: String,
    /// What is wrong here, and how to mend it.
    pub(super) detail: String,
}

/// A client for one address, with time-outs, that keeps as many connections alive as are used at once.
pub(super) fn http_client(url: &Url, at_once: usize) -> Result<Client, ApiError> {
    // Fails when it was done before, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("tillwatch/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .connect_timeout(CONNECT)
        .timeout(ANSWER)
        .pool_max_idle_per_host(at_once)
        .tcp_nodelay(true);
    if is_this_machine(url) {
        builder = builder.no_proxy();
    }
    if url.scheme() == "http" {
        // The system's root certificates are neither needed nor perhaps there.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|error| failed(url, error))
}

pub(crate) fn is_this_machine(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    })
}

/// An address as people write it.
fn shown(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

/// What went wrong on the way to `url`, in the words of whoever noticed first.
pub(super) fn failed(url: &Url, error: reqwest::Error) -> ApiError {
    let url = shown(url);
    if error.is_timeout() {
        return ApiError::Failed { url, cause: "no answer came in time".to_owned() };
    }
    let error = error.without_url();
    let mut first: &dyn std::error::Error = &error;
    while let Some(source) = first.source() {
        first = source;
    }
    let refused = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionRefused;
    if first.downcast_ref().is_some_and(refused) {
        return ApiError::NotThere(url);
    }
    ApiError::Failed { url, cause: first.to_string() }
}

/// A stack, asked as its operator.
pub(super) struct Api {
    client: Client,
    url: Url,
    token: Token,
}

/// The operator's token, and where it was found or is not.
enum Token {
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
    fn find(args: &StackArgs) -> Result<Self, SecretsError> {
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

    fn secret(&self) -> Option<&SecretString> {
        match self {
            Self::Variable(token) | Self::File(token, _) => Some(token),
            Self::NotIn(_) | Self::Elsewhere => None,
        }
    }

    /// What to do about it when the stack refuses.
    fn advice(&self) -> String {
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

impl Api {
    /// The stack that the arguments name. A token is needed only once the stack asks for one.
    pub(super) fn new(args: &StackArgs) -> Result<Self, Error> {
        let url = args.url.clone();
        Ok(Self { client: http_client(&url, 1)?, token: Token::find(args)?, url })
    }

    /// Asks for a JSON document.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, ApiError> {
        let mut url = self.at(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.ask(Method::GET, url).await
    }

    /// Asks for what the API named by a path of its own.
    pub(super) async fn follow<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        let url = format!("{}{path}", shown(&self.url));
        let url = url.parse().map_err(|_| ApiError::Foreign { url, status: StatusCode::OK })?;
        self.ask(Method::GET, url).await
    }

    /// Does `method` on `/webhooks/{resource}/{provider}/{id}`, for the provider that has the delivery of that id: the
    /// one given, or whichever does.
    pub(super) async fn on_delivery<T: DeserializeOwned>(
        &self,
        method: Method,
        resource: &str,
        provider: Option<&str>,
        id: &str,
    ) -> Result<T, ApiError> {
        let providers = match provider {
            Some(name) => vec![name.to_owned()],
            None => self.providers().await?,
        };
        let mut not_found = None;
        for name in &providers {
            match self.ask(method.clone(), self.at(&["webhooks", resource, name, id])).await {
                Err(error) if error.is_not_found() => not_found = Some(error),
                other => return other,
            }
        }
        Err(match (provider, not_found) {
            (Some(_), Some(error)) => error,
            _ => ApiError::Problem {
                status: StatusCode::NOT_FOUND,
                title: "There is nothing here".to_owned(),
                detail: format!(
                    "None of {} has a delivery of this id, or it is older than 30 days, or it is not processed yet.",
                    providers.join(", ")
                ),
            },
        })
    }

    /// The names under which the stack lists deliveries.
    pub(super) async fn providers(&self) -> Result<Vec<String>, ApiError> {
        #[derive(Deserialize)]
        struct Health {
            providers: BTreeMap<String, Value>,
        }
        // As far back as deliveries are kept, for a name that is listed only while it has any.
        let health: Health = self.get(&["webhooks", "health"], &[("hours", "720")]).await?;
        Ok(health.providers.into_keys().collect())
    }

    fn at(&self, path: &[&str]) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, url: Url) -> Result<T, ApiError> {
        let mut request = self.client.request(method, url.clone());
        if let Some(token) = self.token.secret() {
            request = request.bearer_auth(token.expose_secret());
        }
        let answer = request.send().await.map_err(|error| failed(&self.url, error))?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(|error| failed(&self.url, error))?;
        let foreign = || ApiError::Foreign { url: url.to_string(), status };
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|_| foreign());
        }
        if status == StatusCode::UNAUTHORIZED {
            return Err(ApiError::Token { url: shown(&self.url), advice: self.token.advice() });
        }
        let Problem { title, detail } = serde_json::from_slice(&body).map_err(|_| foreign())?;
        Err(ApiError::Problem { status, title, detail })
    }
}

#[cfg(test)]
mod tests {
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
    fn paths_are_encoded_and_keep_the_stage_of_the_address() {
        let url: Url = "https://api.example.com/prod/".parse().unwrap();
        let client = http_client(&"http://127.0.0.1".parse().unwrap(), 1).unwrap();
        let api = Api { client, url, token: Token::Elsewhere };
        assert_eq!(api.at(&["a", "b/c?d"]).as_str(), "https://api.example.com/prod/a/b%2Fc%3Fd");
    }
}
