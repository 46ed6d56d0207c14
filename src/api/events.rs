//! `/api/v1/events`: which events are asked for, and the answer.

use serde::{Deserialize, Serialize};

use crate::model::{CacheName, Event, EventKind, EventOrder, EventQuery, FindingId, Timestamp, WireText, vocabulary};

/// Where events are.
const PATH: &str = "/api/v1/events";

/// Events in an answer, where the request does not say how many.
const DEFAULT_LIMIT: usize = 100;

/// Events in an answer, at most.
pub const MOST: usize = 1_000;

/// A page of events: each an [`EventEntry`] where they are written; what reads them may not know the kinds of a later version.
#[derive(Debug, Serialize, Deserialize)]
pub struct EventsDocument<E> {
    /// The journal they are from.
    pub journal: JournalState,
    /// The events, in the order that was asked for.
    pub events: Vec<E>,
    /// Where the next events are, in the same order; none where these are the last.
    pub next: Option<String>,
}

/// How the journal is.
#[derive(Debug, Serialize, Deserialize)]
pub struct JournalState {
    /// Where it is kept.
    pub kept_in: KeptIn,
    /// Whether it can be written.
    pub up: bool,
    /// Events that were lost.
    pub lost: u64,
    /// Events of this page that this version cannot read.
    pub left_out: usize,
}

vocabulary! {
    /// Where a journal is kept.
    pub enum KeptIn {
        /// In a file: it is there after the daemon has ended.
        File = "file",
        /// In memory: it goes when the daemon does.
        Memory = "memory",
    }
}

/// An event as it is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EventEntry {
    /// None where the event waits to be written.
    pub id: Option<u64>,
    /// Whether it is there after the daemon has ended, however it ends.
    pub durable: bool,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// The path of the events that a query asks for.
#[must_use]
pub fn path(query: &EventQuery) -> String {
    let mut parts = Vec::new();
    let mut part = |name: &str, value: Option<String>| parts.extend(value.map(|value| format!("{name}={value}")));
    part("since", query.since.map(|at| at.to_string()));
    part("until", query.until.map(|at| at.to_string()));
    // The name of a cache holds nothing that has a meaning in an address.
    part("cache", query.cache.as_ref().map(ToString::to_string));
    part("kind", query.kind.map(|kind| kind.to_string()));
    part("finding", query.finding.map(|finding| finding.to_string()));
    part("after", query.after.map(|id| id.to_string()));
    part("before", query.before.map(|id| id.to_string()));
    part("order", (query.order == EventOrder::Ascending).then(|| "asc".to_owned()));
    part("limit", Some(query.limit.to_string()));
    format!("{PATH}?{}", parts.join("&"))
}

/// Reads the parameters. What is wrong is told with the name of its parameter, and without its value, which came from the
/// request.
///
/// # Errors
/// With the name of the parameter that is wrong, and why.
pub fn read(parameters: &[(String, String)], now: Timestamp) -> Result<EventQuery, String> {
    const KNOWN: &str = "since, until, cache, kind, finding, after, before, order, limit";
    let mut query = EventQuery::latest(DEFAULT_LIMIT);
    for (index, (name, value)) in parameters.iter().enumerate() {
        if parameters.iter().take(index).any(|(earlier, _)| earlier == name) {
            return Err(format!("{}: given twice", WireText::new(name)));
        }
        let number =
            |name: &str| value.parse::<u64>().map_err(|_| format!("{name}: not an id, which is a whole number"));
        let moment = |name: &str| {
            Timestamp::said(value, now).map(Some).ok_or_else(|| format!("{name}: {}", Timestamp::NOT_SAID))
        };
        match name.as_str() {
            "since" => query.since = moment("since")?,
            "until" => query.until = moment("until")?,
            "cache" => query.cache = Some(cache(value).ok_or("cache: not the name of a cache")?),
            "kind" => query.kind = Some(EventKind::parse(value).ok_or_else(|| format!("kind: one of {}", kinds()))?),
            "finding" => {
                let words = "finding: unknown id; `cachewatch explain` lists all";
                query.finding = Some(FindingId::parse(value).ok_or(words)?);
            }
            "after" => query.after = Some(number("after")?),
            "before" => query.before = Some(number("before")?),
            "order" => {
                query.order = match value.as_str() {
                    "asc" => EventOrder::Ascending,
                    "desc" => EventOrder::Descending,
                    _ => return Err("order: asc or desc".to_owned()),
                }
            }
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=MOST).contains(limit));
                query.limit = limit.ok_or_else(|| format!("limit: a number from 1 to {MOST}"))?;
            }
            name => return Err(format!("{}: unknown parameter; known: {KNOWN}", WireText::new(name))),
        }
    }
    if query.since.zip(query.until).is_some_and(|(since, until)| until <= since) {
        return Err("until: not later than since, so there is no time between them".to_owned());
    }
    Ok(query)
}

/// Every kind of event, as a list for a person.
#[must_use]
pub fn kinds() -> String {
    EventKind::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ")
}

/// A name as the configuration admits it: of a cache that is configured, or was.
fn cache(text: &str) -> Option<CacheName> {
    (!text.is_empty() && text.len() <= 255 && text.chars().all(CacheName::admits)).then(|| CacheName::new(text))
}

/// Behind which event the next page begins, as [`EventsDocument::next`] says it.
#[must_use]
pub fn after_of(path: &str) -> Option<u64> {
    path.split(['?', '&']).find_map(|part| part.strip_prefix("after=")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Result<EventQuery, String> {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let pairs: Vec<_> = pairs.map(|pair| pair.split_once('=').unwrap()).collect();
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        read(&pairs, Timestamp::from_unix_seconds(1_700_000_000))
    }

    #[test]
    fn parameters_are_read_and_what_is_wrong_is_named() {
        let all = "since=1h&until=2023-11-14T22:13:20Z&cache=orders&kind=finding_opened&finding=dns-drift&after=3&before=9\
                   &order=asc&limit=1000";
        let expected = EventQuery {
            since: Some(Timestamp::from_unix_seconds(1_699_996_400)),
            until: Some(Timestamp::from_unix_seconds(1_700_000_000)),
            cache: Some(CacheName::new("orders")),
            kind: Some(EventKind::FindingOpened),
            finding: Some(FindingId::DnsDrift),
            after: Some(3),
            before: Some(9),
            order: EventOrder::Ascending,
            limit: 1000,
        };
        assert_eq!(query(all), Ok(expected));
        assert_eq!(query(""), Ok(EventQuery::latest(100)));
        for bad in [
            "since=yesterday",
            "until=",
            "cache=",
            "cache=a/b",
            "kind=opened",
            "finding=dns",
            "after=-1",
            "before=x",
            "order=up",
            "limit=0",
            "limit=1001",
            "limit=all",
            "limit=1&limit=2",
            "sinse=1h",
            "until=2h&since=1h",
            "until=1h&since=1h",
        ] {
            let problem = query(bad).unwrap_err();
            let name = bad.split('=').next().unwrap();
            assert!(problem.starts_with(&format!("{name}: ")), "{bad}: {problem}");
        }
        assert!(query("sinse=1h").unwrap_err().contains("since, until, cache"));
    }
}
