//! The catalogue of findings, told: for a terminal, as JSON, and as `docs/findings.md`.

use std::io::{self, Write};

use serde::Serialize;

use crate::judge::{Commands, Rule};
use crate::model::{FindingId, SCHEMA_VERSION, Stage, Step};
use crate::style::Style;

/// The column where the words of a part begin.
const WORDS: usize = 14;

/// Lists findings, a line each.
///
/// # Errors
/// Where the output cannot be written.
pub(super) fn list(out: &mut impl Write, rules: &[&Rule], style: Style) -> io::Result<()> {
    let mut stage = None;
    for rule in rules {
        if stage.replace(rule.stage) != Some(rule.stage) {
            writeln!(out, "{}", style.strong(rule.stage.as_str()))?;
        }
        let severity = rule.severity.split([' ', ';']).next().unwrap_or_default();
        style.write(out, &format!("  {severity}  {:<34}", rule.id.as_str()), 39, rule.title)?;
    }
    writeln!(out, "\nThe number is the severity: 1 unavailable, 2 degraded or exposed, 3 a risk, 4 advice.")?;
    writeln!(out, "`cachewatch explain FINDING` tells what it means, how it is told apart and what to run.")
}

/// Tells one finding.
///
/// # Errors
/// Where the output cannot be written.
pub(super) fn print(out: &mut impl Write, rule: &Rule, commands: &Commands, style: Style) -> io::Result<()> {
    let head = format!("{}  ", style.strong(rule.id.as_str()));
    style.write(out, &head, 2, rule.title)?;
    writeln!(out)?;
    for (part, words) in parts(rule) {
        style.write(out, &format!("  {part:<12}"), WORDS, words)?;
    }
    for step in rule.steps(commands) {
        match step {
            Step::Note(words) => style.write(out, "  note        ", WORDS, &words)?,
            Step::Run(command) => writeln!(out, "  run         $ {}", style.strong(&command))?,
        }
    }
    Ok(())
}

fn parts(rule: &Rule) -> [(&'static str, &'static str); 5] {
    [
        ("severity", rule.severity),
        ("seen at", rule.stage.as_str()),
        ("means", rule.means),
        ("told apart", rule.told_apart),
        ("on the wire", rule.on_the_wire),
    ]
}

/// Writes findings as one JSON document.
///
/// # Errors
/// Where the output cannot be written.
pub(super) fn print_json(out: &mut impl Write, rules: &[&Rule], commands: &Commands) -> io::Result<()> {
    #[derive(Serialize)]
    struct Document {
        schema_version: u32,
        findings: Vec<Explained>,
    }
    #[derive(Serialize)]
    struct Explained {
        id: FindingId,
        stage: Stage,
        severity: &'static str,
        title: &'static str,
        means: &'static str,
        told_apart: &'static str,
        on_the_wire: &'static str,
        run: Vec<Step>,
    }
    let explained = |rule: &&Rule| Explained {
        id: rule.id,
        stage: rule.stage,
        severity: rule.severity,
        title: rule.title,
        means: rule.means,
        told_apart: rule.told_apart,
        on_the_wire: rule.on_the_wire,
        run: rule.steps(commands),
    };
    let document = Document { schema_version: SCHEMA_VERSION, findings: rules.iter().map(explained).collect() };
    serde_json::to_writer_pretty(&mut *out, &document).map_err(io::Error::from)?;
    writeln!(out)
}

/// Writes findings as a document: `docs/findings.md` is what this gives for the whole catalogue.
///
/// # Errors
/// Where the output cannot be written.
pub(super) fn print_markdown(out: &mut impl Write, rules: &[&Rule], commands: &Commands) -> io::Result<()> {
    writeln!(out, "# Findings\n")?;
    writeln!(out, "<!-- Made by `cachewatch explain --format markdown`; a test holds that it is current. -->\n")?;
    writeln!(
        out,
        "One id, one root cause. Severity: **1** unavailable for all · **2** degraded, exposed or about to break · **3** \
         intermittent, or a risk · **4** advice. In the commands NAME, HOST, PORT and GROUP stand for the cache's own; \
         `cachewatch check` fills them in.\n"
    )?;
    writeln!(out, "| finding | severity | seen at | what is wrong |\n|---|---|---|---|")?;
    for rule in rules {
        let id = rule.id.as_str();
        writeln!(out, "| [`{id}`](#{id}) | {} | {} | {} |", rule.severity, rule.stage, rule.title)?;
    }
    for rule in rules {
        writeln!(out, "\n## {}\n\n**{}.** {}\n", rule.id, capitalised(rule.title), rule.means)?;
        writeln!(
            out,
            "- Severity: {}\n- Told apart: {}\n- On the wire: {}\n",
            rule.severity, rule.told_apart, rule.on_the_wire
        )?;
        let steps: Vec<_> = rule.steps(commands).iter().map(ToString::to_string).collect();
        writeln!(out, "```\n{}\n```", steps.join("\n"))?;
    }
    Ok(())
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::CATALOGUE;

    /// `docs/findings.md` is the catalogue; `cachewatch explain --format markdown > docs/findings.md` writes it anew.
    #[test]
    fn the_document_is_current() {
        let mut expected = Vec::new();
        print_markdown(&mut expected, &CATALOGUE, &Commands::sample()).unwrap();
        let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/findings.md")).unwrap();
        assert!(
            document == String::from_utf8(expected).unwrap(),
            "docs/findings.md is out of date: run `cargo run -- explain --format markdown > docs/findings.md`"
        );
    }
}
