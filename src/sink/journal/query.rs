//! Which events are asked for, and how they are read.

use std::time::Duration;

use rusqlite::types::{FromSql, Value};
use rusqlite::{Connection, Row, params_from_iter};
use serde::Serialize;

use crate::model::{
    CacheName, Event, EventKind, EventOrder, EventQuery, FindingId, ResolverName, SCHEMA_VERSION, Severity, Timestamp,
    WireText,
};

/// An event with its place in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recorded {
    /// Rises from event to event, and is never used twice; there may be gaps.
    pub id: u64,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}

/// Events that were asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// The events.
    pub events: Vec<Recorded>,
    /// The id of the last one, where there may be more behind it.
    pub next: Option<u64>,
    /// Events that are left out: a later version wrote them, or another hand.
    pub unreadable: usize,
}

/// Reads the rows that a query asks for.
pub(super) fn read(connection: &Connection, query: &EventQuery) -> rusqlite::Result<Rows> {
    let (sql, values) = sql(query);
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let (mut read, mut seen, mut last) = (Rows::default(), 0, None);
    while let Some(row) = rows.next()? {
        let id: u64 = row.get(0)?;
        seen += 1;
        last = Some(id);
        match event(row) {
            Some(event) => read.events.push(Recorded { id, event }),
            None => read.unreadable += 1,
        }
    }
    read.next = last.filter(|_| seen == query.limit);
    Ok(read)
}

const COLUMNS: &str = "id, at_ms, cache, kind, finding, severity, resolver, before, after, lasted_ms, evidence";

/// What is written: one event, in the order of these columns.
pub(super) const INSERT: &str = "INSERT INTO events
    (at_ms, cache, kind, finding, severity, resolver, before, after, lasted_ms, evidence, schema_version)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";

/// The values of [`INSERT`].
pub(super) fn values(event: &Event) -> [Value; 11] {
    fn text(text: Option<&str>) -> Value {
        text.map_or(Value::Null, |text| Value::Text(text.to_owned()))
    }
    let millis = |millis: u64| Value::Integer(i64::try_from(millis).unwrap_or(i64::MAX));
    let evidence: Vec<_> = event.evidence.iter().map(WireText::as_str).collect();
    [
        millis(event.at.unix_millis()),
        text(event.cache.as_ref().map(CacheName::as_str)),
        text(Some(event.kind.as_str())),
        text(event.finding.map(FindingId::as_str)),
        event.severity.map_or(Value::Null, |severity| Value::Integer(severity.number().into())),
        text(event.resolver.as_ref().map(ResolverName::as_str)),
        text(event.before.as_ref().map(WireText::as_str)),
        text(event.after.as_ref().map(WireText::as_str)),
        event.lasted.map_or(Value::Null, |lasted| millis(u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX))),
        Value::Text(serde_json::json!(evidence).to_string()),
        Value::Integer(SCHEMA_VERSION.into()),
    ]
}

/// The event of a row; `None` where it holds what this version does not know, or what another hand has put there.
fn event(row: &Row<'_>) -> Option<Event> {
    fn cell<T: FromSql>(row: &Row<'_>, name: &str) -> Option<T> {
        row.get(name).ok()
    }
    let text = |name| cell::<Option<String>>(row, name).map(|text| text.map(|text| WireText::new(&text)));
    let evidence: Vec<String> = serde_json::from_str(&cell::<String>(row, "evidence")?).ok()?;
    let severity = |number| Severity::ALL.into_iter().find(|severity| severity.number() == number);
    let event = Event {
        at: Timestamp::from_unix_millis(cell(row, "at_ms")?),
        cache: text("cache")?.map(|cache| CacheName::new(cache.as_str())),
        kind: EventKind::parse(&cell::<String>(row, "kind")?)?,
        finding: known(text("finding")?, |text| FindingId::parse(text.as_str()))?,
        severity: known(cell::<Option<u8>>(row, "severity")?, severity)?,
        resolver: text("resolver")?.map(|resolver| ResolverName::new(resolver.as_str())),
        before: text("before")?,
        after: text("after")?,
        lasted: cell::<Option<u64>>(row, "lasted_ms")?.map(Duration::from_millis),
        unwatched_since: None,
        evidence: evidence.iter().map(|line| WireText::new(line)).collect(),
    };
    Some(event.read_back())
}

/// What a cell stands for, where it is not empty; `None` where it is not known.
#[expect(clippy::option_option, reason = "an empty cell is not an unknown word")]
fn known<T, U>(cell: Option<T>, parse: impl FnOnce(T) -> Option<U>) -> Option<Option<U>> {
    match cell {
        None => Some(None),
        Some(cell) => parse(cell).map(Some),
    }
}

fn conditions(query: &EventQuery) -> Vec<(&'static str, Value)> {
    let number = |number: u64| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    let text = |text: &str| Value::Text(text.to_owned());
    let conditions = [
        ("at_ms >= ?", query.since.map(|at| number(at.unix_millis()))),
        ("at_ms < ?", query.until.map(|at| number(at.unix_millis()))),
        ("cache = ?", query.cache.as_ref().map(|cache| text(cache.as_str()))),
        ("kind = ?", query.kind.map(|kind| text(kind.as_str()))),
        ("finding = ?", query.finding.map(|finding| text(finding.as_str()))),
        ("id > ?", query.after.map(number)),
        ("id < ?", query.before.map(number)),
    ];
    conditions.into_iter().filter_map(|(condition, value)| Some((condition, value?))).collect()
}

fn sql(query: &EventQuery) -> (String, Vec<Value>) {
    let (conditions, mut values): (Vec<_>, Vec<_>) = conditions(query).into_iter().unzip();
    let filter = if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
    let order = match query.order {
        EventOrder::Descending => "DESC",
        EventOrder::Ascending => "ASC",
    };
    values.push(Value::Integer(i64::try_from(query.limit).unwrap_or(i64::MAX)));
    (format!("SELECT {COLUMNS} FROM events {filter} ORDER BY id {order} LIMIT ?"), values)
}
