//! Stories: a daemon lives in a world that changes, and must tell what happened, when it happened, and nothing else.

use std::{fmt::Write as _, path::Path, thread, time::Duration};

use cachewatch::{
    clock::{self, Stopwatch},
    model::{Event, Timestamp},
};
use serde::Deserialize;
use testlab::{PATIENCE, http, program::Daemon, starvation::Starvation};
use toml::{Table, Value};

use crate::{
    scenario::{self, World},
    world::Real,
};

/// What asking, judging and telling may add to any time that a story gives. A busy machine adds what it keeps the processes
/// waiting.
const GRACE: Duration = Duration::from_secs(2);

/// A daemon and what becomes of its world.
#[derive(Debug)]
pub(crate) struct Story {
    /// The name of its file.
    pub(crate) name: String,
    chapters: Vec<(World, Chapter)>,
    quiet: Duration,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// The story in a sentence, for whoever reads the file.
    #[serde(rename = "about")]
    _about: String,
    /// The world of `worlds/` that this one is like.
    world: String,
    /// What differs from it.
    #[serde(default)]
    with: Table,
    /// From one probe to the next. No stage may take longer than nine tenths of it.
    interval: String,
    /// How long nothing more may happen after the end.
    quiet: String,
    chapters: Vec<Chapter>,
}

/// One change of the world, and what must be told of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Chapter {
    /// What happens.
    about: String,
    /// What differs from the chapter before.
    #[serde(default)]
    change: Table,
    /// The cache whose addresses somebody declares to be right.
    accept: Option<String>,
    /// How long it stays so at the least.
    lasts: Option<String>,
    /// Every event of a cache, in order: `kind resolver finding severity: before → after`, as far as there are such.
    events: Vec<String>,
    /// How long after the change the last of them may be dated.
    within: String,
}

/// What came of a story.
#[derive(Debug)]
pub(crate) struct Retold {
    /// The name of the story.
    pub(crate) name: String,
    /// A line a chapter, for a person.
    pub(crate) told: String,
    /// Everything that is not as it should be.
    pub(crate) wrong: Vec<String>,
}

/// Every story, by name.
///
/// # Panics
///
/// On a file that is not a story.
pub(crate) fn all() -> Vec<Story> {
    let mut stories: Vec<_> = scenario::files("stories").iter().map(|path| read(path)).collect();
    stories.sort_by(|left, right| left.name.cmp(&right.name));
    stories
}

fn read(path: &Path) -> Story {
    let fail = |error: &dyn std::fmt::Display| -> ! { panic!("{}: {error}", path.display()) };
    let written: Written = scenario::table(path).try_into().unwrap_or_else(|error| fail(&error));
    let like = scenario::files("worlds").into_iter().find(|file| scenario::stem(file) == written.world);
    let like = scenario::table(&like.unwrap_or_else(|| fail(&format!("no world {}", written.world))));
    let mut world = scenario::overlaid(&like, &pace(duration(&written.interval)));
    world = scenario::overlaid(&world, &written.with);
    let mut chapters = Vec::new();
    for chapter in written.chapters {
        world = scenario::overlaid(&world, &chapter.change);
        chapters.push((world.clone().try_into().unwrap_or_else(|error| fail(&error)), chapter));
    }
    Story { name: scenario::stem(path), chapters, quiet: duration(&written.quiet) }
}

/// The settings of a probe that begins so often.
fn pace(interval: Duration) -> Table {
    let longest = (interval * 9 / 10).min(Duration::from_secs(6));
    let stages = ["timeout", "resolve_timeout", "connect_timeout", "tls_timeout", "command_timeout"];
    let text = |duration: Duration| Value::String(humantime::format_duration(duration).to_string());
    let mut probe: Table = stages.into_iter().map(|stage| (stage.to_owned(), text(longest))).collect();
    probe.insert("interval".to_owned(), text(interval));
    let settings = Table::from_iter([("probe".to_owned(), Value::Table(probe))]);
    Table::from_iter([("settings".to_owned(), Value::Table(settings))])
}

/// Lives through the story and compares what was told with what happened.
pub(crate) fn play(story: &Story) -> Retold {
    let mut retold = Retold { name: story.name.clone(), told: String::new(), wrong: Vec::new() };
    let (first, _) = &story.chapters[0];
    let mut real = Real::new(first);
    let began = clock::now();
    let file = real.configuration();
    let daemon = real.network.run(|| Daemon::start_with(&["--config", &file.to_string_lossy()], &[]));
    let mut heard = 0;
    for (number, (world, chapter)) in story.chapters.iter().enumerate() {
        let watch = Stopwatch::start();
        let starvation = Starvation::of(&[real.processes(), vec![daemon.pid()]].concat());
        // A millisecond is the measure of an event's time.
        let began = if number == 0 { began } else { clock::now().minus(Duration::from_millis(1)) };
        if number > 0 {
            real.change(world);
        }
        if let Some(cache) = &chapter.accept {
            let path = format!("/api/v1/caches/{cache}/baseline");
            let answer = real.network.run(|| daemon.post(&path));
            assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        }
        let wanted = heard + chapter.events.len();
        let all = loop {
            let all = events(&real, &daemon);
            if all.len() >= wanted || watch.elapsed() > duration(&chapter.within) + PATIENCE {
                break all;
            }
            thread::sleep(Duration::from_millis(50));
        };
        let lasts = chapter.lasts.as_deref().map(duration).unwrap_or_default();
        thread::sleep(lasts.saturating_sub(watch.elapsed()));
        let within = duration(&chapter.within) + GRACE + starvation.so_far();
        let new = &all[heard.min(all.len())..wanted.min(all.len())];
        retold.compare(number, chapter, new, began, within);
        heard += new.len();
    }
    thread::sleep(story.quiet);
    for event in &events(&real, &daemon)[heard..] {
        retold.wrong.push(format!("and then, of which the story says nothing: {} {}", event.at, line(event)));
    }
    retold
}

impl Retold {
    /// What is left to say where the story itself could not be played.
    pub(crate) fn broken(story: &Story, words: &str) -> Self {
        Self { name: story.name.clone(), told: String::new(), wrong: vec![format!("not played: {words}")] }
    }

    pub(crate) fn complaints(&self) -> impl Iterator<Item = String> {
        self.wrong.iter().map(|words| format!("{}: {words}", self.name))
    }

    fn compare(&mut self, number: usize, chapter: &Chapter, events: &[Event], began: Timestamp, within: Duration) {
        let lines: Vec<_> = events.iter().map(line).collect();
        let last = events.iter().map(|event| event.at.since(began)).max().unwrap_or_default();
        let _ = writeln!(
            self.told,
            "   {:46} {:3} events, the last {:5.2} s after",
            chapter.about,
            lines.len(),
            last.as_secs_f64()
        );
        for line in &lines {
            let _ = writeln!(self.told, "      {line}");
        }
        if lines != chapter.events {
            let expected = chapter.events.join("\n      ");
            let lines = lines.join("\n      ");
            self.wrong.push(format!("chapter {number}, expected\n      {expected}\n   and was told\n      {lines}"));
        }
        for event in events.iter().filter(|event| event.at < began || event.at.since(began) > within) {
            let words = format!("chapter {number} began at {began}, and this is dated {}: {}", event.at, line(event));
            self.wrong.push(words);
        }
    }
}

/// What the daemon has told of its caches so far, the oldest first.
fn events(real: &Real, daemon: &Daemon) -> Vec<Event> {
    let path = "/api/v1/events?order=asc&limit=1000";
    let answer =
        real.network.run(|| http::get(daemon.address(), path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let events = answer.json()["events"].clone();
    let events: Vec<Event> = serde_json::from_value(events).unwrap_or_else(|error| panic!("{error}: {}", answer.body));
    let of_a_cache = |event: &Event| event.cache.as_ref().is_some_and(|cache| !cache.as_str().is_empty());
    events.into_iter().filter(of_a_cache).collect()
}

/// `kind resolver finding severity: before → after`. The words of a finding are another test's.
fn line(event: &Event) -> String {
    let mut line = event.kind.to_string();
    for part in [event.resolver.as_ref().map(ToString::to_string), event.finding.map(|id| id.to_string())] {
        let _ = part.map(|part| write!(line, " {part}"));
    }
    if let Some(severity) = event.severity {
        let _ = write!(line, " {}", severity.number());
    }
    match (&event.before, &event.after) {
        (Some(before), Some(after)) => {
            let _ = write!(line, ": {before} → {after}");
        }
        (None, Some(after)) if event.finding.is_none() => {
            let _ = write!(line, ": {after}");
        }
        _ => {}
    }
    line
}

fn duration(text: &str) -> Duration {
    text.parse::<humantime::Duration>().unwrap_or_else(|error| panic!("{text}: {error}")).into()
}
