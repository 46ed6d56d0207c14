//! The tables of a journal, and the steps that lead an older file to them.

use rusqlite::{Connection, Transaction};

/// What tells a journal from every other SQLite file: `CWJL` in its header.
pub(super) const APPLICATION_ID: i32 = 0x4357_4a4c;

/// The version of the tables, in the file's header as `user_version`.
pub const JOURNAL_VERSION: u32 = 1;

/// What leads from each version to the next; the first one starts from an empty file. A step that has been released is never
/// changed: a later one corrects it.
const STEPS: [&str; JOURNAL_VERSION as usize] = ["
    -- AUTOINCREMENT: an id is not used again, not even after the event was pruned.
    CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at_ms INTEGER NOT NULL,
        cache TEXT,
        kind TEXT NOT NULL,
        finding TEXT,
        severity INTEGER,
        resolver TEXT,
        before TEXT,
        after TEXT,
        lasted_ms INTEGER,
        evidence TEXT NOT NULL,
        schema_version INTEGER NOT NULL
    );
    CREATE INDEX events_by_time ON events (at_ms);
    CREATE INDEX events_by_cache ON events (cache);
    CREATE INDEX events_by_kind ON events (kind);
    CREATE INDEX events_by_finding ON events (finding) WHERE finding IS NOT NULL;

    CREATE TABLE states (
        cache TEXT PRIMARY KEY,
        host TEXT NOT NULL,
        port INTEGER NOT NULL,
        memento TEXT NOT NULL,
        updated_ms INTEGER NOT NULL
    ) WITHOUT ROWID;

    CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;

    -- For people with sqlite3 at hand.
    CREATE VIEW history AS
        SELECT id, strftime('%Y-%m-%dT%H:%M:%fZ', at_ms / 1000.0, 'unixepoch') AS at, cache, kind, finding, severity,
               resolver, before, after, lasted_ms / 1000.0 AS before_lasted_seconds, evidence
        FROM events ORDER BY id;
"];

/// Leads the file from `version` to [`JOURNAL_VERSION`], in one transaction: after a kill it is one of the two.
///
/// `first_id` is what the ids of a file that is made now are above.
pub(super) fn migrate(connection: &mut Connection, version: u32, first_id: u64) -> rusqlite::Result<()> {
    if version >= JOURNAL_VERSION {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    for step in STEPS.iter().skip(version as usize) {
        transaction.execute_batch(step)?;
    }
    if version == 0 {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        raise_ids(&transaction, first_id)?;
    }
    transaction.pragma_update(None, "user_version", JOURNAL_VERSION)?;
    transaction.commit()
}

/// Lets the next event have an id above this one.
pub(super) fn raise_ids(transaction: &Transaction<'_>, above: u64) -> rusqlite::Result<()> {
    let known = transaction.execute("UPDATE sqlite_sequence SET seq = max(seq, ?1) WHERE name = 'events'", [above])?;
    if known == 0 {
        transaction.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('events', ?1)", [above])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written out by hand, so that a change of a released step shows here.
    #[test]
    fn the_first_version_has_these_tables() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, 0, 41).unwrap();
        let list =
            "SELECT group_concat(name, ' ') FROM (SELECT type || ':' || name AS name FROM sqlite_schema ORDER BY 1)";
        let names: String = connection.query_row(list, [], |row| row.get(0)).unwrap();
        let expected = "index:events_by_cache index:events_by_finding index:events_by_kind index:events_by_time table:events \
                        table:meta table:sqlite_sequence table:states view:history";
        assert_eq!(names, expected);
        let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0)).unwrap();
        assert_eq!((version, application), (JOURNAL_VERSION, APPLICATION_ID));
        // What is there already is left alone.
        migrate(&mut connection, JOURNAL_VERSION, 0).unwrap();
        assert_eq!(connection.query_row("SELECT seq FROM sqlite_sequence", [], |row| row.get(0)), Ok(41));
    }
}
