//! What is told to the init system. Where no one listens, nothing happens.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::clock;
use crate::model::{Refusal, Standing, Timestamp};
use crate::sink::{Board, Pulse, Snapshot};

/// How often the caches are looked at for a status. Nothing is told unless its words have changed.
const LOOK: Duration = Duration::from_secs(1);

/// The most caches that the status names; all are counted.
const MOST_NAMED: usize = 3;

/// The longest status, in characters: it is one line of `systemctl status`.
const LONGEST: usize = 400;

/// The longest reason for a refusal within it, so that the caches still fit behind.
const LONGEST_REASON: usize = 160;

/// The status that the init system shows.
pub(super) struct Init {
    board: Arc<Board>,
    told: String,
    /// `None` where no init system listens, as in a container: then nothing is looked at.
    looks: Option<Interval>,
}

impl Init {
    pub(super) fn new(board: Arc<Board>) -> Self {
        let looks = std::env::var_os("NOTIFY_SOCKET").map(|_| {
            let mut looks = interval(LOOK);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            looks
        });
        Self { board, told: String::new(), looks }
    }

    /// The daemon serves, with what it knows of the caches.
    pub(super) fn ready(&mut self) {
        self.told = status(&self.board.snapshot(), clock::now());
        tell(&[NotifyState::Ready, NotifyState::Status(&self.told)]);
    }

    /// Waits for the next look, and tells the status where it has changed. Safe to drop and to call again.
    pub(super) async fn follow(&mut self) {
        match &mut self.looks {
            Some(looks) => looks.tick().await,
            None => pending().await,
        };
        let now = status(&self.board.snapshot(), clock::now());
        if now != self.told {
            self.told = now;
            tell(&[NotifyState::Status(&self.told)]);
        }
    }
}

/// The health of the caches in a line: `watching 3 caches: 1 unhealthy (orders: dns-unreachable), 1 unknown`. Before it,
/// that a new configuration is refused: nothing else shows that after a reload by `systemctl`.
fn status(snapshot: &Snapshot, now: Timestamp) -> String {
    let watching = watching(snapshot, now);
    let status = match &snapshot.configuration.refused {
        None => watching,
        Some(refusal) => {
            let reason = cut(&refusal.reason(), LONGEST_REASON);
            format!("{} since {}, the old one stays: {reason} ({watching})", Refusal::WORDS, refusal.since())
        }
    };
    cut(&status, LONGEST)
}

fn watching(snapshot: &Snapshot, now: Timestamp) -> String {
    let standings: Vec<_> = snapshot.caches.values().map(|watched| (watched.standing(now), &**watched)).collect();
    let caches = if standings.len() == 1 { "1 cache".to_owned() } else { format!("{} caches", standings.len()) };
    let mut parts = Vec::new();
    for wanted in [Standing::Ill, Standing::Unknown, Standing::AtRisk] {
        let word = wanted.title();
        let like_that = standings.iter().filter(|(standing, _)| *standing == wanted);
        let mut worst: Vec<_> = like_that.clone().filter_map(|(_, watched)| watched.open.first()).collect();
        match like_that.count() {
            0 => {}
            // What is open at a cache that nobody has heard of lately is old news.
            count if wanted == Standing::Unknown => parts.push(format!("{count} {word}")),
            count => {
                worst.sort_by_key(|finding| finding.severity);
                let mut named: Vec<_> =
                    worst.iter().take(MOST_NAMED).map(|finding| format!("{}: {}", finding.cache, finding.id)).collect();
                if worst.len() > MOST_NAMED {
                    named.push(format!("{} more", worst.len() - MOST_NAMED));
                }
                parts.push(format!("{count} {word} ({})", named.join(", ")));
            }
        }
    }
    if parts.is_empty() {
        parts.push(Standing::Well.title().to_owned());
    }
    format!("watching {caches}: {}", parts.join(", "))
}

/// At most so many characters, the last of them `…` where something is cut off.
fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some(_) => text.chars().take(most - 1).chain(['…']).collect(),
        None => text.to_owned(),
    }
}

/// The configuration is being read again; `ready` ends it.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "cannot read the monotonic clock for the init system"),
    }
}

/// The daemon is about to end.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Tells the watchdog, twice in its period, that the loops still turn; silent when they do not, so that it may restart us.
pub(super) fn watchdog(pulse: Arc<Pulse>, standstill: Duration) -> Option<impl Future<Output = ()>> {
    let period = sd_notify::watchdog_enabled()?;
    Some(async move {
        let mut ticks = tokio::time::interval(period / 2);
        loop {
            ticks.tick().await;
            if pulse.standstill(standstill).is_none() {
                tell(&[NotifyState::Watchdog]);
            }
        }
    })
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "cannot notify the init system");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Cache, FindingId, Severity};
    use crate::sink::fixture;

    fn board(caches: &[Cache]) -> Board {
        let board = Board::new();
        for cache in caches {
            board.add_cache(Arc::new(cache.clone()));
        }
        board.configured(fixture::start());
        board
    }

    fn told(board: &Board) -> String {
        status(&board.snapshot(), fixture::start())
    }

    #[test]
    fn the_status_counts_and_names_the_worst_first() {
        let caches = ["carts", "orders", "users"].map(fixture::cache);
        let one = board(&caches[1..2]);
        assert_eq!(told(&one), "watching 1 cache: 1 unknown");
        one.observe(&fixture::healthy(&caches[1]));
        assert_eq!(told(&one), "watching 1 cache: healthy");
        let all = board(&caches);
        for cache in &caches {
            all.observe(&fixture::healthy(cache));
        }
        assert_eq!(told(&all), "watching 3 caches: healthy");
        let ill = |cache: &Cache, severity| {
            let mut round = fixture::name_not_found(cache);
            round.verdict.open[0].severity = severity;
            all.observe(&round);
        };
        ill(&caches[0], Severity::Degraded);
        ill(&caches[1], Severity::Unavailable);
        ill(&caches[2], Severity::Risk);
        let name = FindingId::DnsNameNotFound;
        assert_eq!(
            told(&all),
            format!("watching 3 caches: 2 unhealthy (orders: {name}, carts: {name}), 1 at risk (users: {name})")
        );
    }

    #[test]
    fn a_status_is_one_line_of_bounded_length() {
        let caches: Vec<_> = (0..200).map(|number| fixture::cache(&format!("{number:0>60}"))).collect();
        let many = board(&caches);
        for cache in &caches {
            many.observe(&fixture::name_not_found(cache));
        }
        assert!(told(&many).ends_with(", 197 more)"), "{}", told(&many));
        let long = "x".repeat(5_000);
        many.configuration_refused(fixture::start(), &[format!("a.toml:7: no\nREADY=1 {long}"), "b".to_owned()]);
        let told = told(&many);
        let start = fixture::start();
        let (date, clock) = (start.date(), start.clock());
        let begins = format!("the new configuration is refused since {date} {clock}Z, the old one stays: a.toml:7: no");
        assert!(told.starts_with(&begins) && told.contains("… (watching 200 caches: 200 unhealthy ("), "{told}");
        assert!(told.chars().count() <= LONGEST && !told.contains('\n'), "{told}");
    }

    #[test]
    fn one_bad_round_of_two_is_unknown() {
        let cache = fixture::cache("orders");
        let board = board(std::slice::from_ref(&cache));
        let failed = fixture::name_not_found(&cache);
        board.observe(&fixture::suspicious(failed));
        assert_eq!(told(&board), "watching 1 cache: 1 unknown");
    }
}
