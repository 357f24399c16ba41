//! What one machine has instead of AWS: a queue, a table and its stream, each a SQLite file in one folder.
//!
//! Whatever is answered here is on disk first. Writes share their fsyncs ([`writer`]); nothing is held in memory that
//! a `kill -9` could take.

pub mod queue;
pub mod stream;
pub mod table;
#[cfg(test)]
mod testing;
mod writer;

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tillwatch_platform::payloads::make_folder;

/// Where the time comes from: Unix time in milliseconds.
pub type Now = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The folder that holds everything of one stack, and the promise that no other process is using it.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    /// Locked as long as it is open. The kernel lets go of it when the process ends, however it ends.
    _lock: File,
}

/// The folder can't be used. The operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another process has it open.
    #[error(
        "the data folder {} is in use by another tillwatch: stop that one, or give this one another folder",
        .0.display()
    )]
    InUse(PathBuf),
    /// It can't be made, or not be locked.
    #[error("the data folder {} can't be opened", path.display())]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl DataFolder {
    /// Opens the folder for this process alone, and makes it, for its owner's eyes only, where there is none.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, FolderError> {
        let path = path.into();
        let lock = make_folder(&path)
            .and_then(|()| File::options().create(true).append(true).open(path.join("lock")));
        match lock.map(|file| (file.try_lock(), file)) {
            Ok((Ok(()), file)) => Ok(Self { path, _lock: file }),
            Ok((Err(TryLockError::WouldBlock), _)) => Err(FolderError::InUse(path)),
            Ok((Err(TryLockError::Error(source)), _)) | Err(source) => {
                Err(FolderError::Unusable { path, source })
            }
        }
    }

    /// Where the file of that name lies.
    pub fn file(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use tempfile::tempdir;

    use super::testing::{given, killed, report};
    use super::*;

    #[test]
    fn a_folder_is_made_for_its_owner_alone() {
        let scratch = tempdir().unwrap();
        let folder = DataFolder::open(scratch.path().join("data/main")).unwrap();
        assert_eq!(folder.file("queue.db"), scratch.path().join("data/main/queue.db"));
        let mode = scratch.path().join("data/main").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_folder_in_use_is_refused_by_name_until_it_is_let_go() {
        let scratch = tempdir().unwrap();
        let first = DataFolder::open(scratch.path()).unwrap();
        let refusal = DataFolder::open(scratch.path()).unwrap_err();
        assert!(matches!(refusal, FolderError::InUse(_)));
        assert!(refusal.to_string().contains(&*scratch.path().to_string_lossy()));
        drop(first);
        DataFolder::open(scratch.path()).unwrap();
    }

    #[test]
    fn a_killed_process_lets_go_of_its_folder() {
        let scratch = tempdir().unwrap();
        let path = scratch.path().to_string_lossy();
        assert_eq!(killed("embedded::tests::holds_a_folder", &path, 1), ["refused to others"]);
        DataFolder::open(scratch.path()).unwrap();
    }

    #[test]
    #[ignore = "a child process of the test above"]
    fn holds_a_folder() {
        let path = given();
        let _folder = DataFolder::open(&path).unwrap();
        assert!(matches!(DataFolder::open(&path), Err(FolderError::InUse(_))));
        report("refused to others");
        std::thread::park();
    }

    #[test]
    fn a_folder_that_cannot_be_made_says_which_and_why() {
        let scratch = tempdir().unwrap();
        std::fs::write(scratch.path().join("taken"), "by a file").unwrap();
        let refusal = DataFolder::open(scratch.path().join("taken/data")).unwrap_err();
        assert!(refusal.to_string().contains("taken/data"));
        assert!(std::error::Error::source(&refusal).is_some());
    }
}
