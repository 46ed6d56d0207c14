//! Reads a journal beside the daemon that writes it, and where there is none.

use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use thiserror::Error;

use super::query::{self, Rows};
use super::state::{Run, State};
use super::store::{self, Trouble};
use crate::model::EventQuery;

/// A journal opened to be read. It shows one moment: what is written meanwhile is not seen.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    path: PathBuf,
}

/// Why a journal cannot be read.
#[derive(Debug, Error)]
#[error("cannot read the journal {path}: {words}", path = path.display())]
pub struct ReadError {
    path: PathBuf,
    words: String,
}

impl Reader {
    /// Opens the file, also while a daemon has it open. Nothing is written to it, and right to read it is enough while a
    /// daemon runs or after it ended in order.
    ///
    /// # Errors
    /// Where it is missing, may not be read, is broken, or is not for this version.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let error = |words: String| ReadError { path: path.to_owned(), words };
        if !path.try_exists().map_err(|problem| error(problem.to_string()))? {
            return Err(error("there is no such file".to_owned()));
        }
        store::peek(path).map_err(|trouble| error(trouble.words().to_owned()))?;
        // Without a file beside it nobody writes, and nobody needs to make one: not even who may write there.
        let open = if store::beside(path, "-wal").exists() {
            Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        } else {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
            Connection::open_with_flags(immutable(path), flags)
        };
        let begin = |connection: Connection| {
            connection.busy_timeout(Duration::from_secs(2))?;
            connection.pragma_update(None, "temp_store", "MEMORY")?;
            connection.execute_batch("BEGIN")?;
            Ok(connection)
        };
        let connection = open.and_then(begin).map_err(|problem| error(Trouble::from(problem).words().to_owned()))?;
        Ok(Self { connection, path: path.to_owned() })
    }

    /// The events that a query asks for.
    ///
    /// # Errors
    /// Where the file is broken.
    pub fn events(&self, query: &EventQuery) -> Result<Rows, ReadError> {
        self.rows(query).map_err(|error| self.broken(error))
    }

    /// When the daemon last wrote, and whether it ended in order since.
    ///
    /// # Errors
    /// Where the file is broken.
    pub fn run(&self) -> Result<Option<Run>, ReadError> {
        self.last_run().map_err(|error| self.broken(error))
    }

    pub(super) fn rows(&self, query: &EventQuery) -> rusqlite::Result<Rows> {
        query::read(&self.connection, query)
    }

    pub(super) fn states(&self) -> rusqlite::Result<Vec<State>> {
        store::states(&self.connection)
    }

    pub(super) fn last_run(&self) -> rusqlite::Result<Option<Run>> {
        store::last_run(&self.connection)
    }

    fn broken(&self, error: rusqlite::Error) -> ReadError {
        ReadError { path: self.path.clone(), words: Trouble::from(error).words().to_owned() }
    }
}

/// The file as an address that tells SQLite not to look for anything beside it.
fn immutable(path: &Path) -> String {
    let mut address = "file:".to_owned();
    for byte in path.as_os_str().as_bytes() {
        let is_plain = byte.is_ascii_alphanumeric() || b"/._-".contains(byte);
        if is_plain {
            address.push(char::from(*byte));
        } else {
            write!(address, "%{byte:02X}").expect("a String takes all that is written to it");
        }
    }
    address + "?immutable=1"
}
