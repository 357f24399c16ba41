//! Payloads too large for a queue's message or a table's item: objects in a bucket, or files in a folder.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_http_client::Connector;
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use jiff::Timestamp;

/// The store could not do it. Ours.
#[derive(Debug, thiserror::Error)]
#[error("the payload store could not {action}: {cause}")]
pub struct PayloadError {
    /// What was being done.
    pub action: &'static str,
    /// Why not.
    pub cause: String,
}

/// Where large payloads are kept. A name is `provider/request id`, chosen by us, never by a sender.
#[async_trait]
pub trait Payloads: Send + Sync {
    /// Keeps the bytes under the name. When this returns, they are durable.
    async fn put(&self, name: &str, bytes: Vec<u8>, now: Timestamp) -> Result<(), PayloadError>;

    /// The bytes under the name; none if there are none, or no longer.
    async fn get(&self, name: &str, now: Timestamp) -> Result<Option<Vec<u8>>, PayloadError>;
}

/// An S3 bucket, reached by two signed requests. The S3 SDK would double the size of a webhook function for the one
/// request in many thousands that needs it.
#[derive(Debug)]
pub struct Bucket {
    config: aws_types::SdkConfig,
    name: String,
    connector: OnceLock<Connector>,
}

impl Bucket {
    /// The bucket of that name in the configuration's region.
    pub fn new(config: &aws_types::SdkConfig, name: String) -> Self {
        Self { config: config.clone(), name, connector: OnceLock::new() }
    }

    fn url(&self, name: &str) -> String {
        let bucket = &self.name;
        if let Some(endpoint) = self.config.endpoint_url() {
            format!("{}/{bucket}/{name}", endpoint.trim_end_matches('/'))
        } else {
            let region = self.config.region().map_or("us-east-1", |region| region.as_ref());
            format!("https://{bucket}.s3.{region}.amazonaws.com/{name}")
        }
    }

    async fn call(
        &self,
        action: &'static str,
        method: &str,
        name: &str,
        body: Vec<u8>,
        now: Timestamp,
    ) -> Result<(u16, Vec<u8>), PayloadError> {
        let failed = |cause: String| PayloadError { action, cause };
        let url = self.url(name);
        let provider = self.config.credentials_provider().ok_or_else(|| failed("no credentials".into()))?;
        let identity =
            provider.provide_credentials().await.map_err(|error| failed(error.to_string()))?.into();
        let region = self.config.region().map_or("us-east-1", |region| region.as_ref());
        let signed_at =
            SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(now.as_millisecond()).unwrap_or(0));
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = aws_sigv4::http_request::PayloadChecksumKind::XAmzSha256;
        settings.uri_path_normalization_mode = aws_sigv4::http_request::UriPathNormalizationMode::Disabled;
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name("s3")
            .time(signed_at)
            .settings(settings)
            .build()
            .map_err(|error| failed(error.to_string()))?
            .into();
        let host = url.split('/').nth(2).unwrap_or_default().to_owned();
        let signable = SignableRequest::new(
            method,
            &url,
            [("host", host.as_str())].into_iter(),
            SignableBody::Bytes(&body),
        )
        .map_err(|error| failed(error.to_string()))?;
        let (instructions, _) =
            sign(signable, &parameters).map_err(|error| failed(error.to_string()))?.into_parts();
        let mut request = http::Request::builder()
            .method(method)
            .uri(&url)
            .header("host", host)
            .body(SdkBody::from(body))
            .map_err(|error| failed(error.to_string()))?;
        instructions.apply_to_request_http1x(&mut request);
        let request = HttpRequest::try_from(request).map_err(|error| failed(error.to_string()))?;
        let connector = self.connector.get_or_init(crate::aws::connector);
        let answer = connector.call(request).await.map_err(|error| failed(error.to_string()))?;
        let status = answer.status().as_u16();
        let bytes = aws_smithy_types::byte_stream::ByteStream::new(answer.into_body())
            .collect()
            .await
            .map_err(|error| failed(error.to_string()))?;
        Ok((status, bytes.to_vec()))
    }
}

#[async_trait]
impl Payloads for Bucket {
    async fn put(&self, name: &str, bytes: Vec<u8>, now: Timestamp) -> Result<(), PayloadError> {
        match self.call("keep a payload", "PUT", name, bytes, now).await? {
            (200, _) => Ok(()),
            (status, _) => {
                Err(PayloadError { action: "keep a payload", cause: format!("S3 answered {status}") })
            }
        }
    }

    async fn get(&self, name: &str, now: Timestamp) -> Result<Option<Vec<u8>>, PayloadError> {
        match self.call("give a payload", "GET", name, Vec::new(), now).await? {
            (200, bytes) => Ok(Some(bytes)),
            (404, _) => Ok(None),
            (status, _) => {
                Err(PayloadError { action: "give a payload", cause: format!("S3 answered {status}") })
            }
        }
    }
}

/// A folder with a file per payload.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The folder at this path; made when first needed.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        use std::io::Write as _;
        let path = self.path.join(name);
        let parent = path.parent().unwrap_or(&self.path);
        std::fs::create_dir_all(parent)?;
        let unfinished = path.with_extension("part");
        let mut file = std::fs::File::create(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, &path)?;
        // The name is durable only when its folder is.
        std::fs::File::open(parent)?.sync_all()
    }
}

#[async_trait]
impl Payloads for Folder {
    async fn put(&self, name: &str, bytes: Vec<u8>, _: Timestamp) -> Result<(), PayloadError> {
        self.write(name, &bytes)
            .map_err(|error| PayloadError { action: "keep a payload", cause: error.to_string() })
    }

    async fn get(&self, name: &str, _: Timestamp) -> Result<Option<Vec<u8>>, PayloadError> {
        match std::fs::read(self.path.join(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(PayloadError { action: "give a payload", cause: error.to_string() }),
        }
    }
}
