//! The models of the C libraries, side by side with the libraries themselves.
//!
//! A world is drawn by chance or written by hand ([`world`]): a machine's files, a name, and name servers with a script. The
//! real `getaddrinfo` of glibc and of musl looks the name up in a network of its own, where the servers run ([`real`],
//! [`server`]); the models do so with the replies alone ([`model`]). Addresses, the kind of failure and the time must be
//! the same.
//!
//! - [`draw`] and [`odd`]: worlds by chance · [`cases`]: worlds by hand · [`reply`]: what a server says · [`table`]: the outcome
//!
//! `cargo test --test agree -- --worlds 5000 --seed 7` · `-- --world 7:123` is one world, told at length · `-- NAME` are cases
//! with that in their name, and `--tell` tells them at length · `--library musl` leaves the other out. `AGREE_MUSL_GCC=PATH
//! AGREE_MUSL_VERSION=1.2.5` tries another musl than the machine's. Needs root, or user namespaces, as the laboratory does.

#![expect(clippy::unwrap_used, reason = "a fixture that is not as it was made is a failure, and says where")]

mod cases;
mod draw;
mod model;
mod odd;
mod real;
mod reply;
mod server;
mod table;
mod world;

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use std::{env, io, thread};

use cachewatch::clock::Stopwatch;
use cachewatch::libc::GaiError;
use io::Write as _;
use model::Modelled;
use real::{Measured, Programs};
use testlab::net::Namespace;
use world::World;

/// A C library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Library {
    Glibc,
    Musl,
}

impl Library {
    pub(crate) const ALL: [Self; 2] = [Self::Glibc, Self::Musl];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Glibc => "glibc",
            Self::Musl => "musl",
        }
    }

    /// The share of worlds in which model and library must agree, of 1,000.
    fn least_agreement(self) -> usize {
        match self {
            Self::Glibc => 995,
            Self::Musl => 990,
        }
    }
}

/// What an application gets, as far as it is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Found(BTreeSet<IpAddr>),
    Failed(GaiError),
    /// It does not return.
    Hangs,
    /// The program ended in some other way.
    Broke(String),
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Found(addresses) => {
                let words: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
                write!(f, "found {}", words.join(" "))
            }
            Self::Failed(error) => write!(f, "failed {error}"),
            Self::Hangs => write!(f, "hangs"),
            Self::Broke(words) => write!(f, "broke: {words}"),
        }
    }
}

/// Whether a real time is that of the model, where the machine kept things waiting for so long.
pub(crate) fn is_near(model: Duration, real: Duration, starved: Duration) -> bool {
    let slack = Duration::from_millis(50).max(model / 10);
    model.abs_diff(real) <= slack + starved
}

/// One world for one library.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    /// How it is asked for again.
    pub(crate) name: String,
    pub(crate) library: Library,
    pub(crate) world: World,
    /// What the model says.
    pub(crate) modelled: Modelled,
    /// What may come as well, by a chance that is the library's own.
    pub(crate) others: Vec<Modelled>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Compared {
    pub(crate) task: Task,
    pub(crate) measured: Measured,
    pub(crate) agrees: bool,
}

/// So many worlds exist at once: they wait most of the time.
const LANES: usize = 48;
/// A disagreement that the machine may have made is looked at so many times more.
const MORE_TRIES: usize = 3;
/// Where the machine kept things waiting for so long, more than the time may be of its making.
const BUSY: Duration = Duration::from_millis(8);
/// What has not returned so long after its model says that it hangs, does hang.
const LONG_ENOUGH: Duration = Duration::from_secs(6);
/// What has not returned so long after its model says that it does, hangs.
const MUCH_TOO_LONG: Duration = Duration::from_secs(25);
/// A world is drawn so many times at the most.
const MOST_DRAWN: u64 = 1000;
const SEED: u64 = 12;
const WORLDS: u64 = 200;
/// Set for the second start, so that there is no third.
const AS_ROOT: &str = "CACHEWATCH_LAB_AS_ROOT";

/// What the command line asks for.
#[derive(Default)]
struct Wanted {
    worlds: Option<u64>,
    seed: Option<u64>,
    world: Option<(u64, u64)>,
    library: Option<String>,
    kind: Option<String>,
    tell: bool,
    names: Vec<String>,
}

impl Wanted {
    fn read() -> Self {
        let mut wanted = Self::default();
        let mut words = env::args().skip(1);
        while let Some(word) = words.next() {
            let mut number = || words.next().and_then(|word| word.parse().ok());
            match word.as_str() {
                "--worlds" => wanted.worlds = number(),
                "--seed" => wanted.seed = number(),
                "--world" => {
                    let both = words.next().unwrap_or_default();
                    let (seed, at) = both.split_once(':').unwrap_or_default();
                    wanted.world = Some((seed.parse().unwrap(), at.parse().unwrap()));
                }
                "--library" => wanted.library = words.next(),
                "--kind" => wanted.kind = words.next(),
                "--tell" => wanted.tell = true,
                // The harness of Rust knows flags; this one does not, and a caller who gives them to all must not fail here.
                flag if flag.starts_with('-') => {}
                name => wanted.names.push(name.to_owned()),
            }
        }
        wanted
    }
}

fn main() -> ExitCode {
    if !rustix::process::geteuid().is_root() {
        return start_as_root();
    }
    let wanted = Wanted::read();
    let watch = Stopwatch::start();
    let mut drawn = Drawn::default();
    if let Some((seed, number)) = wanted.world {
        drawn.draw(seed, number..number + 1, &wanted);
    } else {
        drawn.read_cases(&wanted);
        if wanted.names.is_empty() {
            drawn.draw(wanted.seed.unwrap_or(SEED), 0..wanted.worlds.unwrap_or(WORLDS), &wanted);
        }
    }
    let compared = compare_all(drawn.tasks);
    let mut text = String::new();
    if wanted.tell || wanted.world.is_some() {
        for one in &compared {
            text.push_str(&table::at_length(one));
        }
    }
    text.push_str(&table::print(&compared, drawn.redrawn, watch.elapsed()));
    let complaints: Vec<_> = table::complaints(&compared).into_iter().chain(drawn.complaints).collect();
    for complaint in &complaints {
        let _ = writeln!(text, "FAILED {complaint}");
    }
    // Where the output is not read, the exit code still says it.
    let _ = io::stdout().write_all(text.as_bytes());
    if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What is to be compared.
#[derive(Default)]
struct Drawn {
    tasks: Vec<Task>,
    /// Worlds drawn again, since chance would have decided.
    redrawn: usize,
    complaints: Vec<String>,
}

impl Drawn {
    fn libraries(wanted: &Wanted) -> impl Iterator<Item = Library> {
        let only = wanted.library.clone();
        Library::ALL.into_iter().filter(move |library| only.as_ref().is_none_or(|only| only == library.word()))
    }

    fn read_cases(&mut self, wanted: &Wanted) {
        let is_wanted = |name: &str| wanted.names.is_empty() || wanted.names.iter().any(|part| name.contains(part));
        for (name, world) in cases::all().into_iter().filter(|(name, _)| is_wanted(name)) {
            for library in Self::libraries(wanted) {
                let modelled = model::look_up(library, &world);
                self.complaints.extend(cases::complaint(&name, library, &world, &modelled));
                let others = model::others(library, &world);
                self.tasks.push(Task { name: name.clone(), library, world: world.clone(), modelled, others });
            }
        }
    }

    fn draw(&mut self, seed: u64, numbers: std::ops::Range<u64>, wanted: &Wanted) {
        for number in numbers {
            let kind = draw::KINDS[usize::try_from(number).unwrap() % draw::KINDS.len()];
            if wanted.kind.as_ref().is_some_and(|only| only != kind) {
                continue;
            }
            for library in Self::libraries(wanted) {
                self.draw_one(seed, number, library);
            }
        }
    }

    /// Draws a world until its outcome for this library does not hang on chance, and until it is short enough.
    fn draw_one(&mut self, seed: u64, number: u64, library: Library) {
        // One in so many may be long.
        let longest = Duration::from_secs(if number.is_multiple_of(41) { 12 } else { 3 });
        for attempt in 0..MOST_DRAWN {
            let world = draw::world(seed, number, attempt);
            match model::steady(library, &world) {
                Some(modelled) if modelled.took <= longest => {
                    let others = model::others(library, &world);
                    self.tasks.push(Task { name: format!("{seed}:{number}"), library, world, modelled, others });
                    return;
                }
                _ => self.redrawn += 1,
            }
        }
        self.complaints.push(format!("{seed}:{number}: every world drawn hangs on chance, or takes too long"));
    }
}

fn compare_all(tasks: Vec<Task>) -> Vec<Compared> {
    let programs = Programs::build();
    let lanes = LANES.min(tasks.len());
    let waiting: Mutex<VecDeque<_>> = Mutex::new(tasks.into_iter().enumerate().collect());
    let done = Mutex::new(Vec::new());
    // All of them first: what is started to make one would hold the sockets of another open.
    let networks: Vec<_> = thread::scope(|scope| {
        let started: Vec<_> = (0..lanes).map(|_| scope.spawn(network)).collect();
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    thread::scope(|scope| {
        for network in &networks {
            scope.spawn(|| {
                network.run(|| {
                    loop {
                        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                        let Some((at, task)) = next else { return };
                        let compared = compare(&programs, task);
                        done.lock().unwrap_or_else(PoisonError::into_inner).push((at, compared));
                    }
                });
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, compared)| compared).collect()
}

/// A network with the addresses of the servers.
fn network() -> Namespace {
    let network = Namespace::new();
    let addresses = world::ADDRESSES.iter().chain(world::WELL_KNOWN).map(|address| match address.parse().unwrap() {
        IpAddr::V4(address) => format!("address add {address}/32 dev lo\n"),
        IpAddr::V6(address) => format!("address add {address}/128 dev lo nodad\n"),
    });
    let lines: Vec<_> = addresses.collect();
    let mut ip = Command::new("ip");
    let mut ip = network.run(|| ip.args(["-batch", "-"]).stdin(Stdio::piped()).spawn().expect("iproute2 is installed"));
    ip.stdin.take().unwrap().write_all(lines.concat().as_bytes()).unwrap();
    assert!(ip.wait().unwrap().success(), "a network of one's own takes any address");
    network
}

fn compare(programs: &Programs, mut task: Task) -> Compared {
    let hangs = task.modelled.outcome == Outcome::Hangs;
    let patience = task.modelled.took + if hangs { LONG_ENOUGH } else { MUCH_TOO_LONG };
    let mut tries = 0;
    loop {
        let measured = programs.look_up(task.library, &task.world, patience);
        let starved = measured.starved + measured.heard.late;
        // When something that hangs was ended says nothing.
        let fits = |one: &Modelled| {
            one.outcome == measured.outcome
                && (one.outcome == Outcome::Hangs || is_near(one.took, measured.took, starved))
        };
        if let Some(chance) = task.others.iter().find(|other| fits(other)) {
            task.modelled = chance.clone();
        }
        let is_same = measured.outcome == task.modelled.outcome;
        let agrees = fits(&task.modelled);
        if agrees || tries == MORE_TRIES || (!is_same && starved < BUSY) {
            return Compared { task, measured, agrees };
        }
        tries += 1;
    }
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
        "the comparison needs root, or user namespaces (unshare --map-root-user: {error}); run it as root"
    );
    ExitCode::FAILURE
}
