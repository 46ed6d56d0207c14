//! Reads small files, and knows when they change. What is configured as one may be a pipe that never ends or a device
//! that never fills.

mod cached;
mod version;
mod watch;

use std::fs::{self, Metadata};
use std::io;
use std::path::Path;

pub use cached::{CachedFile, FileCache};
pub use version::FileVersion;
pub use watch::{FileVersions, FileWatch, versions};

/// The largest file that is read: what is larger is no configuration, password, resolv.conf or set of roots.
const LARGEST: u64 = 4 << 20;

/// What the file holds.
///
/// # Errors
/// As the system says; and where it is not a regular file, or larger than 4 MiB.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    check(&fs::metadata(path)?)?;
    fs::read(path)
}

/// Whether the file that this metadata speaks of may be read.
///
/// # Errors
/// Where it is not a regular file, or larger than 4 MiB.
pub fn check(metadata: &Metadata) -> io::Result<()> {
    let refuse = |words| Err(io::Error::new(io::ErrorKind::InvalidInput, words));
    if !metadata.is_file() {
        return refuse("not a regular file");
    }
    if metadata.len() > LARGEST {
        return refuse("larger than 4 MiB");
    }
    Ok(())
}
