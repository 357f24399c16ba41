//! Why a command stops before its end. Each error is a sentence for the operator that says what to do next.

use std::io;
use std::path::PathBuf;

use tillwatch_providers::SettingsError;

use super::client::ApiError;
use super::config::Stopped;
use super::secrets::SecretsError;

/// Why a command stops.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The stack could not be asked, or refused.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The secrets file has not what is needed.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// Nothing can be printed any more.
    #[error("the output can't be written: {0}")]
    Output(#[from] io::Error),
    /// A file that was named can't be read.
    #[error("{} can't be read: {}", path.display(), source.kind())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file that was named can't be written.
    #[error("{} can't be written: {}", path.display(), source.kind())]
    NotWritten {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The stack could not answer while a configuration was sent.
    #[error("{0}")]
    Stopped(Stopped),
    /// A file of vectors is not one.
    #[error("{}, line {line}, column {column}: {problem}", path.display())]
    Vectors {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
        /// What is wrong there.
        problem: String,
    },
    /// The keys of the secrets file can't sign.
    #[error("nothing can be signed for {provider} with {}: {source}", path.display())]
    Sign {
        /// The provider's name.
        provider: &'static str,
        /// The secrets file.
        path: PathBuf,
        /// What is missing in it.
        source: SettingsError,
    },
    /// The provider has no sample of that type.
    #[error("{provider} has no sample of the type `{kind}`. There are: {known}")]
    NoSample {
        /// The provider's name.
        provider: &'static str,
        /// The type asked for.
        kind: String,
        /// Those there are.
        known: String,
    },
}

impl Error {
    /// Whether whoever reads the output has had enough, as `head` has.
    pub(super) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}
