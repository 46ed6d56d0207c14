//! One row of the catalogue: what a finding means, how it is told apart, what to run.

use super::commands::Commands;
use super::coverage::Coverage;
use crate::model::{FindingId, Rules, Stage, Step};

/// One finding, explained. It stands in the file of its family, above the code that detects it.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// The stable id.
    pub id: FindingId,
    /// The stage of the path at which it shows.
    pub stage: Stage,
    /// What a round must have seen to know that it does not hold. That may lie beyond the stage at which it shows.
    pub(in crate::judge) denied_by: Coverage,
    /// How bad it is, and when it is worse or milder.
    pub severity: &'static str,
    /// What is wrong, in a few words.
    pub title: &'static str,
    /// What it means for an application.
    pub means: &'static str,
    /// How it is told from what looks alike.
    pub told_apart: &'static str,
    /// What is seen on the wire.
    pub on_the_wire: &'static str,
    /// What to do, in order; `None` is a command that there is for hosts of Azure alone.
    pub(super) steps: fn(&Commands) -> Vec<Option<Step>>,
}

impl Rule {
    /// What to do, in order, with these names.
    #[must_use]
    pub fn steps(&self, commands: &Commands) -> Vec<Step> {
        (self.steps)(commands).into_iter().flatten().collect()
    }

    /// When it opens and clears: at once where it rests on a rare test, else as the rules of the cache say.
    pub(in crate::judge) fn rounds(&self, rules: Rules) -> Rules {
        if self.denied_by.is_rare() { Rules { open_after: 1, clear_after: 1 } } else { rules }
    }
}

/// A command.
#[expect(clippy::unnecessary_wraps, reason = "it stands in a row beside commands that there may not be")]
pub(super) fn run(command: impl Into<String>) -> Option<Step> {
    Some(Step::Run(command.into()))
}

/// A command that there is for hosts of Azure alone.
pub(super) fn azure(command: Option<String>) -> Option<Step> {
    command.map(Step::Run)
}

/// A note.
#[expect(clippy::unnecessary_wraps, reason = "it stands in a row beside commands that there may not be")]
pub(super) fn note(words: impl Into<String>) -> Option<Step> {
    Some(Step::Note(words.into()))
}

/// The rows of all families in one list, in their order.
///
/// Invariant: every finding has one row. It is checked when this program is compiled.
pub(super) const fn catalogue<const COUNT: usize>(families: &[&'static [Rule]]) -> [&'static Rule; COUNT] {
    let mut rows = [&families[0][0]; COUNT];
    let mut is_there = [false; COUNT];
    let (mut next, mut family) = (0, 0);
    while family < families.len() {
        let mut row = 0;
        while row < families[family].len() {
            let rule = &families[family][row];
            assert!(!is_there[rule.id as usize], "a finding has two rows");
            is_there[rule.id as usize] = true;
            rows[next] = rule;
            next += 1;
            row += 1;
        }
        family += 1;
    }
    assert!(next == COUNT, "a finding has no row");
    rows
}
