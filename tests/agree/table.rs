//! What came of it all, for a person.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::cases::told;
use crate::{Compared, Library};

/// Agreement by library and by kind of world, and every disagreement in full.
pub(crate) fn print(compared: &[Compared], redrawn: usize, took: Duration) -> String {
    let mut text = String::new();
    for one in compared.iter().filter(|one| !one.agrees) {
        text.push_str(&at_length(one));
    }
    let mut kinds: BTreeMap<&str, [(usize, usize); 2]> = BTreeMap::new();
    for one in compared {
        let row = kinds.entry(&one.task.world.kind).or_default();
        let cell = &mut row[Library::ALL.iter().position(|library| *library == one.task.library).unwrap_or_default()];
        cell.0 += usize::from(one.agrees);
        cell.1 += 1;
    }
    let mut sums = [(0, 0); 2];
    let line = |name: &str, row: &[(usize, usize); 2]| {
        let cells: Vec<_> = row
            .iter()
            .map(|(agree, all)| if *all == 0 { String::new() } else { format!("{agree} of {all}") })
            .collect();
        format!("   {name:16} {:>14} {:>14}\n", cells[0], cells[1])
    };
    let _ = writeln!(text, "   {:16} {:>14} {:>14}", "agreement", "glibc", "musl");
    for (kind, row) in &kinds {
        text.push_str(&line(kind, row));
        for (sum, cell) in sums.iter_mut().zip(row) {
            *sum = (sum.0 + cell.0, sum.1 + cell.1);
        }
    }
    text.push_str(&line("all", &sums));
    let _ = writeln!(
        text,
        "   {redrawn} worlds drawn again, whose outcome hangs on chance or takes long; in {:.0} s",
        took.as_secs_f64()
    );
    text
}

/// What fails the test.
pub(crate) fn complaints(compared: &[Compared]) -> Vec<String> {
    let mut complaints = Vec::new();
    for library in Library::ALL {
        let all: Vec<_> = compared.iter().filter(|one| one.task.library == library).collect();
        let agree = all.iter().filter(|one| one.agrees).count();
        if agree * 1000 < all.len() * library.least_agreement() {
            let least = library.least_agreement() / 10;
            complaints.push(format!("{}: {agree} of {} agree, below {least} %", library.word(), all.len()));
        }
    }
    let is_case = |one: &&Compared| one.task.world.kind == "case";
    for one in compared.iter().filter(is_case).filter(|one| !one.agrees) {
        complaints.push(format!("case {}: {} does something else", one.task.name, one.task.library.word()));
    }
    complaints
}

/// One world with both outcomes, and the way to run it again.
pub(crate) fn at_length(one: &Compared) -> String {
    let Compared { task, measured, agrees } = one;
    let mut text = String::new();
    let word = if *agrees { "agrees" } else { "DISAGREES" };
    let library = task.library.word();
    let _ = writeln!(text, "--- {} · {} · {library} {word}\n{}", task.name, task.world.kind, task.world.text());
    let model = told(&task.modelled.outcome, task.modelled.took.as_millis());
    let real = told(&measured.outcome, measured.took.as_millis());
    let starved = (measured.starved + measured.heard.late).as_millis();
    let _ = writeln!(text, "model  {model}\nreal   {real}   (kept waiting {starved} ms)");
    for wait in &task.modelled.lookup.waits {
        let kind = wait.record_type.map_or("both", |kind| kind.as_str());
        let _ = writeln!(
            text,
            "  model: {} {} {kind}: {} ms, {}",
            wait.server,
            wait.name,
            wait.waited.as_millis(),
            wait.ended
        );
    }
    for (at, question) in &measured.heard.questions {
        let over = if question.over_tcp { " tcp" } else { "" };
        let kind = question.record_type;
        let _ =
            writeln!(text, "  heard: {:5} ms {} {} {kind}{over}", at.as_millis(), question.server.ip(), question.name);
    }
    let again = match task.name.split_once(':') {
        Some(_) => format!("--world {}", task.name),
        None => task.name.clone(),
    };
    let _ = writeln!(text, "again: cargo test --test agree -- --library {library} {again}\n");
    text
}
