//! The same history from a running daemon, page by page.

use serde_json::Value;

use super::history::{Asked, History, HistoryPage, PAGE, gather};
use crate::api::events::{self, EventEntry, EventsDocument, KeptIn};
use crate::client::{ClientError, ServerAnswer};
use crate::model::{CacheName, EventOrder, EventQuery, ResolverName, Timestamp, WireText};

/// Pages that are read at most: a million events, more than a journal of the default size holds.
const MOST_PAGES: usize = 1_000;

/// Asks the daemon at `server`; `get` fetches a path from it.
///
/// # Errors
/// As text: where there is no answer, or it cannot be read.
pub(super) fn ask(
    server: &str,
    asked: Asked,
    now: Timestamp,
    mut get: impl FnMut(&str) -> Result<ServerAnswer, ClientError>,
) -> Result<History, String> {
    let mut pages = 0;
    let history = gather(server.to_owned(), asked, now, |query| {
        pages += 1;
        if pages > MOST_PAGES {
            return Err(format!(
                "{server} has more than {} events of that time; give a later --since",
                MOST_PAGES * PAGE
            ));
        }
        let path = events::path(query);
        let answer = get(&path).map_err(|error| error.to_string())?;
        let url = format!("{server}{path}");
        page(answer.json(&url)?, query).ok_or_else(|| {
            format!(
                "{url}: the daemon's answer has more events and no link \
                                                               to the next page"
            )
        })
    })?;
    Ok(History { last_alive: Some(now), ..history })
}

/// What the daemon gave; `None` where it says that there is more, and not behind which event.
fn page(document: EventsDocument<Value>, query: &EventQuery) -> Option<HistoryPage> {
    let given = document.events.len();
    // One by one: a later version may have kinds that this one does not know.
    let events: Vec<_> = document.events.into_iter().filter_map(|event| serde_json::from_value(event).ok()).collect();
    let left_out = document.journal.left_out + given - events.len();
    let next = match document.next.filter(|_| query.order == EventOrder::Ascending) {
        Some(path) => Some(events::after_of(&path)?),
        None => None,
    };
    let is_in_memory = document.journal.kept_in == KeptIn::Memory;
    Some(HistoryPage { events: events.into_iter().map(printable).collect(), next, left_out, is_in_memory })
}

/// Names come from the configuration of another machine, and go to a terminal.
fn printable(mut told: EventEntry) -> EventEntry {
    let plain = |text: &str| WireText::new(text).to_string();
    told.event.cache = told.event.cache.map(|cache| CacheName::new(&plain(cache.as_str())));
    told.event.resolver = told.event.resolver.map(|resolver| ResolverName::new(&plain(resolver.as_str())));
    told
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{Event, EventKind, FindingId};

    const NOW: i64 = 1_700_000_000;

    fn answer(document: &Value) -> ServerAnswer {
        ServerAnswer { status: 200, body: document.to_string().into_bytes() }
    }

    fn document(events: &[Value], next: Option<&str>) -> ServerAnswer {
        answer(
            &json!({"journal": {"kept_in": "file", "up": true, "lost": 0, "left_out": 0}, "events": events, "next": next}),
        )
    }

    fn asked() -> Asked {
        let since = Timestamp::from_unix_seconds(NOW - 60);
        Asked { since, until: None, cache: Some(CacheName::new("orders")), kind: None }
    }

    fn told(id: Option<u64>, cache: &str, kind: EventKind) -> Value {
        let event = Event::new(Timestamp::from_unix_seconds(NOW), Some(CacheName::new(cache)), kind);
        let event = Event { finding: Some(FindingId::DnsDrift), ..event };
        json!(EventEntry { id, durable: id.is_some(), event })
    }

    #[test]
    fn pages_are_asked_for_until_the_last() {
        let unheard_of = json!({"id": 4, "durable": true, "kind": "of_tomorrow"});
        let first = [told(Some(3), "orders", EventKind::FindingOpened), unheard_of];
        let last = [told(None, "or\u{1b}[31mders", EventKind::FindingCleared)];
        // The last event of the first page cannot be read here: the page behind it begins where the daemon says.
        let mut pages =
            vec![document(&last, None), document(&first, Some("/api/v1/events?cache=orders&after=4&order=asc"))];
        let mut paths = Vec::new();
        let history = ask("http://a", asked(), Timestamp::from_unix_seconds(NOW), |path| {
            paths.push(path.to_owned());
            Ok(pages.pop().unwrap())
        });
        let history = history.unwrap();
        let begin = "/api/v1/events?since=2023-11-14T22:12:20.000Z&cache=orders&";
        assert_eq!(paths, [format!("{begin}order=asc&limit=1000"), format!("{begin}after=4&order=asc&limit=1000")]);
        let ids: Vec<_> = history.entries.iter().map(|(told, _)| told.id).collect();
        assert_eq!((ids, history.left_out), (vec![Some(3), None], 1));
        let name = history.entries[1].0.event.cache.as_ref().unwrap().as_str();
        assert!(!name.contains('\u{1b}'), "{name:?} goes to a terminal");
    }

    #[test]
    fn a_daemon_that_gives_pages_without_end_or_sense_is_no_trap() {
        let refused = |next: &str| {
            let page = document(&[], Some(next));
            ask("http://a", asked(), Timestamp::from_unix_seconds(NOW), |_| Ok(page.clone())).unwrap_err()
        };
        assert_eq!(
            refused("/api/v1/events?after=1"),
            "http://a has more than 1000000 events of that time; give a later --since"
        );
        assert!(refused("/elsewhere").ends_with("the daemon's answer has more events and no link to the next page"));
    }
}
