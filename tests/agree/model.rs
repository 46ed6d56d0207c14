//! The models, run in a world: every reply is known at once, and no network is there.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use cachewatch::libc::glibc;
use cachewatch::libc::musl::{self, MuslVersion};
use cachewatch::libc::{Lookup, Question, Returned, Unasked, Wire, WireReply};

use crate::world::World;
use crate::{Library, Outcome, reply};

/// What a model says.
#[derive(Debug, Clone)]
pub(crate) struct Modelled {
    pub(crate) outcome: Outcome,
    pub(crate) took: Duration,
    pub(crate) lookup: Lookup,
}

/// More rounds of questions than any lookup needs.
const MOST_ROUNDS: usize = 500;
/// A real reply comes so much later than its script says, at the most, on a machine that is not starved.
const MOST_JITTER: u64 = 12;
/// So many times a world is looked at with other accidents of the wire.
const ACCIDENTS: u64 = 14;

struct Known(HashMap<Question, WireReply>);

impl Wire for Known {
    fn reply(&self, question: &Question) -> Option<&WireReply> {
        self.0.get(question)
    }
}

/// Looks the name of this world up.
pub(crate) fn look_up(library: Library, world: &World) -> Modelled {
    run(library, world, 0, 0)
}

/// What else may come, by the chance that is the library's own: with `rotate` glibc begins with any server, and
/// a millisecond may decide whether musl waits once more.
pub(crate) fn others(library: Library, world: &World) -> Vec<Modelled> {
    let starts = match library {
        Library::Glibc => glibc::starts(&world.files()),
        Library::Musl => musl::chances(&world.files()),
    };
    (1..starts).map(|start| run(library, world, start, 0)).collect()
}

/// The same as [`look_up`]; `None` where it is not known, or hangs on accidents of a few milliseconds: which of two
/// replies is the first. A reply that leads into its own ID by mistake is known of no run.
pub(crate) fn steady(library: Library, world: &World) -> Option<Modelled> {
    let modelled = look_up(library, world);
    if modelled.lookup.unmodelled.iter().any(|word| word.starts_with("memory")) {
        return None;
    }
    let others = others(library, world);
    let is_same = |start: usize, modelled: &Modelled, accident: u64| {
        let other = run(library, world, start, accident);
        other.outcome == modelled.outcome && crate::is_near(modelled.took, other.took, Duration::ZERO)
    };
    let mut each = std::iter::once(&modelled).chain(&others).enumerate();
    each.all(|(start, modelled)| (1..=ACCIDENTS).all(|accident| is_same(start, modelled, accident))).then_some(modelled)
}

/// That of Debian, or the one that is told where another musl is tried.
pub(crate) fn musl_version() -> MuslVersion {
    match std::env::var("AGREE_MUSL_VERSION").as_deref() {
        Err(_) | Ok("1.2.3") => MuslVersion::V1_2_3,
        Ok("1.2.4") => MuslVersion::V1_2_4,
        Ok("1.2.5") => MuslVersion::V1_2_5,
        Ok(other) => panic!("AGREE_MUSL_VERSION: {other} is not modelled"),
    }
}

/// With accident 0 every reply comes as its script says, and has the ID 0.
fn run(library: Library, world: &World, start: usize, accident: u64) -> Modelled {
    let files = world.files();
    let mut known = Known(HashMap::new());
    for _ in 0..MOST_ROUNDS {
        let outcome = match library {
            Library::Glibc => glibc::lookup_from(&files, &world.host, &known, start),
            Library::Musl => musl::lookup_by_chance(musl_version(), &files, &world.host, &known, start),
        };
        match outcome {
            Ok(lookup) => {
                let outcome = match &lookup.returned {
                    Returned::Found { addresses, .. } => Outcome::Found(addresses.iter().copied().collect()),
                    Returned::Failed(error) => Outcome::Failed(*error),
                    Returned::Hangs => Outcome::Hangs,
                };
                return Modelled { outcome, took: lookup.took, lookup };
            }
            Err(Unasked(questions)) => {
                assert!(!questions.is_empty(), "a model that asks nothing goes on");
                for question in questions {
                    let asked = Question { name: unescaped(&question.name), ..question.clone() };
                    let reply = match reply::to(world, &asked) {
                        WireReply::Bytes(after, bytes) if accident > 0 => {
                            by_accident(&question, accident, after, bytes)
                        }
                        other => other,
                    };
                    let known = known.0.insert(question, reply);
                    assert!(known.is_none(), "a question is asked once");
                }
            }
        }
    }
    panic!("more than {MOST_ROUNDS} rounds:\n{}", world.text());
}

/// A name without the escapes of bytes that are no letters: a carriage return of resolv.conf is one.
fn unescaped(name: &str) -> String {
    let mut plain: Vec<u8> = Vec::new();
    let mut rest = name;
    while let Some((front, escape)) = rest.split_once('\\') {
        plain.extend(front.bytes());
        let byte = escape.get(..3).and_then(|digits| digits.parse::<u8>().ok());
        let length = if byte.is_some() { 3 } else { 1 };
        plain.extend(byte.or(escape.bytes().next()));
        rest = escape.get(length..).unwrap_or_default();
    }
    plain.extend(rest.bytes());
    String::from_utf8_lossy(&plain).into_owned()
}

/// The same reply a few milliseconds later, with another ID.
fn by_accident(question: &Question, accident: u64, after: Duration, mut bytes: Vec<u8>) -> WireReply {
    let mut hasher = DefaultHasher::new();
    accident.hash(&mut hasher);
    // Each reply by itself, or a server that is slower than the others.
    if accident.is_multiple_of(2) {
        question.hash(&mut hasher);
    } else {
        question.server.hash(&mut hasher);
    }
    let number = hasher.finish();
    let id = number.to_be_bytes();
    for (byte, other) in bytes.iter_mut().take(2).zip(id) {
        *byte = other;
    }
    WireReply::Bytes(after + Duration::from_millis(number % (MOST_JITTER + 1)), bytes)
}
