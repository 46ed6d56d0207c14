//! The catalogue of findings, told: for a terminal, as JSON, and as `docs/findings.md`.

use std::io::{self, Write};

use serde::Serialize;

use crate::judge::Entry;
use crate::model::SCHEMA_VERSION;
use crate::style::Style;

/// The column where the words of a part begin.
const WORDS: usize = 14;

/// Lists findings, a line each.
///
/// # Errors
/// Where the output cannot be written.
pub(super) fn list(out: &mut impl Write, entries: &[&Entry], style: Style) -> io::Result<()> {
    let mut stage = None;
    for entry in entries {
        if stage.replace(entry.stage) != Some(entry.stage) {
            writeln!(out, "{}", style.strong(entry.stage.as_str()))?;
        }
        let severity = entry.severity.split([' ', ';']).next().unwrap_or_default();
        style.write(out, &format!("  {severity}  {:<34}", entry.id.as_str()), 39, entry.title)?;
    }
    writeln!(out, "\nThe number is the severity: 1 unavailable, 2 degraded or exposed, 3 a risk, 4 advice.")?;
    writeln!(out, "`cachewatch explain FINDING` tells what it means, how it is told apart and what to run.")
}

/// Tells one finding.
///
/// # Errors
/// Where the output cannot be written.
pub(super) fn print(out: &mut impl Write, entry: &Entry, style: Style) -> io::Result<()> {
    let head = format!("{}  ", style.strong(entry.id.as_str()));
    style.write(out, &head, 2, entry.title)?;
    writeln!(out)?;
    for (part, words) in parts(entry) {
        style.write(out, &format!("  {part:<12}"), WORDS, words)?;
    }
    for command in entry.run {
        match command.strip_prefix("# ") {
            Some(remark) => style.write(out, "  note        ", WORDS, remark)?,
            None => writeln!(out, "  run         $ {}", style.strong(command))?,
        }
    }
    Ok(())
}

fn parts(entry: &Entry) -> [(&'static str, &'static str); 5] {
    [
        ("severity", entry.severity),
        ("seen at", entry.stage.as_str()),
        ("means", entry.means),
        ("told apart", entry.told_apart),
        ("on the wire", entry.on_the_wire),
    ]
}

/// Writes findings as one JSON document.
///
/// # Errors
/// Where the output cannot be written.
pub(super) fn print_json(out: &mut impl Write, entries: &[&Entry]) -> io::Result<()> {
    #[derive(Serialize)]
    struct Document<'entries> {
        schema_version: u32,
        findings: &'entries [&'entries Entry],
    }
    let document = Document { schema_version: SCHEMA_VERSION, findings: entries };
    serde_json::to_writer_pretty(&mut *out, &document).map_err(io::Error::from)?;
    writeln!(out)
}

/// Writes findings as a document: `docs/findings.md` is what this gives for the whole catalogue.
///
/// # Errors
/// Where the output cannot be written.
pub(super) fn print_markdown(out: &mut impl Write, entries: &[&Entry]) -> io::Result<()> {
    writeln!(out, "# Findings\n")?;
    writeln!(out, "<!-- Made by `cachewatch explain --format markdown`; a test holds that it is current. -->\n")?;
    writeln!(
        out,
        "One id, one root cause. Severity: **1** unavailable for all · **2** degraded, exposed or about to break · **3** \
         intermittent, or a risk · **4** advice. In the commands NAME, HOST, PORT and GROUP stand for the cache's own; \
         `cachewatch check` fills them in.\n"
    )?;
    writeln!(out, "| finding | severity | seen at | what is wrong |\n|---|---|---|---|")?;
    for entry in entries {
        let id = entry.id.as_str();
        writeln!(out, "| [`{id}`](#{id}) | {} | {} | {} |", entry.severity, entry.stage, entry.title)?;
    }
    for entry in entries {
        writeln!(out, "\n## {}\n\n**{}.** {}\n", entry.id, capitalised(entry.title), entry.means)?;
        writeln!(
            out,
            "- Severity: {}\n- Told apart: {}\n- On the wire: {}\n",
            entry.severity, entry.told_apart, entry.on_the_wire
        )?;
        writeln!(out, "```\n{}\n```", entry.run.join("\n"))?;
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
        print_markdown(&mut expected, &CATALOGUE.iter().collect::<Vec<_>>()).unwrap();
        let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/findings.md")).unwrap();
        assert!(
            document == String::from_utf8(expected).unwrap(),
            "docs/findings.md is out of date: run `cargo run -- explain --format markdown > docs/findings.md`"
        );
    }
}
