//! The synthetic network: every cause is real here, and the built program must name it.
//!
//! A scenario is a file of data in `scenarios/`: what its world differs in from a healthy one of `worlds/`, and what must
//! be found there. Each is built in a network namespace of its own out of real servers (nsd, unbound, redis-server,
//! openssl), real addresses and real packet filters, and judged by `cachewatch check`. Where a cause shows only over
//! time, the world changes after a first good round, and the library judges both.
//!
//! A story is a file in `stories/`: a daemon lives through several changes of its world, and its events are compared whole,
//! with their times.
//!
//! - [`scenario`]: the data · [`world`]: what it describes, made real · [`dns`]: its name servers
//! - [`verdict`]: what the program said, against what it should say · [`matrix`]: the outcome, printed
//! - [`story`]: what a daemon told of a world that changed, against what happened
//!
//! Arguments are parts of names; without any, all run. `--tell` prints what a person would read as well, such as
//! `cargo test --test lab -- --tell tcp-filtered`. Needs root, or user namespaces: without root the program
//! starts itself again under `unshare --map-root-user`.

#![expect(
    clippy::unwrap_used,
    reason = "a fixture that is not as it was made is a failure of the scenario, and says where"
)]

mod dns;
mod matrix;
mod scenario;
mod story;
mod verdict;
mod world;

use std::{
    collections::VecDeque,
    env,
    fmt::Write as _,
    io::{self, Write as _},
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
    sync::{Mutex, PoisonError},
    thread,
};

use cachewatch::clock::Stopwatch;
use story::{Retold, Story};
use verdict::Verdict;

/// So many worlds exist at once.
const AT_ONCE: usize = 4;
/// So many daemons live through a story at once.
const STORIES_AT_ONCE: usize = 8;
/// Set for the second start, so that there is no third.
const AS_ROOT: &str = "CACHEWATCH_LAB_AS_ROOT";

fn main() -> ExitCode {
    if !rustix::process::geteuid().is_root() {
        return start_as_root();
    }
    // The harness of Rust knows flags; this one does not, and a caller who gives them to all must not fail here.
    let wanted: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part));
    let (chosen, left_out): (Vec<_>, Vec<_>) =
        scenario::all().into_iter().partition(|scenario| is_wanted(&scenario.name));
    let stories: Vec<_> = story::all().into_iter().filter(|story| is_wanted(&story.name)).collect();
    let watch = Stopwatch::start();
    let tell = env::args().any(|argument| argument == "--tell");
    let (verdicts, retold) = thread::scope(|scope| {
        // A story mostly waits; the scenarios need not wait for it.
        let retold = scope.spawn(|| {
            let broken = |story: &Story, words: String| Retold::broken(story, &words);
            in_parallel(&stories, STORIES_AT_ONCE, |story| &story.name, story::play, broken)
        });
        let broken = |scenario, words: String| Verdict::broken(scenario, &words);
        let of = |scenario| verdict::of(scenario, tell);
        let verdicts = in_parallel(&chosen, AT_ONCE, |scenario| &scenario.name, of, broken);
        (verdicts, retold.join().expect("what breaks is caught where it breaks"))
    });
    let mut text = matrix::print(&verdicts, watch.elapsed());
    for verdict in &verdicts {
        if let Some(told) = &verdict.told {
            let _ = writeln!(text, "\n{}:\n\n{told}", verdict.scenario.name);
        }
    }
    if !retold.is_empty() {
        let right = retold.iter().filter(|retold| retold.wrong.is_empty()).count();
        let _ = writeln!(text, "\n{right} of {} stories told right", retold.len());
    }
    for retold in &retold {
        let failed = if retold.wrong.is_empty() { "" } else { "  FAILED" };
        let _ = write!(text, "\n   {}{failed}\n{}", retold.name, retold.told);
    }
    let mut complaints = scenario::complaints(chosen.iter().chain(&left_out));
    complaints.extend(verdicts.iter().flat_map(Verdict::complaints));
    complaints.extend(retold.iter().flat_map(Retold::complaints));
    for complaint in &complaints {
        let _ = writeln!(text, "FAILED {complaint}");
    }
    // Where the output is not read, the exit code still says it.
    let _ = io::stdout().write_all(text.as_bytes());
    if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Does `work` for each, so many at once; what came of each, in their order. What breaks breaks alone.
fn in_parallel<'items, T: Sync, R: Send>(
    items: &'items [T],
    at_once: usize,
    name: impl Fn(&T) -> &str + Sync,
    work: impl Fn(&'items T) -> R + Sync,
    broken: impl Fn(&'items T, String) -> R + Sync,
) -> Vec<R> {
    let waiting: Mutex<VecDeque<_>> = Mutex::new(items.iter().enumerate().collect());
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..at_once.min(items.len()) {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some((at, item)) = next else { return };
                    // On a thread of its own, so that a broken fixture breaks one of them.
                    let named = thread::Builder::new().name(name(item).to_owned());
                    let outcome = named.spawn_scoped(scope, || work(item)).unwrap().join();
                    let outcome = outcome.unwrap_or_else(|panic| broken(item, words_of(&*panic)));
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((at, outcome));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words").to_owned()
}

/// Starts this program again as root of a user namespace. Comes back only where that cannot be.
fn start_as_root() -> ExitCode {
    let program = env::current_exe().expect("a running program has a file");
    let mut again = Command::new("unshare");
    again.arg("--map-root-user").arg(program).args(env::args_os().skip(1)).env(AS_ROOT, "1");
    // Where only root has these in its path.
    let path = env::var("PATH").unwrap_or_default();
    again.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    let error = if env::var_os(AS_ROOT).is_some() { io::Error::other("still not root") } else { again.exec() };
    let _ = writeln!(
        io::stderr(),
        "the laboratory needs root, or user namespaces (unshare --map-root-user: {error}); run it as root:\n    \
         sudo -E env PATH=\"$PATH\" make lab"
    );
    ExitCode::FAILURE
}
