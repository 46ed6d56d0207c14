//! The rules of the house: which room may use which, that no files use each other in a circle, that a name means one thing,
//! that texts are plain, and that the drawing shows the house that stands.

#[path = "../../examples/manual.rs"]
#[expect(dead_code, reason = "its `main` is for `make deb` and for a person at a terminal")]
mod manual;
mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use self::sources::Sources;

/// The rooms of `src/`, each with its floor. A room uses the floors below it, never one beside or above it.
const ROOMS: &[(&str, u8)] = &[
    ("model", 0),
    ("azure", 0),
    ("clock", 0),
    ("file", 0),
    ("style", 0),
    ("api", 1),
    ("libc", 1),
    ("net", 1),
    ("config", 2),
    ("judge", 2),
    ("probe", 2),
    ("sink", 2),
    ("client", 2),
    ("http", 3),
    ("daemon", 4),
    ("commands", 5),
    ("cli", 6),
];

/// The one exception: on the ground floor the vocabulary is under everybody's feet.
const VOCABULARY: &str = "model";

/// The most lines of a file, without its tests.
const LONGEST: usize = 600;

/// Words for people that no text and no doc comment uses: a reader searches for resolver, operator, client, and finds none
/// of them where a sentence says one of these.
const ODD: &[&str] = &["whoever", "whom", "somebody", "nobody", "of no account", "makes no sense"];

/// Names that more than one type has, and why each is right where it stands.
const DOUBLED: &[(&str, &str)] =
    &[("Arguments", "each command has its own, and is named by its module: `check::Arguments`")];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn floor(room: &str) -> Option<u8> {
    ROOMS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

fn may_use(room: &str, other: &str) -> bool {
    let (Some(own), Some(its)) = (floor(room), floor(other)) else { return false };
    room == other || its < own || (other == VOCABULARY && own == 0)
}

/// What is read once for all tests.
fn sources() -> &'static Sources {
    static SOURCES: LazyLock<Sources> = LazyLock::new(|| Sources::read(&root().join("src")));
    &SOURCES
}

/// Every file below `folder` with that ending.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.extension().is_some_and(|own| own == ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The rooms that a source text speaks of as `crate::room`, outside of comments.
fn used_rooms(source: &str) -> BTreeSet<String> {
    let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut rooms = BTreeSet::new();
    for line in code {
        for rest in line.split("crate::").skip(1) {
            let word =
                |text: &str| text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
            let names: Vec<String> = match rest.strip_prefix('{') {
                Some(list) => list.split(',').map(|part| word(part.trim())).collect(),
                None => vec![word(rest)],
            };
            rooms.extend(names.into_iter().filter(|name| floor(name).is_some()));
        }
    }
    rooms
}

#[test]
fn every_room_uses_the_floors_below_it_only() {
    let source = root().join("src");
    let mut wrong = Vec::new();
    for path in files(&source, "rs") {
        let inside = path.strip_prefix(&source).unwrap();
        let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
        let room = first.trim_end_matches(".rs");
        if matches!(room, "lib" | "main") {
            continue;
        }
        assert!(floor(room).is_some(), "{} is in a room that has no floor; give it one in ROOMS", inside.display());
        for other in used_rooms(&fs::read_to_string(&path).unwrap()) {
            if !may_use(room, &other) {
                wrong.push(format!("{} uses crate::{other}", inside.display()));
            }
        }
    }
    assert_eq!(wrong, [""; 0], "a room uses the floors below it, never a room beside or above it");
}

#[test]
fn the_test_above_can_fail() {
    assert_eq!(
        used_rooms("use crate::{model::Cache, probe};\n// crate::http\nfn f() { crate::judge::x() }\n"),
        ["judge", "model", "probe"].map(str::to_owned).into()
    );
    assert!(!may_use("judge", "probe") && !may_use("sink", "http") && !may_use("model", "azure"));
    assert!(may_use("azure", "model") && may_use("http", "sink") && may_use("cli", "daemon"));
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let fixtures = Sources::read(&root().join("testlab/src"));
    for sources in [sources(), &fixtures] {
        let circles = sources.circles();
        assert!(circles.is_empty(), "what two files share belongs into a third, below both:\n{}", listed(&circles));
    }
}

fn listed(circles: &[Vec<&str>]) -> String {
    circles.iter().map(|files| files.join(" · ")).collect::<Vec<_>>().join("\n")
}

/// A circle put in on purpose is found, in each of the ways in which one file can name another.
#[test]
fn a_circle_is_seen_whatever_its_shape() {
    let circles = |texts: &[(&str, &str)]| {
        let root = ("lib.rs", "mod a; mod b;");
        let sources = Sources::of(&[&[root], texts].concat());
        let circles = sources.circles();
        circles.into_iter().map(|files| files.join(" ")).collect::<Vec<_>>()
    };
    let ring = ["a.rs b.rs"];
    assert_eq!(circles(&[("a.rs", "use crate::b::B;"), ("b.rs", "fn f() { crate::a::g() }")]), ring);
    assert_eq!(circles(&[("a.rs", "use super::b::B;"), ("b.rs", "fn f() { shown!(super::a::g(), 1) }")]), ring);
    // One way alone, and what only tests use.
    let of_tests = "#[cfg(test)] mod tests { use crate::a::A; } #[cfg(test)] use crate::a::B;";
    assert_eq!(circles(&[("a.rs", "use crate::b::B;"), ("b.rs", of_tests)]), [""; 0]);
    // A parent that hands on what a child declares uses it no more than that; one that works with it does.
    let child = ("a/c.rs", "use super::A; pub struct C;");
    let b = ("b.rs", "");
    let parent = |text| circles(&[("a/mod.rs", text), child, b]);
    assert_eq!(parent("mod c; pub use c::C; pub struct A;"), [""; 0]);
    assert_eq!(parent("mod c; pub use self::c::C; pub struct A(C);"), ["a/mod.rs a/c.rs"]);
    assert_eq!(parent("mod c; pub struct A; fn f() { c::g() }"), ["a/mod.rs a/c.rs"]);
    // What the parent hands on is used where it is declared.
    let brothers =
        [("a/mod.rs", "mod c; mod d; pub use d::D;"), ("a/c.rs", "use super::D;"), ("a/d.rs", "use super::c;"), b];
    assert_eq!(circles(&brothers), ["a/c.rs a/d.rs"]);
}

#[test]
fn a_type_name_means_one_thing() {
    let sources = sources();
    let mut doubled = sources.doubled_types();
    for (name, reason) in DOUBLED {
        assert!(doubled.remove(name).is_some(), "{name} is one type now: take it from the list ({reason})");
    }
    let doubled: Vec<_> = doubled.iter().map(|(name, files)| format!("{name}: {}", files.join(", "))).collect();
    assert_eq!(doubled, [""; 0]);
}

#[test]
fn no_file_is_too_long_to_be_read_at_once() {
    let sources = sources();
    let lengths: BTreeMap<_, _> = sources.lengths().collect();
    assert!(lengths.len() > 100, "{lengths:?}");
    let long: Vec<_> = lengths.into_iter().filter(|(_, lines)| *lines > LONGEST).collect();
    assert_eq!(long, []);
}

/// The odd words in the string literals and doc comments of these sources, as `file:line: word`.
fn odd_words(sources: &Sources) -> Vec<String> {
    let mut found = Vec::new();
    for (file, line, text) in sources.texts() {
        let letters = text.to_lowercase().replace(|letter: char| !letter.is_alphanumeric(), " ");
        let words = format!(" {} ", letters.split_whitespace().collect::<Vec<_>>().join(" "));
        let odd = ODD.iter().filter(|odd| words.contains(&format!(" {odd} ")));
        found.extend(odd.map(|odd| format!("{file}:{line}: {odd}")));
    }
    found
}

#[test]
fn texts_name_the_thing_and_no_people() {
    assert!(sources().texts().count() > 3_000);
    assert_eq!(odd_words(sources()), [""; 0], "name the resolver, the client, the operator; say what to do");
}

/// Each place in which a text can stand is read.
#[test]
fn an_odd_word_is_seen_wherever_it_stands() {
    let odd = |text| odd_words(&Sources::of(&[("lib.rs", text)]));
    for text in [
        "//! Whoever asks.",
        "/// What whom.\npub struct A;",
        "struct A {\n    /// Nobody has it.\n    a: u8,\n}",
        "const A: &str = \"no, somebody\";",
        "fn f() { g!(x, \"this makes \\\n  no sense\") }",
        "#[error(\"of no account: {0}\")]\nstruct A;",
    ] {
        assert_eq!(odd(text).len(), 1, "{text}");
    }
    let of_tests = "#[cfg(test)] mod tests { const A: &str = \"nobody\"; }";
    for text in [of_tests, "// nobody\nfn f() {}", "const A: &str = \"whomever\";"] {
        assert_eq!(odd(text), [""; 0], "{text}");
    }
}

#[test]
fn the_drawing_shows_every_room_and_no_other() {
    let drawing = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let drawn: BTreeSet<_> = drawing
        .lines()
        .filter_map(|line| line.strip_prefix("- `src/"))
        .filter_map(|rest| rest.split_once('`'))
        .map(|(room, _)| room.trim_end_matches('/').trim_end_matches(".rs").to_owned())
        .filter(|room| !matches!(room.as_str(), "lib" | "main"))
        .collect();
    let rooms: BTreeSet<_> = ROOMS.iter().map(|(room, _)| (*room).to_owned()).collect();
    assert_eq!(drawn, rooms);
    for (room, _) in ROOMS {
        let place = root().join("src").join(room);
        assert!(place.is_dir() || place.with_extension("rs").is_file(), "{room} is drawn and does not stand");
    }
}

#[test]
fn the_document_of_the_command_line_is_current() {
    let document = fs::read_to_string(root().join("docs/cli.md")).unwrap_or_default();
    let how = "run `cargo run --example manual -- --markdown > docs/cli.md`";
    assert!(document == manual::document(), "docs/cli.md is out of date: {how}");
}

/// Links of the documents that point into this tree, as `document: target`.
#[test]
fn every_link_leads_somewhere() {
    let mut documents: Vec<_> = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "md"))
        .collect();
    documents.extend(files(&root().join("docs"), "md"));
    assert!(documents.len() >= 4, "{documents:?}");
    let mut broken = Vec::new();
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        for rest in text.split("](").skip(1) {
            let target = rest.split(')').next().unwrap_or_default();
            let path = target.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") {
                continue;
            }
            if !document.parent().unwrap().join(path).exists() {
                broken.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert_eq!(broken, [""; 0]);
}

/// Every key of a scenario, of a story and of a world that is compared, as serde reads them.
#[test]
fn the_languages_of_the_tests_are_written_down() {
    let languages =
        [("tests/lab", &["scenario.rs", "story.rs"][..], "not-yet"), ("tests/agree", &["world.rs"], "hangs-up")];
    for (folder, files, known) in languages {
        let folder = root().join(folder);
        let page = fs::read_to_string(folder.join("README.md")).unwrap();
        let texts = files.iter().map(|file| fs::read_to_string(folder.join(file)).unwrap());
        let keys: BTreeSet<_> = texts.flat_map(|text| sources::deserialized(&text)).collect();
        assert!(keys.contains("resolv_conf") && keys.contains(known), "{keys:?}");
        let words: BTreeSet<_> =
            page.split(|letter: char| !letter.is_alphanumeric() && !"_-".contains(letter)).collect();
        let missing: Vec<_> = keys.iter().filter(|key| !words.contains(key.as_str())).collect();
        assert_eq!(missing, [""; 0], "{} names every key", folder.join("README.md").display());
    }
}

/// The Makefile is the one door; the documents must not send anybody to one that is not there.
#[test]
fn every_make_target_in_the_documents_exists() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    for document in ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        for rest in text.split("`make ").skip(1) {
            let target: String = rest.chars().take_while(char::is_ascii_alphabetic).collect();
            assert!(makefile.contains(&format!("\n{target}:")), "{document} speaks of `make {target}`");
        }
    }
}
