//! The connection to AWS: one TLS stack, time-outs, and credentials as Lambda hands them out.
//!
//! Built by hand rather than by `aws-config`, whose providers for laptops (SSO, processes, profiles, instance metadata)
//! cost a function megabytes and milliseconds at each start and are never used there.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_http_client::{Connector, tls};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpClient};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
pub use aws_types::SdkConfig;
use aws_types::region::Region;

use crate::config::{ConfigError, optional, required};

/// How patient a caller is with AWS.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For one attempt.
    pub attempt: Duration,
    /// For all attempts together.
    pub whole: Duration,
    /// How many attempts.
    pub attempts: u32,
}

impl Patience {
    /// For a webhook: the strictest provider gives five seconds in all, and a retry must fit into them.
    pub const WEBHOOK: Self =
        Self { attempt: Duration::from_millis(1_500), whole: Duration::from_millis(3_500), attempts: 2 };
    /// For work behind the queue.
    pub const WORKER: Self =
        Self { attempt: Duration::from_secs(3), whole: Duration::from_secs(10), attempts: 3 };
}

/// The SDK's configuration from the Lambda environment: region, session credentials, and `AWS_ENDPOINT_URL` for
/// running against an emulator.
pub fn from_environment(patience: Patience) -> Result<SdkConfig, ConfigError> {
    let region = optional("AWS_REGION").map_or_else(|| required("AWS_DEFAULT_REGION"), Ok)?;
    let credentials = Credentials::new(
        required("AWS_ACCESS_KEY_ID")?,
        required("AWS_SECRET_ACCESS_KEY")?,
        optional("AWS_SESSION_TOKEN"),
        None,
        "lambda environment",
    );
    let config = builder(patience)
        .region(Region::new(region))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(https_client());
    Ok(match optional("AWS_ENDPOINT_URL") {
        Some(url) => config.endpoint_url(url).build(),
        None => config.build(),
    })
}

/// The SDK's configuration for an endpoint inside this process: nothing leaves it, so region and credentials are
/// only placeholders of the right form.
pub fn in_process(client: SharedHttpClient) -> SdkConfig {
    builder(Patience::WORKER)
        .region(Region::from_static("local"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::from_keys("local", "local", None)))
        .http_client(client)
        .endpoint_url("http://in-process")
        .retry_config(
            // Nobody else's load is to be spared here.
            RetryConfig::standard().with_initial_backoff(Duration::from_millis(5)),
        )
        .build()
}

fn builder(patience: Patience) -> aws_types::sdk_config::Builder {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_attempt_timeout(patience.attempt)
        .operation_timeout(patience.whole)
        .build();
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(patience.attempts))
}

/// The SDK's HTTPS client.
fn https_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new()
        .tls_provider(tls_provider())
        .tls_context(tls_context())
        .build_https()
}

/// One connector of the same kind, for the rare request that goes around the SDK.
pub(crate) fn connector() -> Connector {
    let settings = HttpConnectorSettings::builder()
        .connect_timeout(Duration::from_secs(1))
        .read_timeout(Duration::from_secs(3))
        .build();
    Connector::builder()
        .tls_provider(tls_provider())
        .tls_context(tls_context())
        .connector_settings(settings)
        .sleep_impl(TokioSleep::new())
        .build()
}

fn tls_provider() -> tls::Provider {
    tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring)
}

/// Trust in the roots of AWS's certificates, or, where an endpoint is configured, in the system's.
///
/// AWS publishes that its endpoints chain to Amazon's and Starfield's roots. Trusting those five alone saves reading 140
/// certificates at each start, and is the narrower trust.
fn tls_context() -> tls::TlsContext {
    let trust = if optional("AWS_ENDPOINT_URL").is_none() {
        tls::TrustStore::empty().with_pem_certificate(include_str!("aws-roots.pem"))
    } else {
        tls::TrustStore::empty().with_native_roots(true)
    };
    tls::TlsContext::builder().with_trust_store(trust).build().expect("the built-in roots are well-formed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_roots_are_five_and_can_be_read() {
        assert_eq!(include_str!("aws-roots.pem").matches("BEGIN CERTIFICATE").count(), 5);
        assert!(optional("AWS_ENDPOINT_URL").is_none(), "else it is the system's roots that are read");
        let _reads_them = connector();
    }
}
