//! The stack's HTTP API, as the tools use it.

use std::collections::BTreeMap;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Url};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::Error;
use super::stack::{Token, is_this_machine, shown};

pub(super) use super::stack::StackArgs;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take. A gateway gives up after 30 seconds.
const ANSWER: Duration = Duration::from_secs(35);

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
    if first.downcast_ref().is_some_and(is_no_tls) {
        return ApiError::Failed { url, cause: "it does not speak HTTPS. Try http://".to_owned() };
    }
    ApiError::Failed { url, cause: first.to_string() }
}

/// Whether what answered was no TLS. The libraries wrap its error as many times as there are of them.
fn is_no_tls(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(|inner| match inner.downcast_ref() {
        Some(wrapped) => is_no_tls(wrapped),
        None => matches!(inner.downcast_ref(), Some(rustls::Error::InvalidMessage(_))),
    })
}

/// A stack, asked as its operator.
pub(super) struct Api {
    client: Client,
    url: Url,
    token: Token,
}

impl Api {
    /// The stack that the arguments name. A token is needed only once the stack asks for one.
    pub(super) fn new(args: &StackArgs) -> Result<Self, Error> {
        Self::at_once(args, 1)
    }

    /// The same, to be asked for so many things at once.
    pub(super) fn at_once(args: &StackArgs, at_once: usize) -> Result<Self, Error> {
        let url = args.url.clone();
        Ok(Self { client: http_client(&url, at_once)?, token: Token::find(args)?, url })
    }

    /// The stack's address, without a slash at its end.
    pub(super) fn address(&self) -> String {
        shown(&self.url)
    }

    /// Asks for a JSON document.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, ApiError> {
        self.ask(Method::GET, self.with_query(path, query)).await
    }

    /// Puts a JSON document in its place.
    pub(super) async fn put<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        json: Vec<u8>,
    ) -> Result<T, ApiError> {
        let request = self.client.request(Method::PUT, self.with_query(path, query));
        self.answer(request.header(CONTENT_TYPE, "application/json").body(json)).await
    }

    /// Sends a JSON document to be acted upon.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        json: &[u8],
    ) -> Result<T, ApiError> {
        let request = self.client.request(Method::POST, self.with_query(path, query));
        self.answer(request.header(CONTENT_TYPE, "application/json").body(json.to_vec())).await
    }

    /// Takes away what is there.
    pub(super) async fn delete<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, ApiError> {
        self.ask(Method::DELETE, self.at(path)).await
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
                    "None of {} has a delivery of this id. It may not be processed yet, be older than 30 days, or, if it is a \
                     request's, have brought an event that another request had brought before.",
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

    fn with_query(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.at(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, url: Url) -> Result<T, ApiError> {
        self.answer(self.client.request(method, url)).await
    }

    async fn answer<T: DeserializeOwned>(&self, mut request: RequestBuilder) -> Result<T, ApiError> {
        if let Some(token) = self.token.secret() {
            request = request.bearer_auth(token.expose_secret());
        }
        let answer = request.send().await.map_err(|error| failed(&self.url, error))?;
        let (status, url) = (answer.status(), answer.url().clone());
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
    fn paths_are_encoded_and_keep_the_stage_of_the_address() {
        let url: Url = "https://api.example.com/prod/".parse().unwrap();
        let client = http_client(&"http://127.0.0.1".parse().unwrap(), 1).unwrap();
        let api = Api { client, url, token: Token::Elsewhere };
        assert_eq!(api.at(&["a", "b/c?d"]).as_str(), "https://api.example.com/prod/a/b%2Fc%3Fd");
    }
}
