//! What happened: `/api/v1/events` from the journal, `/api/v1/stream` as it happens.
//!
//! Both show what is acknowledged: what a reader has seen here is on disk. Nothing that waits for a disk has an id.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query as Parameters, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, broadcast, watch};

use super::reply;
use super::state::State;
use crate::clock;
use crate::model::{CacheName, Event, EventKind, FindingId, SCHEMA_VERSION, Timestamp, WireText};
use crate::sink::Journal;
use crate::sink::journal::{Order, Page, Query, Recorded, Unanswered};

/// Events in an answer, where nobody says how many, and at most.
const DEFAULT_LIMIT: usize = 100;
const MOST: usize = 1_000;

/// Events that a stream reads from the journal at a time, when it has to catch up.
const CATCH_UP: usize = 200;

/// How often a stream in which nothing happens says that it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// `/api/v1/events`: what happened, the latest first.
pub(super) async fn events(
    Shared(state): Shared<State>,
    Parameters(parameters): Parameters<Vec<(String, String)>>,
) -> Response {
    let query = match read(&parameters, clock::now()) {
        Ok(query) => query,
        Err(problem) => return reply::problem(StatusCode::BAD_REQUEST, &problem),
    };
    match state.journal.events(query.clone()).await {
        Ok(page) => reply::json(StatusCode::OK, Document::new(page, &query)),
        Err(unanswered) => refuse(unanswered),
    }
}

fn refuse(unanswered: Unanswered) -> Response {
    reply::problem(StatusCode::SERVICE_UNAVAILABLE, &unanswered.to_string())
}

#[derive(Serialize)]
struct Document {
    journal: Standing,
    events: Vec<Shown>,
    /// Where the next events are, in the same order; none where these are the last.
    next: Option<String>,
}

#[derive(Serialize)]
struct Standing {
    kept_in: &'static str,
    up: bool,
    lost: u64,
    left_out: usize,
}

#[derive(Serialize)]
struct Shown {
    /// None where the event waits to be written.
    id: Option<u64>,
    /// Whether it is there after the daemon has ended, however it ends.
    durable: bool,
    #[serde(flatten)]
    event: Event,
}

impl Document {
    fn new(page: Page, query: &Query) -> Self {
        let durable = page.is_durable;
        let kept = |Recorded { id, event }| Shown { id: Some(id), durable, event };
        let waiting = page.waiting.into_iter().map(|event| Shown { id: None, durable: false, event });
        // What waits is later than all that is kept: it comes first or last, and only after the last of what is kept.
        let (events, next): (Vec<_>, _) = match query.order {
            Order::Descending => {
                // Where what waits takes the room of what is kept, that is still to come.
                let next = match query.limit.saturating_sub(waiting.len()) {
                    room if room >= page.events.len() => page.next,
                    0 => page.events.first().map(|recorded| recorded.id + 1),
                    room => page.events.get(room - 1).map(|recorded| recorded.id),
                };
                (waiting.chain(page.events.into_iter().map(kept)).take(query.limit).collect(), next)
            }
            Order::Ascending if page.next.is_some() => (page.events.into_iter().map(kept).collect(), page.next),
            Order::Ascending => (page.events.into_iter().map(kept).chain(waiting).take(query.limit).collect(), None),
        };
        let standing = Standing {
            kept_in: if page.is_durable { "file" } else { "memory" },
            up: page.is_up,
            lost: page.lost,
            left_out: page.unreadable,
        };
        Self { journal: standing, events, next: next.map(|id| link(query, id)) }
    }
}

/// The path of the events behind `id`.
fn link(query: &Query, id: u64) -> String {
    path(&match query.order {
        Order::Descending => Query { before: Some(id), ..query.clone() },
        Order::Ascending => Query { after: Some(id), ..query.clone() },
    })
}

/// The path of the events that a query asks for.
#[must_use]
pub fn path(query: &Query) -> String {
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
    part("order", (query.order == Order::Ascending).then(|| "asc".to_owned()));
    part("limit", Some(query.limit.to_string()));
    format!("/api/v1/events?{}", parts.join("&"))
}

/// Reads the parameters. What is wrong is told with the name of its parameter, and without its value, which came from the
/// request.
fn read(parameters: &[(String, String)], now: Timestamp) -> Result<Query, String> {
    const KNOWN: &str = "since, until, cache, kind, finding, after, before, order, limit";
    let mut query = Query::latest(DEFAULT_LIMIT);
    for (index, (name, value)) in parameters.iter().enumerate() {
        if parameters.iter().take(index).any(|(earlier, _)| earlier == name) {
            return Err(format!("{}: given twice", shown(name)));
        }
        let number =
            |name: &str| value.parse::<u64>().map_err(|_| format!("{name}: not an id, which is a whole number"));
        let moment = |name: &str| {
            let words = "neither how long ago, such as 24h, nor a time, such as 2026-11-21T12:00:00Z";
            Timestamp::said(value, now).map(Some).ok_or_else(|| format!("{name}: {words}"))
        };
        match name.as_str() {
            "since" => query.since = moment("since")?,
            "until" => query.until = moment("until")?,
            "cache" => query.cache = Some(cache(value).ok_or("cache: not the name of a cache")?),
            "kind" => query.kind = Some(EventKind::parse(value).ok_or_else(kinds)?),
            "finding" => {
                let words = "finding: there is none of that id; `cachewatch explain` lists them";
                query.finding = Some(FindingId::parse(value).ok_or(words)?);
            }
            "after" => query.after = Some(number("after")?),
            "before" => query.before = Some(number("before")?),
            "order" => {
                query.order = match value.as_str() {
                    "asc" => Order::Ascending,
                    "desc" => Order::Descending,
                    _ => return Err("order: asc or desc".to_owned()),
                }
            }
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=MOST).contains(limit));
                query.limit = limit.ok_or_else(|| format!("limit: a number from 1 to {MOST}"))?;
            }
            name => return Err(format!("{}: not known; there are {KNOWN}", shown(name))),
        }
    }
    if query.since.zip(query.until).is_some_and(|(since, until)| until <= since) {
        return Err("until: not later than since, so there is no time between them".to_owned());
    }
    Ok(query)
}

/// The name of a parameter, which came from the request.
fn shown(name: &str) -> WireText {
    WireText::new(name)
}

fn kinds() -> String {
    let kinds: Vec<_> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
    format!("kind: one of {}", kinds.join(", "))
}

/// A name as the configuration admits it: of a cache that is configured, or was.
fn cache(text: &str) -> Option<CacheName> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || ".-_".contains(letter);
    (!text.is_empty() && text.len() <= 255 && text.chars().all(is_plain)).then(|| CacheName::new(text))
}

/// `/api/v1/stream`: every event once it is kept, as server-sent events. One who says which was the last one he saw, in
/// `Last-Event-ID` or `?last_event_id=`, gets what he missed first, without a gap and nothing twice.
pub(super) async fn stream(
    Shared(state): Shared<State>,
    Parameters(parameters): Parameters<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Response {
    let mut seen = headers.get("last-event-id").map(|id| id.to_str().unwrap_or_default().to_owned());
    for (name, value) in parameters {
        match name.as_str() {
            "last_event_id" => seen = seen.or(Some(value)),
            name => {
                let problem = format!("{}: not known; there is last_event_id", shown(name));
                return reply::problem(StatusCode::BAD_REQUEST, &problem);
            }
        }
    }
    let Ok(seen) = seen.map(|id| id.parse::<u64>()).transpose() else {
        return reply::problem(StatusCode::BAD_REQUEST, "last_event_id: not an id, which is a whole number");
    };
    let Ok(place) = Arc::clone(&state.streams.places).try_acquire_owned() else {
        let words = format!("there are {} streams already, which is the most", state.streams.most);
        return reply::problem(StatusCode::SERVICE_UNAVAILABLE, &words);
    };
    // In this order: what is acknowledged in between is in both, and what is behind `last` is not sent again.
    let live = state.journal.subscribe();
    let last = state.journal.last_id();
    let follower = Follower {
        // An id beyond all that was given belongs to a journal that is gone.
        last: seen.unwrap_or(last).min(last),
        is_behind: seen.is_some(),
        ready: VecDeque::new(),
        live,
        journal: state.journal,
        stopped: state.streams.stopped,
        _place: place,
    };
    Sse::new(follower.into_stream()).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

/// One reader of the stream. It is asked for the next event when the reader has taken the one before; so a slow one holds
/// no more than one page, and the journal has the rest.
struct Follower {
    /// The last event that was sent.
    last: u64,
    /// Whether there may be events between that one and those that come live.
    is_behind: bool,
    ready: VecDeque<Recorded>,
    live: broadcast::Receiver<Recorded>,
    journal: Journal,
    stopped: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    fn into_stream(self) -> impl Stream<Item = Result<Message, Infallible>> {
        stream::unfold(self, |mut follower| async move {
            let recorded = follower.next().await?;
            Some((Ok(message(&recorded)), follower))
        })
    }

    /// The next event; `None` where the stream ends.
    async fn next(&mut self) -> Option<Recorded> {
        let mut stopped = self.stopped.clone();
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => None,
            recorded = self.follow() => recorded,
        }
    }

    async fn follow(&mut self) -> Option<Recorded> {
        loop {
            if let Some(recorded) = self.ready.pop_front() {
                self.last = recorded.id;
                return Some(recorded);
            }
            if self.is_behind {
                // Who cannot be given all of it is given nothing more: he comes again, and says where he was.
                let page =
                    self.journal.events(Query::following(self.last, CATCH_UP)).await.ok().filter(|page| page.is_up)?;
                self.is_behind = page.next.is_some();
                // Rows that cannot be shown are passed over.
                self.last = page.next.filter(|_| page.events.is_empty()).unwrap_or(self.last);
                self.ready = page.events.into();
                continue;
            }
            match self.live.recv().await {
                Ok(recorded) if recorded.id > self.last => self.ready.push_back(recorded),
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => self.is_behind = true,
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

fn message(recorded: &Recorded) -> Message {
    #[derive(Serialize)]
    struct Data<'a> {
        schema_version: u32,
        #[serde(flatten)]
        recorded: &'a Recorded,
    }
    let message = Message::default().id(recorded.id.to_string()).event(recorded.event.kind.as_str());
    let data = Data { schema_version: SCHEMA_VERSION, recorded };
    // An event is text and numbers, which JSON can say.
    message.json_data(data).unwrap_or_else(|_| Message::default().comment("an event that cannot be shown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Result<Query, String> {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let pairs: Vec<_> = pairs.map(|pair| pair.split_once('=').unwrap()).collect();
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        read(&pairs, Timestamp::from_unix_seconds(1_700_000_000))
    }

    #[test]
    fn parameters_are_read_and_what_is_wrong_is_named() {
        let all = "since=1h&until=2023-11-14T22:13:20Z&cache=orders&kind=finding_opened&finding=dns-drift&after=3&before=9\
                   &order=asc&limit=1000";
        let expected = Query {
            since: Some(Timestamp::from_unix_seconds(1_699_996_400)),
            until: Some(Timestamp::from_unix_seconds(1_700_000_000)),
            cache: Some(CacheName::new("orders")),
            kind: Some(EventKind::FindingOpened),
            finding: Some(FindingId::DnsDrift),
            after: Some(3),
            before: Some(9),
            order: Order::Ascending,
            limit: 1000,
        };
        assert_eq!(query(all), Ok(expected));
        assert_eq!(query(""), Ok(Query::latest(100)));
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

    #[test]
    fn what_waits_stands_at_the_newest_end_and_the_next_page_loses_nothing() {
        let at = Timestamp::from_unix_seconds(0);
        let event = |second: i64| Event::new(Timestamp::from_unix_seconds(second), None, EventKind::Started);
        let kept = |ids: &[u64]| ids.iter().map(|id| Recorded { id: *id, event: event(0) }).collect::<Vec<_>>();
        let page = |ids: &[u64], next: Option<u64>, waiting: usize| Page {
            events: kept(ids),
            next,
            waiting: vec![event(1); waiting],
            is_durable: true,
            ..Page::default()
        };
        let shown = |page: Page, query: Query| {
            let document = Document::new(page, &query);
            let ids: Vec<_> = document.events.iter().map(|shown| shown.id.unwrap_or(0)).collect();
            (ids, document.next)
        };
        let latest = |limit| Query { since: Some(at), ..Query::latest(limit) };
        let first = |limit| Query { order: Order::Ascending, ..Query::latest(limit) };
        let older = |id: u64| Some(format!("/api/v1/events?since=1970-01-01T00:00:00.000Z&before={id}&limit=3"));
        assert_eq!(shown(page(&[9, 8, 7], Some(7), 1), latest(3)), (vec![0, 9, 8], older(8)));
        assert_eq!(shown(page(&[9], None, 1), latest(3)), (vec![0, 9], None));
        assert_eq!(shown(page(&[9, 8], None, 2), latest(3)), (vec![0, 0, 9], older(9)));
        assert_eq!(shown(page(&[9, 8], None, 3), latest(3)), (vec![0, 0, 0], older(10)));
        let newer = Some("/api/v1/events?after=3&order=asc&limit=3".to_owned());
        assert_eq!(shown(page(&[1, 2, 3], Some(3), 1), first(3)), (vec![1, 2, 3], newer));
        assert_eq!(shown(page(&[1, 2], None, 2), first(3)), (vec![1, 2, 0], None));
    }
}
