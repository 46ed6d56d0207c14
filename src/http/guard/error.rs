//! What is wrong with the files that guard the daemon.

use std::fmt;
use std::path::{Path, PathBuf};

/// Everything that is wrong with the files that guard the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardError(pub(super) Vec<FileFault>);

/// One thing that is wrong with such a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileFault {
    pub(super) file: PathBuf,
    /// From 1, where one line can be named.
    pub(super) line: Option<usize>,
    pub(super) words: String,
}

impl FileFault {
    pub(super) fn new(file: &Path, line: Option<usize>, words: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, words: words.into() }
    }
}

impl fmt::Display for GuardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, FileFault { file, line, words }) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            match line {
                Some(line) => write!(f, "{}:{line}: {words}", file.display())?,
                None => write!(f, "{}: {words}", file.display())?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for GuardError {}

impl From<FileFault> for GuardError {
    fn from(fault: FileFault) -> Self {
        Self(vec![fault])
    }
}

impl From<Vec<FileFault>> for GuardError {
    fn from(faults: Vec<FileFault>) -> Self {
        Self(faults)
    }
}
