//! Tells when files that are read together have changed.

use std::path::PathBuf;

use super::FileVersion;

/// Files with their versions; `None` for one that is missing.
pub type FileVersions = Vec<(PathBuf, Option<FileVersion>)>;

/// Files as they were when they were last read, and at the last look. It is told what is seen and looks at nothing itself,
/// so that its owner decides which thread a file system may hold up.
#[derive(Debug)]
pub struct FileWatch {
    read: FileVersions,
    seen: FileVersions,
}

impl FileWatch {
    /// The files as they were before they were read.
    #[must_use]
    pub fn new(read: FileVersions) -> Self {
        Self { seen: read.clone(), read }
    }

    /// Notes what a look saw; true where the files are no longer as they were read, and the change has come to rest: two
    /// looks in a row saw the same.
    pub fn has_changed(&mut self, seen: FileVersions) -> bool {
        let at_rest = seen == self.seen;
        self.seen = seen;
        at_rest && self.seen != self.read
    }
}

/// The versions of these files as they lie there now.
pub fn versions(files: impl IntoIterator<Item = PathBuf>) -> FileVersions {
    let versioned = files.into_iter().map(|file| {
        let version = FileVersion::at(&file);
        (file, version)
    });
    versioned.collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_change_counts_once_it_has_come_to_rest_and_until_it_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        let look = || versions([path.clone()]);
        fs::write(&path, "a").unwrap();
        let mut watch = FileWatch::new(look());
        assert!(!watch.has_changed(look()));
        fs::write(&path, "ab").unwrap();
        assert!(!watch.has_changed(look()), "it may still be written to");
        assert!(watch.has_changed(look()));
        assert!(watch.has_changed(look()), "it was not read yet");
        watch = FileWatch::new(look());
        assert!(!watch.has_changed(look()));
        fs::remove_file(&path).unwrap();
        assert_eq!([watch.has_changed(look()), watch.has_changed(look())], [false, true]);
    }
}
