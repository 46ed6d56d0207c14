//! A small file that is read again only when it changed.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::FileVersion;

/// How long the file is trusted not to have changed: one look a second serves every read that falls into it.
const TRUSTED: Duration = Duration::from_secs(1);

/// What a file holds, parsed once per version of the file.
///
/// The files read this way are local and small (resolv.conf, hosts, a password, a set of roots), so they are read in
/// place; a rename over the file, a swapped symbolic link and a write in place are all seen.
#[derive(Debug)]
pub struct CachedFile<T> {
    path: PathBuf,
    parse: fn(&[u8]) -> T,
    last: Mutex<Option<Last<T>>>,
}

#[derive(Debug)]
struct Last<T> {
    looked: Instant,
    version: FileVersion,
    value: Arc<T>,
}

impl<T> CachedFile<T> {
    /// Nothing is read yet. `parse` makes a value of what the file holds.
    #[must_use]
    pub fn new(path: &Path, parse: fn(&[u8]) -> T) -> Self {
        Self { path: path.to_owned(), parse, last: Mutex::new(None) }
    }

    /// Where the file lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the file holds at `now`.
    ///
    /// # Errors
    /// As [`read`](super::read) says. An error is never kept: the next call looks again.
    pub fn read(&self, now: Instant) -> io::Result<Arc<T>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = &*last
            && now.saturating_duration_since(last.looked) < TRUSTED
        {
            return Ok(Arc::clone(&last.value));
        }
        let version =
            fs::metadata(&self.path).and_then(|metadata| super::check(&metadata).map(|()| FileVersion::of(&metadata)));
        let version = match version {
            Ok(version) => version,
            Err(error) => {
                *last = None;
                return Err(error);
            }
        };
        if let Some(last) = &mut *last
            && last.version == version
        {
            last.looked = now;
            return Ok(Arc::clone(&last.value));
        }
        let value = Arc::new((self.parse)(&super::read(&self.path)?));
        *last = Some(Last { looked: now, version, value: Arc::clone(&value) });
        Ok(value)
    }
}

/// Files of one kind, each cached under its path.
#[derive(Debug)]
pub struct FileCache<T> {
    parse: fn(&[u8]) -> T,
    files: Mutex<HashMap<PathBuf, Arc<CachedFile<T>>>>,
}

impl<T> FileCache<T> {
    /// Nothing is read yet. `parse` makes a value of what a file holds.
    #[must_use]
    pub fn new(parse: fn(&[u8]) -> T) -> Self {
        Self { parse, files: Mutex::default() }
    }

    /// What that file holds at `now`.
    ///
    /// # Errors
    /// See [`CachedFile::read`].
    pub fn read(&self, path: &Path, now: Instant) -> io::Result<Arc<T>> {
        let file = {
            let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(files.entry(path.to_owned()).or_insert_with(|| Arc::new(CachedFile::new(path, self.parse))))
        };
        file.read(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_seen_and_an_unchanged_one_is_parsed_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        let file = CachedFile::new(&path, <[u8]>::to_vec);
        #[expect(clippy::disallowed_methods, reason = "time is an argument here, and a test begins somewhere")]
        let mut now = Instant::now();
        assert_eq!(file.read(now).unwrap_err().kind(), io::ErrorKind::NotFound);

        fs::write(&path, "one").unwrap();
        let one = file.read(now).unwrap();
        assert_eq!(*one, b"one");

        now += TRUSTED;
        assert!(Arc::ptr_eq(&one, &file.read(now).unwrap()), "an unchanged file was parsed again");

        let next = directory.path().join("next");
        fs::write(&next, "two").unwrap();
        fs::rename(&next, &path).unwrap();
        now += TRUSTED;
        assert_eq!(*file.read(now).unwrap(), b"two");

        fs::remove_file(&path).unwrap();
        now += TRUSTED;
        assert_eq!(file.read(now).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(
            CachedFile::new(directory.path(), <[u8]>::to_vec).read(now).unwrap_err().to_string(),
            "not a regular file"
        );
    }
}
