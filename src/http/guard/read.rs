//! The small files that guard the daemon.

use std::path::Path;

use super::error::{FileFault, GuardError};
use crate::file;

/// The bytes of a file.
pub(super) fn bytes(path: &Path) -> Result<Vec<u8>, FileFault> {
    file::read(path).map_err(|error| FileFault::new(path, None, format!("cannot be read: {error}")))
}

/// The whole text of a file.
pub(super) fn text(path: &Path) -> Result<String, GuardError> {
    let text = String::from_utf8(bytes(path)?).map_err(|_| FileFault::new(path, None, "it is not UTF-8 text"))?;
    Ok(text)
}
