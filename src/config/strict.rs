//! One file, held to the schema: every key known, every value of its kind, each problem with its line.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::key::Row;
use super::keys;
use super::kind::{self, Kind};
use super::nearest::nearest;
use super::parse;
use super::problem::{Diagnostic, Origin};
use super::schema::{self, SchemaNode};
use super::sources::{ParsedSources, SourceEntry};
use super::value::{Literal, Location, Value};

/// Reads the text of one file as the next layer.
pub(super) fn read(sources: &mut ParsedSources, file: &Path, text: &str) {
    let (document, errors) = DeTable::parse_recoverable(text);
    let line_ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(end, _)| end).collect();
    let mut reader = FileReader {
        file,
        line_ends,
        layer: sources.layers.len() + 1,
        broken: Vec::new(),
        entries: Vec::new(),
        sources,
    };
    for error in errors {
        // Invariant: only the message is told. The error's own text would show the line, and what is in it.
        let line = reader.line(error.span().unwrap_or_default());
        if reader.broken.contains(&line) {
            continue;
        }
        reader.broken.push(line);
        reader.sources.is_partial = true;
        reader.sources.report(&reader.origin(line), "", Diagnostic::new(format!("not TOML: {}", error.message())));
    }
    reader.table(&SourcePlace::default(), document.get_ref());
    let entries = reader.entries;
    sources.layers.push(entries);
}

/// A table's place: in the schema, in a message, in the merged tree.
#[derive(Debug, Clone, Default)]
struct SourcePlace {
    pattern: String,
    shown: String,
    path: Vec<String>,
}

impl SourcePlace {
    fn join(&self, name: &str) -> Self {
        let path = self.path.iter().cloned().chain([name.to_owned()]).collect();
        let is_bare =
            !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter));
        let shown = if is_bare { name.to_owned() } else { parse::quoted(name) };
        Self { pattern: schema::join(&self.pattern, name), shown: schema::join(&self.shown, &shown), path }
    }
}

/// The way through one document.
struct FileReader<'a> {
    file: &'a Path,
    /// Where the lines end, in order: every value asks for its line, and a file may hold a thousand caches.
    line_ends: Vec<usize>,
    layer: usize,
    /// The lines that are not TOML; what was recovered from them is not judged.
    broken: Vec<usize>,
    entries: Vec<SourceEntry>,
    sources: &'a mut ParsedSources,
}

impl FileReader<'_> {
    fn table(&mut self, at: &SourcePlace, table: &DeTable<'_>) {
        for (name, value) in table {
            let line = self.line(name.span());
            let here = at.join(name.get_ref());
            if self.broken.contains(&line) || self.broken.contains(&self.line(value.span())) {
                self.sources.mark_invalid(&here.path);
                continue;
            }
            match (schema::child(&at.pattern, name.get_ref()), value.get_ref()) {
                (Some(SchemaNode::Section), DeValue::Table(inner)) => self.table(&here, inner),
                (Some(SchemaNode::Items), DeValue::Array(items)) => self.items(&here, items.iter()),
                (Some(SchemaNode::Leaf(_)), _) => self.leaf(&here, value),
                (Some(SchemaNode::Section), other) => {
                    let diagnostic = Diagnostic::new(format!("must be a table, found: {}", other.type_str()));
                    self.report(
                        line,
                        &here.shown,
                        diagnostic.hint(format!("write [{}]", schema::section(&here.pattern))),
                    );
                }
                (Some(SchemaNode::Items), other) => {
                    let diagnostic =
                        Diagnostic::new(format!("must be an array of tables, found: {}", other.type_str()));
                    self.report(line, &here.shown, diagnostic.hint(format!("write [[{}]]", here.pattern)));
                }
                (None, _) => self.unknown(line, at, &here, name.get_ref()),
            }
        }
    }

    fn items<'v, 'i: 'v>(&mut self, at: &SourcePlace, items: impl Iterator<Item = &'v Spanned<DeValue<'i>>>) {
        for (index, item) in items.enumerate() {
            let shown = format!("{}[{index}]", at.shown);
            let line = self.line(item.span());
            let DeValue::Table(table) = item.get_ref() else {
                let diagnostic = Diagnostic::new(format!("must be a table, found: {}", item.get_ref().type_str()));
                self.report(line, &shown, diagnostic.hint(format!("write [[{}]]", at.pattern)));
                continue;
            };
            let name = table.get("name").and_then(|name| name.get_ref().as_str());
            if table.get("name").is_none() {
                let noun = if at.pattern == schema::CACHES { "cache" } else { "resolver" };
                let diagnostic = Diagnostic::new("missing").hint(format!("every {noun} needs a unique name"));
                self.report(line, &schema::join(&shown, "name"), diagnostic);
            }
            let usable = name.filter(|name| parse::name(name).is_ok());
            let location = Location { origin: self.origin(line), key: shown.clone(), layer: self.layer };
            let name = self.sources.add_item(&at.shown, usable, location);
            let path = at.path.iter().cloned().chain([name]).collect();
            self.table(&SourcePlace { pattern: format!("{}[]", at.pattern), shown, path }, table);
        }
    }

    fn leaf(&mut self, at: &SourcePlace, value: &Spanned<DeValue<'_>>) {
        let Some(key) = schema::leaf(&at.pattern) else { return };
        let location = self.location(&value.span(), at.shown.clone());
        let literal = Literal::of_toml(value.get_ref(), &mut |(index, span)| {
            self.location(&span, format!("{}[{index}]", at.shown))
        });
        let value = Value { literal, location };
        if self.sources.accept(key, &at.path, &value) {
            self.entries.push(SourceEntry { path: at.path.clone(), value });
        }
    }

    /// An unknown key. Its value is never shown.
    fn unknown(&mut self, line: usize, table: &SourcePlace, at: &SourcePlace, name: &str) {
        self.sources.mark_invalid(&at.path);
        let diagnostic = unknown_key(&table.pattern, name);
        self.report(line, &at.shown, diagnostic);
    }

    fn report(&mut self, line: usize, key: &str, diagnostic: Diagnostic) {
        self.sources.report(&self.origin(line), key, diagnostic);
    }

    fn location(&self, span: &Range<usize>, key: String) -> Location {
        Location { origin: self.origin(self.line(span.clone())), key, layer: self.layer }
    }

    fn origin(&self, line: usize) -> Origin {
        Origin::File { path: self.file.to_owned(), line: Some(line) }
    }

    /// The line of a position, from 1.
    fn line(&self, span: Range<usize>) -> usize {
        1 + self.line_ends.partition_point(|end| *end < span.start)
    }
}

/// What to say of a key that is not in the table of that pattern.
pub(super) fn unknown_key(table: &str, name: &str) -> Diagnostic {
    let near = nearest(name, schema::names(table));
    match near.map(|near| (near, schema::child(table, near))) {
        Some((_, Some(SchemaNode::Leaf(Row { kind: Kind::Secret, .. })))) => return kind::secret_in_a_file(),
        Some((near, _)) => return Diagnostic::new("unknown key").suggest(Some(near)),
        None => {}
    }
    if is_secret_like(name) {
        return kind::secret_in_a_file();
    }
    let diagnostic = Diagnostic::new("unknown key");
    let of_name = || keys::ROWS.iter().filter(|key| key.path.rsplit('.').next() == Some(name));
    // Several tables may have a key of that name; the nearest is within the table where it was looked for.
    let elsewhere = of_name().find(|key| key.path.starts_with(table)).or_else(|| of_name().next());
    if let Some((home, _)) = elsewhere.and_then(|key| key.path.rsplit_once('.')) {
        return diagnostic.hint(format!("`{name}` belongs in {}", schema::header(home)));
    }
    let is_secret =
        |name: &&str| matches!(schema::child(table, name), Some(SchemaNode::Leaf(Row { kind: Kind::Secret, .. })));
    let known: Vec<_> = schema::names(table).into_iter().filter(|name| !is_secret(name)).collect();
    diagnostic.hint(format!("known here: {}", known.join(", ")))
}

/// Whether a key's value is likely to be a secret.
fn is_secret_like(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["pass", "pwd", "secret", "token", "access_key", "accesskey", "credential"].iter().any(|word| name.contains(word))
}
