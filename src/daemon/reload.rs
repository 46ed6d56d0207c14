//! Reads the configuration again, and takes it into use only as a whole.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::journal;
use super::messages::{CacheSet, Plan};
use super::sinks::Sinks;
use super::systemd::{self, Init};
use crate::clock;
use crate::config::{self, Config, Inputs, Server};
use crate::file::{self, FileVersions, FileWatch};
use crate::http::Reload;
use crate::model::{Event, EventKind};
use crate::probe::Prober;
use crate::sink::{Board, Chronicle, Loop, Metrics, Pulse};

/// How often the files are looked at. Looking, and not being told, sees every kind of change on every kind of file
/// system: a write in place, a rename, and the swapped symbolic links of a mounted `ConfigMap`.
const LOOK: Duration = Duration::from_secs(1);

/// The loop that reads the configuration again where it is asked to or a file has changed, and tells the init system of it
/// and of the caches. Runs until it is dropped.
pub(super) async fn run(
    mut reloader: Reloader,
    mut hang_up: Signal,
    mut requested: mpsc::Receiver<Reload>,
    mut init: Init,
) {
    loop {
        reloader.pulse.turned(Loop::Reload);
        let (cause, answer) = tokio::select! {
            // The log and the status tell the outcome to whoever sent the signal.
            _ = hang_up.recv() => ("SIGHUP", None),
            Some(answer) = requested.recv() => ("POST /-/reload", Some(answer)),
            changed = reloader.look() => if changed { ("file changed", None) } else { continue },
            () = init.follow() => continue,
        };
        systemd::reloading();
        let outcome = reloader.reload(cause).await;
        init.ready();
        if let Some(answer) = answer {
            // Who asked may have gone; the reload stands all the same.
            let _ = answer.send(outcome);
        }
    }
}

/// The other loops, as this one reaches them.
pub(super) struct Others {
    pub(super) caches: mpsc::Sender<CacheSet>,
    pub(super) plans: mpsc::Sender<Plan>,
}

/// A configuration that was read and is good.
struct Loaded {
    config: Config,
    /// Its files as they were before they were read.
    read: FileVersions,
    /// What is to be said of its password files.
    notices: Vec<String>,
}

/// Holds the configuration in use and replaces it.
pub(super) struct Reloader {
    inputs: Inputs,
    config: Arc<Config>,
    /// Tells the others which configuration is in use.
    configs: watch::Sender<Arc<Config>>,
    caches: mpsc::Sender<CacheSet>,
    plans: mpsc::Sender<Plan>,
    metrics: Arc<Metrics>,
    board: Arc<Board>,
    chronicle: Chronicle,
    looks: Interval,
    /// The look that is under way.
    looking: Option<JoinHandle<FileVersions>>,
    pulse: Arc<Pulse>,
    watch: FileWatch,
}

impl Reloader {
    pub(super) fn new(
        inputs: Inputs,
        configs: watch::Sender<Arc<Config>>,
        Others { caches, plans }: Others,
        Sinks { metrics, board, pulse, chronicle }: Sinks,
    ) -> Self {
        let config = Arc::clone(&configs.borrow());
        let watch = FileWatch::new(versions(&config.files));
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { inputs, config, configs, caches, plans, metrics, board, chronicle, looks, looking: None, pulse, watch }
    }

    /// Takes the configuration the daemon was started with into use.
    pub(super) async fn apply_first(&mut self) {
        self.apply(Plan::of(&self.config)).await;
    }

    /// Waits for the next look at the files; true where one has changed and come to rest. Safe to drop and to call again:
    /// a look that is under way goes on.
    async fn look(&mut self) -> bool {
        if self.looking.is_none() {
            self.looks.tick().await;
            let files = self.config.files.clone();
            // A file system that hangs must hold up this loop alone, and one thread at the most.
            self.looking = Some(spawn_blocking(move || versions(&files)));
        }
        let Some(looking) = &mut self.looking else { return false };
        self.pulse.waits_for_disk(Loop::Reload);
        let looked = looking.await;
        self.looking = None;
        looked.is_ok_and(|seen| self.watch.has_changed(seen))
    }

    /// Reads everything again. What is wrong changes nothing, and is told.
    ///
    /// The answer is what is in use now, or every problem, one a line.
    pub(super) async fn reload(&mut self, cause: &str) -> Result<String, String> {
        let (inputs, files) = (self.inputs.clone(), self.config.files.clone());
        let reading = spawn_blocking(move || {
            // The versions first: what changes while it is read is read once more.
            let read = versions(&files);
            let loaded = config::load(&inputs).map(|new| {
                let read = if new.files == files { read.clone() } else { versions(&new.files) };
                let notices = new.unreadable_passwords();
                Loaded { config: new, read, notices }
            });
            (read, loaded)
        });
        self.pulse.waits_for_disk(Loop::Reload);
        let outcome = match reading.await {
            Ok((read, outcome)) => {
                self.watch = FileWatch::new(read);
                outcome.map_err(|problems| problems.iter().map(ToString::to_string).collect())
            }
            Err(error) => {
                Err(vec![format!("reading the configuration broke, which is a defect of cachewatch: {error}")])
            }
        };
        self.pulse.turned(Loop::Reload);
        let outcome =
            outcome.and_then(|new| if new.config.caches.is_empty() { Err(nothing_to_watch()) } else { Ok(new) });
        let at = clock::now();
        match outcome {
            Ok(new) => {
                let summary = self.take(new).await;
                let event = Event::new(at, None, EventKind::ConfigReloaded).now(&format!("{summary} ({cause})"));
                self.chronicle.tell(&[event]);
                Ok(summary)
            }
            Err(lines) => {
                self.metrics.config_reloaded(false, at, self.config.caches.len());
                self.board.configuration_refused(at, &lines);
                for line in &lines {
                    tracing::warn!(cause, "the new configuration is refused, the old one stays: {line}");
                }
                let event = Event::new(at, None, EventKind::ConfigRejected);
                self.chronicle.tell(&[lines.iter().fold(event, |event, line| event.evidence(line))]);
                Err(lines.join("\n"))
            }
        }
    }

    /// Takes a checked configuration into use and says what it changed.
    async fn take(&mut self, Loaded { config: mut new, read, notices: of_passwords }: Loaded) -> String {
        let old = Arc::clone(&self.config);
        // A cache that did not change stays the very same one, which is how the loops know it.
        let mut kept = 0;
        for cache in &mut new.caches {
            if let Some(same) = old.caches.iter().find(|known| **known == *cache) {
                *cache = Arc::clone(same);
                kept += 1;
            }
        }
        let mut notices = new.notices.clone();
        if new.server.listen != old.server.listen {
            notices.push(format!("server.listen changed to {}: it takes effect at the next start", new.server.listen));
        }
        let changed = |server: &Server| {
            // Whatever it has, but where it listens, which is told by itself, and how long it takes to stop.
            Server { listen: old.server.listen, shutdown_grace: old.server.shutdown_grace, ..server.clone() }
        };
        if changed(&new.server) != changed(&old.server) {
            notices.push("[server] changed: access and limits take effect at the next start".to_owned());
        }
        if new.journal.path != old.journal.path {
            notices.push("journal.path changed: it takes effect at the next start".to_owned());
        }
        if new.journal != old.journal {
            self.chronicle.journal().limit(journal::limits(&new));
        }
        if new.log != old.log {
            notices.push("log changed: it takes effect at the next start".to_owned());
        }
        notices.extend(of_passwords);
        for notice in &notices {
            tracing::warn!("{notice}");
        }
        let mut plan = Plan::of(&new);
        if new.system != old.system {
            plan.prober = Some(Arc::new(Prober::new(&new.system)));
        }
        let summary = format!("{} caches, {kept} of them unchanged", new.caches.len());
        self.config = Arc::new(new);
        self.configs.send_replace(Arc::clone(&self.config));
        self.watch = FileWatch::new(read);
        self.apply(plan).await;
        summary
    }

    /// Tells the loops: first dispatch, so that it knows a cache before its first report.
    async fn apply(&mut self, plan: Plan) {
        let (done, known) = oneshot::channel();
        let caches = CacheSet { caches: plan.caches.clone(), done };
        let told = self.caches.send(caches).await.is_ok() && known.await.is_ok();
        if !told || self.plans.send(plan).await.is_err() {
            // That loop's end ends the daemon, which tells its reason.
            return;
        }
        let at = clock::now();
        self.metrics.config_reloaded(true, at, self.config.caches.len());
        self.board.configured(at);
    }
}

/// What is wrong with a configuration without caches: most often a file that was cut short, or mounted in the wrong place.
fn nothing_to_watch() -> Vec<String> {
    vec!["the configuration names no cache, so there would be nothing to watch".to_owned()]
}

/// The versions of the configuration's files and of the `*.toml` files that lie in its directories.
fn versions(paths: &[PathBuf]) -> FileVersions {
    let mut files = Vec::new();
    for path in paths {
        if let Ok(directory) = fs::read_dir(path) {
            let parts = directory.filter_map(|part| Some(part.ok()?.path()));
            let mut parts: Vec<_> = parts.filter(|part| part.extension().is_some_and(|end| end == "toml")).collect();
            parts.sort();
            files.extend(parts);
        } else {
            files.push(path.clone());
        }
    }
    file::versions(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_change_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("cachewatch.toml");
        let parts = directory.path().join("conf.d");
        let paths = [file.clone(), parts.clone()];
        let mut last = versions(&paths);
        let mut changed = |what: &str| {
            let now = versions(&paths);
            assert_ne!(now, last, "{what} was not seen");
            last = now;
        };
        fs::write(&file, "a").unwrap();
        changed("a new file");
        fs::write(&file, "ab").unwrap();
        changed("a write in place");
        let next = directory.path().join("next");
        fs::write(&next, "xy").unwrap();
        fs::rename(&next, &file).unwrap();
        changed("a rename over the file");
        fs::create_dir(&parts).unwrap();
        changed("a directory that appears");
        fs::write(parts.join("10.toml"), "").unwrap();
        changed("a new part");
        fs::write(parts.join("notes.txt"), "").unwrap();
        assert_eq!(versions(&paths), last, "a file that is no part was taken for one");
        fs::remove_file(parts.join("10.toml")).unwrap();
        assert_ne!(versions(&paths), last);

        let (one, two) = (directory.path().join("one"), directory.path().join("two"));
        fs::write(&one, "same").unwrap();
        fs::write(&two, "same").unwrap();
        let link = directory.path().join("link.toml");
        std::os::unix::fs::symlink(&one, &link).unwrap();
        let before = versions(std::slice::from_ref(&link));
        let swap = directory.path().join("swap");
        std::os::unix::fs::symlink(&two, &swap).unwrap();
        fs::rename(&swap, &link).unwrap();
        assert_ne!(versions(&[link]), before, "a swapped symbolic link was not seen");
    }
}
