//! Which events are asked for, and how they are read.

use std::time::Duration;

use rusqlite::types::{FromSql, Value};
use rusqlite::{Connection, Row, params_from_iter};
use serde::Serialize;

use crate::model::{
    CacheName, Event, EventKind, FindingId, ResolverName, SCHEMA_VERSION, Severity, Timestamp, WireText,
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

/// Which events are asked for. All conditions hold together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// At this moment or later.
    pub since: Option<Timestamp>,
    /// Before this moment.
    pub until: Option<Timestamp>,
    /// Of this cache.
    pub cache: Option<CacheName>,
    /// Of this kind.
    pub kind: Option<EventKind>,
    /// About this finding.
    pub finding: Option<FindingId>,
    /// With an id above this one.
    pub after: Option<u64>,
    /// With an id below this one.
    pub before: Option<u64>,
    /// In which order; it also says which ones are left out where there are more than `limit`.
    pub order: Order,
    /// At most so many.
    pub limit: usize,
}

/// The order of events, which is that of their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The latest first.
    Descending,
    /// The oldest first.
    Ascending,
}

impl Query {
    /// The latest so many of all events, the latest first.
    #[must_use]
    pub fn latest(limit: usize) -> Self {
        Self {
            since: None,
            until: None,
            cache: None,
            kind: None,
            finding: None,
            after: None,
            before: None,
            order: Order::Descending,
            limit,
        }
    }

    /// The first so many events after this one, the oldest first.
    #[must_use]
    pub fn following(id: u64, limit: usize) -> Self {
        Self { after: Some(id), order: Order::Ascending, ..Self::latest(limit) }
    }

    /// Whether an event that has no id yet is asked for: it would have one above all others.
    pub(super) fn admits(&self, event: &Event) -> bool {
        self.before.is_none()
            && self.since.is_none_or(|since| event.at >= since)
            && self.until.is_none_or(|until| event.at < until)
            && self.cache.as_ref().is_none_or(|cache| event.cache.as_ref() == Some(cache))
            && self.kind.is_none_or(|kind| event.kind == kind)
            && self.finding.is_none_or(|finding| event.finding == Some(finding))
    }

    fn conditions(&self) -> Vec<(&'static str, Value)> {
        let number = |number: u64| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
        let text = |text: &str| Value::Text(text.to_owned());
        let conditions = [
            ("at_ms >= ?", self.since.map(|at| number(at.unix_millis()))),
            ("at_ms < ?", self.until.map(|at| number(at.unix_millis()))),
            ("cache = ?", self.cache.as_ref().map(|cache| text(cache.as_str()))),
            ("kind = ?", self.kind.map(|kind| text(kind.as_str()))),
            ("finding = ?", self.finding.map(|finding| text(finding.as_str()))),
            ("id > ?", self.after.map(number)),
            ("id < ?", self.before.map(number)),
        ];
        conditions.into_iter().filter_map(|(condition, value)| Some((condition, value?))).collect()
    }

    fn sql(&self) -> (String, Vec<Value>) {
        let (conditions, mut values): (Vec<_>, Vec<_>) = self.conditions().into_iter().unzip();
        let filter = if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
        let order = match self.order {
            Order::Descending => "DESC",
            Order::Ascending => "ASC",
        };
        values.push(Value::Integer(i64::try_from(self.limit).unwrap_or(i64::MAX)));
        (format!("SELECT {COLUMNS} FROM events {filter} ORDER BY id {order} LIMIT ?"), values)
    }
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
pub(super) fn read(connection: &Connection, query: &Query) -> rusqlite::Result<Rows> {
    let (sql, values) = query.sql();
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
