//! A small file that is read again only when it changed.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock;
use crate::file;
use crate::model::FileVersion;

/// How long the file is trusted not to have changed: one look a second serves every probe that falls into it.
const TRUSTED: Duration = Duration::from_secs(1);

/// What a file holds, parsed once per version of the file.
///
/// The files read this way are local and small (resolv.conf, hosts, a password, a set of roots), so they are read in
/// place; a rename over the file, a swapped symbolic link and a write in place are all seen.
#[derive(Debug)]
pub(super) struct Remembered<T> {
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

impl<T> Remembered<T> {
    pub(super) fn new(path: &Path, parse: fn(&[u8]) -> T) -> Self {
        Self { path: path.to_owned(), parse, last: Mutex::new(None) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What the file holds now. An error is never remembered: the next call looks again.
    pub(super) fn read(&self) -> io::Result<Arc<T>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::instant();
        if let Some(last) = &*last
            && now.saturating_duration_since(last.looked) < TRUSTED
        {
            return Ok(Arc::clone(&last.value));
        }
        let version =
            fs::metadata(&self.path).and_then(|metadata| file::check(&metadata).map(|()| FileVersion::of(&metadata)));
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
        let value = Arc::new((self.parse)(&file::read(&self.path)?));
        *last = Some(Last { looked: now, version, value: Arc::clone(&value) });
        Ok(value)
    }
}

/// Files of one kind, each remembered under its path.
#[derive(Debug)]
pub(super) struct Shelf<T> {
    parse: fn(&[u8]) -> T,
    files: Mutex<HashMap<PathBuf, Arc<Remembered<T>>>>,
}

impl<T> Shelf<T> {
    pub(super) fn new(parse: fn(&[u8]) -> T) -> Self {
        Self { parse, files: Mutex::default() }
    }

    /// What that file holds now; see [`Remembered::read`].
    pub(super) fn read(&self, path: &Path) -> io::Result<Arc<T>> {
        let file = {
            let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(files.entry(path.to_owned()).or_insert_with(|| Arc::new(Remembered::new(path, self.parse))))
        };
        file.read()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_changed_file_is_seen_and_an_unchanged_one_is_parsed_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        let file = Remembered::new(&path, <[u8]>::to_vec);
        assert_eq!(file.read().unwrap_err().kind(), io::ErrorKind::NotFound);

        fs::write(&path, "one").unwrap();
        let one = file.read().unwrap();
        assert_eq!(*one, b"one");

        tokio::time::advance(TRUSTED).await;
        assert!(Arc::ptr_eq(&one, &file.read().unwrap()), "an unchanged file was parsed again");

        let next = directory.path().join("next");
        fs::write(&next, "two").unwrap();
        fs::rename(&next, &path).unwrap();
        tokio::time::advance(TRUSTED).await;
        assert_eq!(*file.read().unwrap(), b"two");

        fs::remove_file(&path).unwrap();
        tokio::time::advance(TRUSTED).await;
        assert_eq!(file.read().unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(
            Remembered::new(directory.path(), <[u8]>::to_vec).read().unwrap_err().to_string(),
            "not a regular file"
        );
    }
}
