//! The journal's file: opened with care, written in whole transactions, kept within its bounds.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior};

use super::query::{self, Rows};
use super::reference::Kept;
use super::schema::{self, APPLICATION_ID, JOURNAL_VERSION};
use super::state::{Run, State};
use crate::model::{CacheName, Event, EventKind, EventQuery, Timestamp};

/// How long a write waits for another program that holds the file, `sqlite3` for example.
const BUSY: Duration = Duration::from_secs(2);

/// The most events that one step of pruning removes: a few milliseconds.
const STEP: usize = 500;

/// Pages that one step gives back to the file system.
const PAGES: usize = 256;

/// In `meta`: when the journal was last written, by the clock of that moment.
const ALIVE: &str = "last_alive_ms";

/// In `meta`: what the age of events is measured against. A version that does not know it leaves it alone.
const REFERENCE: &str = "reference_ms";

/// A journal that can be written.
#[derive(Debug)]
pub(super) struct Store {
    connection: Connection,
    file: Option<OpenFile>,
    /// Set while the file is being made smaller than it may be, so that it does not have to be made so all the time.
    shrinking: bool,
    /// Set while there is something that was removed and is still part of what waits beside the file.
    pruned: bool,
}

/// What is known of the file while it is open.
#[derive(Debug)]
struct OpenFile {
    path: PathBuf,
    identity: Identity,
    /// Its length when it was last looked at, in bytes.
    length: u64,
    /// Held for as long as this is open.
    ///
    /// Invariant: the journal's file itself is never opened beside SQLite. Its locks are those of POSIX, which a process
    /// loses when it closes any handle of the file.
    _lock: File,
}

/// Which file a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(metadata: &fs::Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// Why a journal cannot be used.
#[derive(Debug)]
pub(super) enum Trouble {
    /// For now: it may be used later as it is.
    Unavailable(String),
    /// The path leads to another file than the one that is open, or to none.
    Gone(String),
    /// It must be looked through before it is used again.
    Suspect(String),
    /// What it holds is broken.
    Damaged(String),
    /// It is not for this program, or not for this version of it. It is not touched.
    Refused(String),
}

impl Trouble {
    pub(super) fn words(&self) -> &str {
        match self {
            Self::Unavailable(words)
            | Self::Gone(words)
            | Self::Suspect(words)
            | Self::Damaged(words)
            | Self::Refused(words) => words,
        }
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        let words = error.to_string();
        let advice = match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => return Self::Damaged(words),
            Some(ErrorCode::DiskFull) => "; make room, or lower journal.max_size",
            Some(ErrorCode::DatabaseBusy) => "; another program holds it",
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen) => "; may this user write there?",
            _ => "",
        };
        Self::Unavailable(format!("{words}{advice}"))
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        let advice = match error.kind() {
            io::ErrorKind::NotFound => "; make its directory",
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => "; may this user write there?",
            io::ErrorKind::StorageFull => "; make room",
            _ => "",
        };
        Self::Unavailable(format!("{error}{advice}"))
    }
}

impl Store {
    /// A journal that is gone with the program.
    pub(super) fn in_memory(first_id: u64) -> Result<Self, Trouble> {
        let mut connection = Connection::open_in_memory()?;
        schema::migrate(&mut connection, 0, first_id)?;
        Ok(Self { connection, file: None, shrinking: false, pruned: false })
    }

    /// Opens the file, or makes it, and leads it to this version.
    ///
    /// Every id from now on is above `last_id`, and in a file that is made now above `first_id` as well: ids of a file that
    /// was lost may be known somewhere.
    ///
    /// `checked` is the file that is known to be sound; any other one is looked through, which takes about a second for
    /// every 256 MiB.
    pub(super) fn open(path: &Path, last_id: u64, first_id: u64, checked: Option<Identity>) -> Result<Self, Trouble> {
        let lock = lock(path)?;
        peek(path)?;
        // Made here and closed again before SQLite opens it, so that nobody else may read it.
        drop(OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?);
        let identity = Identity::of(&fs::metadata(path)?);
        let mut connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | NO_MUTEX)?;
        connection.busy_timeout(BUSY)?;
        // A container may have no place for temporary files.
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update(None, "cell_size_check", true)?;
        let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let is_new = version == 0 && tables(&connection)? == 0;
        if is_new {
            // Pages can be given back only by a file that was made so.
            connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        } else if checked != Some(identity) {
            check(&connection)?;
        }
        schema::migrate(&mut connection, version, first_id)?;
        let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
        if mode != "wal" {
            return Err(Trouble::Unavailable(format!("its file system cannot share memory (journal mode {mode})")));
        }
        connection.pragma_update(None, "synchronous", "FULL")?;
        let metadata = fs::metadata(path)?;
        if Identity::of(&metadata) != identity {
            return Err(Trouble::Gone("its file was replaced while it was opened".to_owned()));
        }
        let file = OpenFile { path: path.to_owned(), identity, length: metadata.len(), _lock: lock };
        let mut store = Self { connection, file: Some(file), shrinking: false, pruned: false };
        store.raise_ids(last_id)?;
        Ok(store)
    }

    /// Which file this is; `None` in memory.
    pub(super) fn identity(&self) -> Option<Identity> {
        self.file.as_ref().map(|file| file.identity)
    }

    /// Writes in one transaction: all of it is there afterwards, or nothing. Gives the ids of the events.
    ///
    /// `alive` is what the clock says; `reference` is what the age of events is measured against.
    pub(super) fn write(
        &mut self,
        events: &[Event],
        states: &[(CacheName, Option<State>)],
        alive: Timestamp,
        reference: Timestamp,
    ) -> Result<Vec<u64>, Trouble> {
        self.check_place()?;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut ids = Vec::with_capacity(events.len());
        {
            let mut insert = transaction.prepare(query::INSERT)?;
            for event in events {
                insert.execute(query::values(event))?;
                ids.push(u64::try_from(transaction.last_insert_rowid()).unwrap_or(0));
            }
        }
        for (cache, state) in states {
            match state {
                Some(state) => transaction.execute(
                    "INSERT OR REPLACE INTO states (cache, host, port, memento, updated_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
                    (cache.as_str(), &state.host, state.port, &state.memento, alive.unix_millis()),
                )?,
                None => transaction.execute("DELETE FROM states WHERE cache = ?1", [cache.as_str()])?,
            };
        }
        for (name, moment) in [(ALIVE, alive), (REFERENCE, reference)] {
            let sql = "INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)";
            transaction.execute(sql, (name, moment.unix_millis()))?;
        }
        transaction.commit()?;
        // What was committed into a file that nobody can find any more is not acknowledged.
        self.check_place()?;
        Ok(ids)
    }

    /// Reads what a query asks for.
    pub(super) fn read(&self, query: &EventQuery) -> Result<Rows, Trouble> {
        Ok(query::read(&self.connection, query)?)
    }

    /// What was kept of every cache.
    pub(super) fn states(&self) -> Result<Vec<State>, Trouble> {
        Ok(states(&self.connection)?)
    }

    /// How the run before this one ended.
    pub(super) fn last_run(&self) -> Result<Option<Run>, Trouble> {
        Ok(last_run(&self.connection)?)
    }

    /// What the file says of time; `None` where nothing was written to it yet.
    pub(super) fn kept_time(&self) -> Result<Option<Kept>, Trouble> {
        let (alive, reference) = (moment(&self.connection, ALIVE)?, moment(&self.connection, REFERENCE)?);
        // A file whose notes were lost still has its events.
        let newest = || moment_of_newest(&self.connection);
        let alive = alive.or(reference).map_or_else(newest, |alive| Ok(Some(alive)))?;
        Ok(alive.map(|alive| Kept { reference, alive }))
    }

    /// The highest id there is.
    pub(super) fn last_id(&self) -> Result<u64, Trouble> {
        let last =
            self.connection.query_row("SELECT seq FROM sqlite_sequence WHERE name = 'events'", [], |row| row.get(0));
        Ok(last.optional()?.unwrap_or(0))
    }

    /// How many events there are.
    pub(super) fn count(&self) -> Result<usize, Trouble> {
        Ok(self.connection.query_row("SELECT count(*) FROM events", [], |row| row.get(0))?)
    }

    /// Bytes of the file and of what waits beside it to be merged into it; in memory, of the pages.
    pub(super) fn size(&self) -> Result<u64, Trouble> {
        match &self.file {
            Some(file) => Ok(length(&file.path) + length(&beside(&file.path, "-wal"))),
            None => Ok(self.pages("page_count")? * self.pages("page_size")?),
        }
    }

    /// One bounded step towards the limits; true where another one is needed.
    pub(super) fn prune(&mut self, oldest: Timestamp, max_size: u64) -> Result<bool, Trouble> {
        self.check_place()?;
        let aged = self.connection.execute(
            "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE at_ms < ?1 LIMIT ?2)",
            (oldest.unix_millis(), STEP),
        )?;
        if !self.shrinking && self.size()? > max_size {
            self.checkpoint()?;
            self.shrinking = self.size()? > max_size;
        }
        let mut cut = 0;
        if self.shrinking {
            let used = (self.pages("page_count")? - self.pages("freelist_count")?) * self.pages("page_size")?;
            // A tenth below the limit, so that the next event is not already beyond it.
            if used > max_size / 10 * 9 {
                cut = self
                    .connection
                    .execute("DELETE FROM events WHERE id IN (SELECT id FROM events ORDER BY id LIMIT ?1)", [STEP])?;
            }
        }
        let free = self.pages("freelist_count")?;
        if free > 0 {
            let mut vacuum = self.connection.prepare(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
            let mut rows = vacuum.query([])?;
            // Each row is one page.
            while rows.next()?.is_some() {}
        }
        let more = aged == STEP || cut > 0 || free > PAGES as u64;
        self.pruned |= aged > 0 || cut > 0 || free > 0;
        if !more {
            if self.pruned {
                self.checkpoint()?;
            }
            (self.shrinking, self.pruned) = (false, false);
        }
        Ok(more)
    }

    /// Removes the oldest events beyond the latest `most`.
    pub(super) fn keep_latest(&mut self, most: usize) -> Result<(), Trouble> {
        self.connection.execute(
            "DELETE FROM events WHERE id <= (SELECT id FROM events ORDER BY id DESC LIMIT 1 OFFSET ?1)",
            [most],
        )?;
        Ok(())
    }

    /// Whether the path still leads to this very file, and nothing was cut off it.
    ///
    /// SQLite would go on writing into a file that was removed, where no reader would find it.
    pub(super) fn check_place(&mut self) -> Result<(), Trouble> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let metadata = match fs::metadata(&file.path) {
            Ok(metadata) => metadata,
            Err(error) => return Err(Trouble::Gone(format!("its file was removed: {error}"))),
        };
        if Identity::of(&metadata) != file.identity {
            return Err(Trouble::Gone("another file was put in its place".to_owned()));
        }
        let before = std::mem::replace(&mut file.length, metadata.len());
        // It becomes shorter when pages are given back, and is then still as long as its pages.
        if metadata.len() < before && metadata.len() < self.pages("page_count")? * self.pages("page_size")? {
            return Err(Trouble::Suspect(format!("its file was cut from {before} to {} bytes", metadata.len())));
        }
        Ok(())
    }

    /// Leaves the file as it is: what waits beside it is not merged into a file that may be broken, or another one.
    pub(super) fn abandon(self) {
        // Where even this cannot be set, the file is closed as usual.
        let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    }

    /// Merges into the file what waits beside it. Where a reader is in the way, the next time does it.
    fn checkpoint(&mut self) -> Result<(), Trouble> {
        if self.file.is_some() {
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        }
        Ok(())
    }

    fn raise_ids(&mut self, above: u64) -> Result<(), Trouble> {
        if self.last_id()? < above {
            let transaction = self.connection.transaction()?;
            schema::raise_ids(&transaction, above)?;
            transaction.commit()?;
        }
        Ok(())
    }

    fn pages(&self, pragma: &str) -> Result<u64, Trouble> {
        Ok(self.connection.pragma_query_value(None, pragma, |row| row.get(0))?)
    }
}

const NO_MUTEX: OpenFlags = OpenFlags::SQLITE_OPEN_NO_MUTEX;

/// Makes sure that no other daemon has the journal.
fn lock(path: &Path) -> Result<File, Trouble> {
    let place = beside(path, ".lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&place)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Trouble::Unavailable(
            "another cachewatch uses this journal; give each one its own journal.path".to_owned(),
        )),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// Looks at the first bytes of a file, so that one which is not ours is not even opened by SQLite.
pub(super) fn peek(path: &Path) -> Result<(), Trouble> {
    const MAGIC: &[u8] = b"SQLite format 3\0";
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    if !metadata.is_file() {
        return Err(Trouble::Refused("it is not a file; set journal.path to a file".to_owned()));
    }
    let mut head = Vec::new();
    File::open(path)?.take(4096).read_to_end(&mut head)?;
    let number = |at: usize| head.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
    match (number(60), number(68)) {
        _ if head.is_empty() => Ok(()),
        _ if !head.starts_with(MAGIC) => {
            // Whoever names a file of another kind by mistake wants to keep it where it is.
            let is_text = std::str::from_utf8(&head).is_ok_and(|text| !text.contains('\0'));
            let words = "it is not a journal";
            Err(if is_text {
                Trouble::Refused(format!("{words} but a text file; set journal.path to another file"))
            } else {
                Trouble::Damaged(format!("{words}: its head is not that of SQLite"))
            })
        }
        (Some(version), Some(application)) if application == APPLICATION_ID.cast_unsigned() => {
            if version > JOURNAL_VERSION {
                return Err(Trouble::Refused(format!(
                    "a later cachewatch wrote it (version {version}, this one supports {JOURNAL_VERSION}); start that \
                     one, or set journal.path to another file"
                )));
            }
            Ok(())
        }
        // A file whose tables were never made: its maker was killed at once.
        (Some(0), Some(0)) if metadata.len() <= 4096 => Ok(()),
        (Some(_), Some(_)) => {
            Err(Trouble::Refused("it is the database of another program; set journal.path to another file".to_owned()))
        }
        _ => Err(Trouble::Damaged(format!("it ends after {} bytes", metadata.len()))),
    }
}

/// Looks the whole file through.
fn check(connection: &Connection) -> Result<(), Trouble> {
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" { Ok(()) } else { Err(Trouble::Damaged(verdict)) }
}

fn tables(connection: &Connection) -> rusqlite::Result<u32> {
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
}

pub(super) fn states(connection: &Connection) -> rusqlite::Result<Vec<State>> {
    let mut statement = connection.prepare("SELECT cache, host, port, memento FROM states ORDER BY cache")?;
    let states = statement.query_map([], |row| {
        let cache: String = row.get(0)?;
        Ok(State { cache: CacheName::new(&cache), host: row.get(1)?, port: row.get(2)?, memento: row.get(3)? })
    })?;
    states.collect()
}

/// A time that `meta` keeps under this name; `None` where it keeps none, or the value is not a time.
fn moment(connection: &Connection, name: &str) -> rusqlite::Result<Option<Timestamp>> {
    let value = connection.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0));
    Ok(match value.optional()? {
        Some(Value::Integer(millis)) => u64::try_from(millis).ok().map(Timestamp::from_unix_millis),
        _ => None,
    })
}

/// When the last run was alive last, and whether it ended in order.
pub(super) fn last_run(connection: &Connection) -> rusqlite::Result<Option<Run>> {
    let Some(last_alive) = moment(connection, ALIVE)? else { return Ok(None) };
    let [started, stopping] = [EventKind::Started, EventKind::Stopping].map(EventKind::as_str);
    let last = connection.query_row(
        "SELECT kind FROM events WHERE kind IN (?1, ?2) ORDER BY id DESC LIMIT 1",
        [started, stopping],
        |row| row.get::<_, String>(0),
    );
    let stopped = last.optional()?.is_some_and(|kind| kind == stopping);
    Ok(Some(Run { last_alive, stopped }))
}

/// When the newest event happened.
fn moment_of_newest(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    let newest = connection.query_row("SELECT at_ms FROM events ORDER BY id DESC LIMIT 1", [], |row| row.get(0));
    Ok(newest.optional()?.map(Timestamp::from_unix_millis))
}

/// Moves a broken file out of the way, with what belongs to it, and gives its new name. Nothing is deleted.
pub(super) fn set_aside(path: &Path, at: Timestamp) -> io::Result<PathBuf> {
    let compact: String = at.to_string().chars().take(19).filter(|letter| !matches!(letter, '-' | ':')).collect();
    let names = (1..100).map(|number| match number {
        1 => format!(".corrupt-{compact}Z"),
        _ => format!(".corrupt-{compact}Z-{number}"),
    });
    let free = names.map(|end| beside(path, &end)).find(|name| !name.exists());
    let target = free.ok_or_else(|| io::Error::other("a hundred files were set aside in one second"))?;
    // What waits to be merged goes first: a new file must not find it, and take it for its own.
    for end in ["-wal", "-shm", ""] {
        match fs::rename(beside(path, end), beside(&target, end)) {
            Err(error) if end.is_empty() || error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(target)
}

/// `journal.db` with an ending behind it.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

/// Bytes of a file; 0 where there is none.
fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}
