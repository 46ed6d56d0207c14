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
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, broadcast, watch};

use super::reply;
use super::state::AppState;
use crate::api::Versioned;
use crate::api::events::{self as wire, EventEntry, EventsDocument, JournalState, KeptIn};
use crate::clock;
use crate::model::{EventOrder, EventQuery, WireText};
use crate::sink::Journal;
use crate::sink::journal::{Page, Recorded, Unanswered};

/// Events that a stream reads from the journal at a time, when it has to catch up.
const CATCH_UP: usize = 200;

/// How often a stream in which nothing happens says that it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// `/api/v1/events`: what happened, the latest first.
pub(super) async fn events(
    Shared(state): Shared<AppState>,
    Parameters(parameters): Parameters<Vec<(String, String)>>,
) -> Response {
    let query = match wire::read(&parameters, clock::now()) {
        Ok(query) => query,
        Err(problem) => return reply::problem(StatusCode::BAD_REQUEST, &problem),
    };
    match state.journal.events(query.clone()).await {
        Ok(page) => reply::json(StatusCode::OK, document(page, &query)),
        Err(unanswered) => refuse(unanswered),
    }
}

fn refuse(unanswered: Unanswered) -> Response {
    reply::problem(StatusCode::SERVICE_UNAVAILABLE, &unanswered.to_string())
}

/// One page of events as it is told.
fn document(page: Page, query: &EventQuery) -> EventsDocument<EventEntry> {
    let durable = page.is_durable;
    let kept = |Recorded { id, event }| EventEntry { id: Some(id), durable, event };
    let waiting = page.waiting.into_iter().map(|event| EventEntry { id: None, durable: false, event });
    // What waits is later than all that is kept: it comes first or last, and only after the last of what is kept.
    let (events, next): (Vec<_>, _) = match query.order {
        EventOrder::Descending => {
            // Where what waits takes the room of what is kept, that is still to come.
            let next = match query.limit.saturating_sub(waiting.len()) {
                room if room >= page.events.len() => page.next,
                0 => page.events.first().map(|recorded| recorded.id + 1),
                room => page.events.get(room - 1).map(|recorded| recorded.id),
            };
            (waiting.chain(page.events.into_iter().map(kept)).take(query.limit).collect(), next)
        }
        EventOrder::Ascending if page.next.is_some() => (page.events.into_iter().map(kept).collect(), page.next),
        EventOrder::Ascending => (page.events.into_iter().map(kept).chain(waiting).take(query.limit).collect(), None),
    };
    let journal = JournalState {
        kept_in: if page.is_durable { KeptIn::File } else { KeptIn::Memory },
        up: page.is_up,
        lost: page.lost,
        left_out: page.unreadable,
    };
    EventsDocument { journal, events, next: next.map(|id| link(query, id)) }
}

/// The path of the events behind `id`.
fn link(query: &EventQuery, id: u64) -> String {
    wire::path(&match query.order {
        EventOrder::Descending => EventQuery { before: Some(id), ..query.clone() },
        EventOrder::Ascending => EventQuery { after: Some(id), ..query.clone() },
    })
}

/// `/api/v1/stream`: every event once it is kept, as server-sent events. A client that names the last event it has, in
/// `Last-Event-ID` or `?last_event_id=`, gets what he missed first, without a gap and nothing twice.
pub(super) async fn stream(
    Shared(state): Shared<AppState>,
    Parameters(parameters): Parameters<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Response {
    let mut seen = headers.get("last-event-id").map(|id| id.to_str().unwrap_or_default().to_owned());
    for (name, value) in parameters {
        match name.as_str() {
            "last_event_id" => seen = seen.or(Some(value)),
            name => {
                let problem = format!("{}: unknown parameter; known: last_event_id", WireText::new(name));
                return reply::problem(StatusCode::BAD_REQUEST, &problem);
            }
        }
    }
    let Ok(seen) = seen.map(|id| id.parse::<u64>()).transpose() else {
        return reply::problem(StatusCode::BAD_REQUEST, "last_event_id: not an id, which is a whole number");
    };
    let Ok(place) = Arc::clone(&state.streams.places).try_acquire_owned() else {
        let words = format!("too many streams: {} are open, which is the limit", state.streams.most);
        return reply::problem(StatusCode::SERVICE_UNAVAILABLE, &words);
    };
    // In this order: what is acknowledged in between is in both, and what is behind `last` is not sent again.
    let live = state.journal.subscribe();
    let last = state.journal.last_id();
    let follower = StreamFollower {
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
struct StreamFollower {
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

impl StreamFollower {
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
                let page = self
                    .journal
                    .events(EventQuery::following(self.last, CATCH_UP))
                    .await
                    .ok()
                    .filter(|page| page.is_up)?;
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
    let message = Message::default().id(recorded.id.to_string()).event(recorded.event.kind.as_str());
    // An event is text and numbers, which JSON can say.
    let cannot_be_shown = |_| Message::default().comment("an event that cannot be shown");
    message.json_data(Versioned::new(recorded)).unwrap_or_else(cannot_be_shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Event, EventKind, Timestamp};

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
        let shown = |page: Page, query: EventQuery| {
            let document = document(page, &query);
            let ids: Vec<_> = document.events.iter().map(|shown| shown.id.unwrap_or(0)).collect();
            (ids, document.next)
        };
        let latest = |limit| EventQuery { since: Some(at), ..EventQuery::latest(limit) };
        let first = |limit| EventQuery { order: EventOrder::Ascending, ..EventQuery::latest(limit) };
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
