//! The answer to "what changed?", for a person.

use std::io::{self, Write};
use std::time::Duration;

use super::durations::Lasting;
use super::history::History;
use crate::api::events::EventEntry;
use crate::model::{Event, EventKind, FindingId, Severity, Timestamp, WireText};
use crate::style::Style;

/// After how long without a word a daemon counts as gone; one that runs writes every ten seconds.
const GONE: Duration = Duration::from_secs(30);

/// What stands between the parts of a line: no line begins with it.
const BETWEEN: &str = "\u{a0}· ";

/// The widest column for the names of caches; a longer one moves its own line only.
const WIDEST: usize = 24;

/// Writes the history: a heading for each day, a line for each event.
///
/// # Errors
/// Where it cannot be written.
pub(super) fn print(out: &mut impl Write, history: &History, style: Style) -> io::Result<()> {
    let name = |event: &Event| event.cache.as_ref().map_or(0, |cache| cache.as_str().chars().count());
    let widest = history.entries.iter().map(|(told, _)| name(&told.event)).max().unwrap_or(0).min(WIDEST);
    let mut day = String::new();
    for (told, lasting) in &history.entries {
        let event = &told.event;
        if day != event.at.date() {
            if !day.is_empty() {
                writeln!(out)?;
            }
            day = event.at.date();
            writeln!(out, "{} UTC", style.strong(&day))?;
        }
        print_event(out, told, lasting, widest, style)?;
    }
    if history.entries.is_empty() {
        print_nothing(out, history)?;
    }
    if history.left_out > 0 {
        writeln!(out, "\n{} events are not shown: a later version of cachewatch wrote them", history.left_out)?;
    }
    if history.is_in_memory {
        writeln!(out, "\nthe daemon keeps its events in memory: the list begins with its last start")?;
    }
    if let Some(alive) = history.last_alive.filter(|alive| history.now.since(*alive) > GONE) {
        let ago = short(history.now.since(alive));
        let words = format!("the daemon last wrote at {} UTC, {ago} ago: later events are not known", minute(alive));
        writeln!(out)?;
        style.write(out, "", 0, &style.doubtful(&words))?;
    }
    Ok(())
}

fn print_nothing(out: &mut impl Write, history: &History) -> io::Result<()> {
    let of = history.asked.cache.as_ref().map_or(String::new(), |cache| format!(" at {cache}"));
    let kind = history.asked.kind.map_or("nothing changed".to_owned(), |kind| format!("no {kind}"));
    write!(out, "{kind}{of} since {} UTC", minute(history.asked.since))?;
    match &history.latest {
        Some(event) => writeln!(out, "; the last such event was at {} UTC", minute(event.at)),
        None => writeln!(out, ", and no earlier ones in {}", history.journal),
    }
}

fn print_event(
    out: &mut impl Write,
    told: &EventEntry,
    lasting: &Lasting,
    widest: usize,
    style: Style,
) -> io::Result<()> {
    let event = &told.event;
    let time = event.at.clock();
    let name = event.cache.as_ref().map_or("", |cache| cache.as_str());
    let what = format!("{:11}", word(event.kind));
    let what = match (event.kind, event.severity) {
        (EventKind::FindingOpened | EventKind::FindingChanged, Some(severity)) => match severity {
            Severity::Unavailable | Severity::Degraded => style.bad(&what),
            Severity::Risk | Severity::Advice => style.doubtful(&what),
        },
        (EventKind::FindingCleared, _) => style.good(&what),
        (EventKind::ConfigRejected | EventKind::JournalSetAside | EventKind::Resumed | EventKind::ClockJumped, _) => {
            style.doubtful(&what)
        }
        _ => what,
    };
    let column = if widest == 0 { String::new() } else { format!("{name:widest$}  ") };
    let hang = 2 + 8 + 2 + if widest == 0 { 0 } else { widest + 2 } + 11 + 2;
    let head = format!("  {}  {column}{what}  ", style.faint(&time));
    let mut words = vec![subject(event, style)];
    words.extend(event.resolver.as_ref().map(|resolver| format!("resolver {resolver}")));
    words.extend(unwatched(event).map(|gap| style.doubtful(&gap)));
    words.extend(times(event.kind, lasting).into_iter().map(|time| style.faint(&time)));
    // An event without an id waits for a file that cannot be written.
    words.extend(told.id.is_none().then(|| style.doubtful("not yet on disk")));
    words.retain(|part| !part.is_empty());
    if words.is_empty() {
        return writeln!(out, "{}", head.trim_end());
    }
    style.write(out, &head, hang, &words.join(BETWEEN))
}

fn word(kind: EventKind) -> &'static str {
    match kind {
        EventKind::FindingOpened => "opened",
        EventKind::FindingChanged => "changed",
        EventKind::FindingCleared => "cleared",
        EventKind::AddressesChanged => "addresses",
        EventKind::ChainChanged => "chain",
        EventKind::CertificateChanged => "certificate",
        EventKind::BaselineAccepted => "accepted",
        EventKind::CacheAdded => "added",
        EventKind::CacheRemoved => "removed",
        EventKind::ConfigReloaded => "reloaded",
        EventKind::ConfigRejected => "rejected",
        EventKind::JournalSetAside => "new journal",
        EventKind::Resumed => "resumed",
        EventKind::ClockJumped => "clock",
        EventKind::Started => "started",
        EventKind::Stopping => "stopping",
    }
}

/// What changed, or what was found.
fn subject(event: &Event, style: Style) -> String {
    let text = |text: &Option<WireText>| text.as_ref().map_or("", WireText::as_str).to_owned();
    let (before, after) = (text(&event.before), text(&event.after));
    let id = event.finding.map_or("", FindingId::as_str);
    let severity = event.severity.map_or(String::new(), |severity| format!(" ({})", severity.meaning()));
    match event.kind {
        EventKind::FindingOpened => {
            let summary = if after.is_empty() { String::new() } else { format!(": {after}") };
            format!("{}{severity}{summary}", style.strong(id))
        }
        EventKind::FindingChanged => format!("{}{severity}: severity {before} → {after}", style.strong(id)),
        EventKind::FindingCleared => id.to_owned(),
        // The first line of evidence says for how long there was no daemon.
        EventKind::Started | EventKind::ConfigRejected => {
            let first =
                event.evidence.first().map(WireText::as_str).filter(|_| event.lasted.is_some() || after.is_empty());
            [Some(after.as_str()), first]
                .into_iter()
                .flatten()
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join(BETWEEN)
        }
        // Its first line says both times.
        EventKind::ClockJumped if !event.evidence.is_empty() => {
            event.evidence.iter().map(WireText::as_str).collect::<Vec<_>>().join(BETWEEN)
        }
        _ if before.is_empty() => after,
        _ => format!("{before} → {}", style.strong(&after)),
    }
}

/// How long it had been so before, and how long it was so then.
fn times(kind: EventKind, lasting: &Lasting) -> Vec<String> {
    let (held, lasted) = (lasting.held.map(short), lasting.lasted.map(short));
    match kind {
        EventKind::FindingOpened => {
            let still = || lasting.still.then(|| "still open".to_owned());
            lasted.map(|time| format!("lasted {time}")).or_else(still).into_iter().collect()
        }
        EventKind::FindingCleared => held.map(|time| format!("lasted {time}")).into_iter().collect(),
        EventKind::AddressesChanged | EventKind::ChainChanged | EventKind::CertificateChanged => {
            let before = held.map(|time| format!("before: lasted {time}"));
            let still = || lasting.still.then(|| "still current".to_owned());
            before.into_iter().chain(lasted.map(|time| format!("lasted {time}")).or_else(still)).collect()
        }
        _ => Vec::new(),
    }
}

/// `not watched between 01:04:03 and 01:04:18`, with the day where it is not that of the event.
fn unwatched(event: &Event) -> Option<String> {
    let since = event.unwatched_since?;
    let day = if since.date() == event.at.date() { String::new() } else { format!("{} ", since.date()) };
    Some(format!("not watched between {day}{} and {}", since.clock(), event.at.clock()))
}

/// `2026-11-21 12:03`.
fn minute(at: Timestamp) -> String {
    at.to_string().chars().take(16).map(|letter| if letter == 'T' { ' ' } else { letter }).collect()
}

/// A duration in its two largest units: `3d 4h`, `26m 7s`, `0.4s`.
fn short(duration: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    if duration < Duration::from_secs(10) {
        return format!("{:.1}s", duration.as_secs_f64());
    }
    let mut left = duration.as_secs();
    let parts = UNITS.iter().map(|(unit, name)| {
        let count = left / unit;
        left %= unit;
        (count, name)
    });
    let parts: Vec<_> = parts.skip_while(|(count, _)| *count == 0).take(2).filter(|(count, _)| *count > 0).collect();
    parts.iter().map(|(count, name)| format!("{count}{name}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_told_in_the_time_of_its_day() {
        let event = Event::new(Timestamp::from_unix_seconds(1_795_223_058), None, EventKind::AddressesChanged);
        let day = event.at.date();
        let gap = |from: &str| {
            let line =
                format!("not watched from {from}T23:59:58.001Z to {day}T01:04:18.000Z: the change fell into this gap");
            unwatched(&event.clone().evidence(&line).read_back())
        };
        assert_eq!(gap(&day).unwrap(), "not watched between 23:59:58 and 01:04:18");
        assert_eq!(gap("2026-11-01").unwrap(), "not watched between 2026-11-01 23:59:58 and 01:04:18");
        assert_eq!(unwatched(&event.evidence("resolver hub: 10.0.0.4:53 over udp").read_back()), None);
    }

    #[test]
    fn a_jump_of_the_clock_is_told_in_its_own_words() {
        let event = Event::new(Timestamp::from_unix_seconds(1_795_223_058), None, EventKind::ClockJumped);
        let event = event.change("then", "now").evidence("the clock says now").evidence("ask timedatectl");
        let told = subject(&event, Style::default());
        assert_eq!(told, format!("the clock says now{BETWEEN}ask timedatectl"));
    }

    #[test]
    fn a_duration_is_short() {
        let of = |seconds: u64| short(Duration::from_secs(seconds));
        assert_eq!(
            [0, 9, 10, 60, 67, 3_600, 90_061, 864_000].map(of),
            ["0.0s", "9.0s", "10s", "1m", "1m 7s", "1h", "1d 1h", "10d"]
        );
    }
}
