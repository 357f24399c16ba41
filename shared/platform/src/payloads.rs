//! Payloads too large for a queue's message or a table's item: objects in a bucket, or files in a folder.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
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
            format!("https://{bucket}.s3.{region}.{}/{name}", suffix(region))
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
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = aws_sigv4::http_request::PayloadChecksumKind::XAmzSha256;
        settings.uri_path_normalization_mode = aws_sigv4::http_request::UriPathNormalizationMode::Disabled;
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name("s3")
            .time(system_time(now))
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

fn system_time(at: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(at.as_millisecond()).unwrap_or(0))
}

/// The domain of a region's partition.
fn suffix(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
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

/// A folder with a file per payload. Clones are the same folder.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
    /// The folders in it that are there, and durably so.
    made: Arc<Mutex<BTreeSet<PathBuf>>>,
}

/// What a file's name ends with until it is whole.
const UNFINISHED: &str = "part";
/// After how long an unfinished file is nobody's any more.
const ORPHANED: Duration = Duration::from_hours(1);

impl Folder {
    /// The folder at this path; made when first needed.
    pub fn new(path: PathBuf) -> Self {
        Self { path, made: Arc::default() }
    }

    /// Deletes payloads that were kept longer than `age`, and files that an ended process left unfinished; how many
    /// those were.
    pub async fn delete_older(&self, age: Duration, now: Timestamp) -> Result<usize, PayloadError> {
        let path = self.path.clone();
        blocking("delete old payloads", move || sweep(&path, age, system_time(now))).await
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.path.join(name);
        let parent = path.parent().unwrap_or(&self.path);
        self.make(parent)?;
        let unfinished = path.with_extension(UNFINISHED);
        let written = write_file(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, &path));
        if written.is_err() {
            // The disk may be full: what is of no use must not stay on it.
            let _ = fs::remove_file(&unfinished);
        }
        written?;
        // The name is durable only when its folder is.
        sync(parent)
    }

    /// Makes a folder in this one, once in each process even if it is there: whoever made it may have ended before it
    /// was durable.
    fn make(&self, folder: &Path) -> io::Result<()> {
        // Held all the while: nobody may rely on a folder that another thread has made and not yet fsynced.
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if !made.contains(folder) {
            make_folder(&self.path)?;
            make_folder(folder)?;
            made.insert(folder.to_owned());
        }
        Ok(())
    }
}

#[async_trait]
impl Payloads for Folder {
    async fn put(&self, name: &str, bytes: Vec<u8>, _: Timestamp) -> Result<(), PayloadError> {
        let (folder, name) = (self.clone(), name.to_owned());
        blocking("keep a payload", move || folder.write(&name, &bytes)).await
    }

    async fn get(&self, name: &str, _: Timestamp) -> Result<Option<Vec<u8>>, PayloadError> {
        let path = self.path.join(name);
        let read = move || match fs::read(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        blocking("give a payload", read).await
    }
}

/// Makes a folder for its owner's eyes only, with those above it that are missing, and returns when their names are on
/// disk. One that is there is left as it is.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !above.exists() {
        make_folder(above)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => sync(above),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // Whoever made it has most likely seen to it, and a folder above may not be ours to open.
            let _ = sync(above);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Deletes what is too old in the folders of a folder; how many files those were.
fn sweep(path: &Path, age: Duration, now: SystemTime) -> io::Result<usize> {
    let mut deleted = 0;
    for folder in entries(path)? {
        for file in entries(&folder)? {
            let is_unfinished = file.extension().is_some_and(|extension| extension == UNFINISHED);
            let most = if is_unfinished { ORPHANED.min(age) } else { age };
            // One of the future is young, whatever the clock was when it was written.
            let kept = now.duration_since(fs::metadata(&file)?.modified()?).unwrap_or_default();
            if kept > most {
                fs::remove_file(&file)?;
                deleted += 1;
            }
        }
    }
    Ok(deleted)
}

/// What is in a folder; nothing, if there is no such folder.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Has the disk work on a thread that may wait for it.
async fn blocking<T: Send + 'static>(
    action: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, PayloadError> {
    let done = tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    done.map_err(|error| PayloadError { action, cause: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;
    const DAY: Duration = Duration::from_hours(24);

    fn folder(scratch: &tempfile::TempDir) -> Folder {
        Folder::new(scratch.path().join("data/payloads"))
    }

    fn files(folder: &Folder) -> Vec<String> {
        let files = entries(&folder.path.join("square")).unwrap();
        let mut names: Vec<_> =
            files.iter().map(|file| file.file_name().unwrap().to_string_lossy().into_owned()).collect();
        names.sort_unstable();
        names
    }

    #[tokio::test]
    async fn a_payload_is_given_as_it_was_kept() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = folder(&scratch);
        assert_eq!(folder.get("square/req_1", NOW).await.unwrap(), None);
        folder.put("square/req_1", b"paid".into(), NOW).await.unwrap();
        folder.put("square/req_2", b"refunded".into(), NOW).await.unwrap();
        assert_eq!(folder.get("square/req_1", NOW).await.unwrap().as_deref(), Some(&b"paid"[..]));
        assert_eq!(files(&folder), ["req_1", "req_2"]);
    }

    #[tokio::test]
    async fn a_payload_that_cannot_be_kept_leaves_no_half_of_it() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = folder(&scratch);
        // A folder of that name is in the way of the last step.
        fs::create_dir_all(folder.path.join("square/req_1")).unwrap();
        let refused = folder.put("square/req_1", b"paid".into(), NOW).await.unwrap_err();
        assert!(refused.to_string().contains("could not keep a payload"), "{refused}");
        assert_eq!(files(&folder), ["req_1"]);
    }

    #[tokio::test]
    async fn old_payloads_are_deleted_and_unfinished_ones_after_an_hour() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = folder(&scratch);
        let now = Timestamp::from_second(1_780_000_000).unwrap();
        assert_eq!(folder.delete_older(DAY, now).await.unwrap(), 0);
        let ages = [
            ("old", DAY + Duration::from_secs(1)),
            ("young", DAY),
            ("orphan.part", ORPHANED + Duration::from_secs(1)),
            ("under way.part", ORPHANED),
        ];
        for (name, age) in ages {
            folder.put(&format!("square/{name}"), b"paid".into(), NOW).await.unwrap();
            let file = File::options().write(true).open(folder.path.join("square").join(name)).unwrap();
            file.set_modified(system_time(now) - age).unwrap();
        }
        folder.put("square/of tomorrow", b"paid".into(), NOW).await.unwrap();
        assert_eq!(folder.delete_older(DAY, now).await.unwrap(), 2);
        assert_eq!(files(&folder), ["of tomorrow", "under way.part", "young"]);
    }

    #[test]
    fn a_folder_is_made_with_those_above_it_and_may_be_there() {
        let scratch = tempfile::tempdir().unwrap();
        let deep = scratch.path().join("a/b/c");
        for _ in 0..2 {
            make_folder(&deep).unwrap();
            assert!(deep.is_dir());
        }
        fs::write(scratch.path().join("taken"), "by a file").unwrap();
        assert!(make_folder(&scratch.path().join("taken/data")).is_err());
    }

    #[test]
    fn a_bucket_is_reached_in_the_partition_of_its_region() {
        let url = |region| {
            let config =
                aws_types::SdkConfig::builder().region(aws_types::region::Region::new(region)).build();
            Bucket::new(&config, "kept".to_owned()).url("square/req_1")
        };
        assert_eq!(url("eu-central-1"), "https://kept.s3.eu-central-1.amazonaws.com/square/req_1");
        assert_eq!(url("us-gov-west-1"), "https://kept.s3.us-gov-west-1.amazonaws.com/square/req_1");
        assert_eq!(url("cn-north-1"), "https://kept.s3.cn-north-1.amazonaws.com.cn/square/req_1");
    }
}
