//! The outcome as a confusion matrix: a row a scenario, a column a finding, a mark at the one that was named first.

use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

use cachewatch::model::FindingId;

use crate::verdict::Verdict;

/// Named as it should be; named in place of another; nothing to name.
const RIGHT: char = '●';
const WRONG: char = '✗';
const EMPTY: char = '·';

/// The matrix, for a terminal. Rows and columns have the catalogue's order, so causes told right form the diagonal.
pub(crate) fn print(verdicts: &[Verdict<'_>], took: Duration) -> String {
    let columns: Vec<FindingId> = columns(verdicts);
    let number = |id: FindingId| columns.iter().position(|column| *column == id).map(|at| at + 1);
    let width = verdicts.iter().map(|verdict| verdict.scenario.name.len()).max().unwrap_or(0).max("cause".len());
    let mut text = String::new();
    let digits = |pick: fn(usize) -> String| (1..=columns.len()).map(pick).collect::<String>();
    let tens = digits(|number| if number.is_multiple_of(10) { (number / 10).to_string() } else { " ".to_owned() });
    let _ = writeln!(text, "   {:width$} {tens}", "");
    let _ = writeln!(text, "   {:width$} {} seconds", "cause", digits(|number| (number % 10).to_string()));
    for verdict in verdicts {
        let (cause, named) = (verdict.scenario.cause(), verdict.named());
        let mark = |column: &FindingId| match named {
            Some(named) if named == *column => {
                if cause == named.into() {
                    RIGHT
                } else {
                    WRONG
                }
            }
            _ => EMPTY,
        };
        let row: String = columns.iter().map(mark).collect();
        let index = cause.and_then(number).map_or_else(String::new, |number| number.to_string());
        let others: Vec<_> = verdict.findings.iter().skip(1).map(|found| found.id.as_str()).collect();
        let others = if others.is_empty() { String::new() } else { format!("  and {}", others.join(", ")) };
        let silence = if verdict.scenario.is_healthy() && named.is_none() { "  silent" } else { "" };
        let failed = if verdict.is_right() { "" } else { "  FAILED" };
        let _ = writeln!(
            text,
            "{index:>2} {:width$} {row} {:7.2}{others}{silence}{failed}",
            verdict.scenario.name,
            verdict.took.as_secs_f64()
        );
    }
    let right = verdicts.iter().filter(|verdict| verdict.is_right()).count();
    let healthy = verdicts.iter().filter(|verdict| verdict.scenario.is_healthy()).count();
    let causes: BTreeSet<_> = verdicts.iter().filter_map(|verdict| verdict.scenario.cause()).collect();
    let _ = writeln!(
        text,
        "\n{right} of {} worlds told right: {} causes, alone and together, and {healthy} healthy worlds; in {:.0} s",
        verdicts.len(),
        causes.len(),
        took.as_secs_f64()
    );
    text
}

/// Every cause that is played, and whatever else was named.
fn columns(verdicts: &[Verdict<'_>]) -> Vec<FindingId> {
    let ids = verdicts.iter().flat_map(|verdict| [verdict.scenario.cause(), verdict.named()]).flatten();
    ids.collect::<BTreeSet<_>>().into_iter().collect()
}
