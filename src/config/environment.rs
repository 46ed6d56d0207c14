//! The environment as a layer: `CACHEWATCH__SECTION__KEY`, and `CACHEWATCH__CACHES__NAME__KEY` for a cache of that name.

use super::key::Row;
use super::keys;
use super::kind::Kind;
use super::nearest::nearest;
use super::problem::{Diagnostic, Origin};
use super::schema::{self, SchemaNode, leaf};
use super::sources::{ParsedSources, SourceEntry};
use super::strict::unknown_key;
use super::value::{Literal, Location, Value};

/// What the name of every variable here begins with.
pub(super) const PREFIX: &str = "CACHEWATCH__";

/// Reads the variables as the strongest layer. Their order does not matter.
pub(super) fn read(sources: &mut ParsedSources, environment: &[(String, String)]) {
    let mut variables: Vec<_> = environment.iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    variables.sort();
    let layer = sources.layers.len() + 1;
    let mut entries = Vec::new();
    for (variable, text) in variables {
        let origin = Origin::Environment(variable.clone());
        match locate(sources, &variable[PREFIX.len()..]) {
            Ok((row, path)) => {
                let location = Location { origin, key: path.join("."), layer };
                entries.extend(entry(sources, row, path, location, variable, text));
            }
            Err(None) => {}
            Err(Some(diagnostic)) => sources.report(&origin, "", diagnostic),
        }
    }
    sources.layers.push(entries);
}

/// The key that the rest of a variable's name leads to, and its path in the merged tree. `Err(None)` where that cannot be
/// told because a file could not be read.
fn locate(sources: &ParsedSources, rest: &str) -> Result<(&'static Row, Vec<String>), Option<Diagnostic>> {
    let rest = rest.to_ascii_lowercase();
    let (section, inner) = rest.split_once("__").unwrap_or((&rest, ""));
    match schema::child("", section) {
        Some(SchemaNode::Items) => {
            let (name, inner) = match_item(sources, section, inner)?;
            let pattern = format!("{section}[]");
            if inner == "name" {
                return Err(Some(
                    Diagnostic::new("the environment cannot change a name").hint("change it in its file"),
                ));
            }
            follow(pattern, vec![section.to_owned(), name], inner).map_err(Some)
        }
        Some(SchemaNode::Section) => follow(section.to_owned(), vec![section.to_owned()], inner).map_err(Some),
        Some(SchemaNode::Leaf(_)) | None => {
            let near = nearest(section, schema::names("")).map(str::to_ascii_uppercase);
            Err(Some(
                Diagnostic::new("unknown section").suggest(near.map(|near| format!("{PREFIX}{near}__…")).as_deref()),
            ))
        }
    }
}

/// Follows the parts of a name below a table to a value.
fn follow(mut pattern: String, mut path: Vec<String>, rest: &str) -> Result<(&'static Row, Vec<String>), Diagnostic> {
    for part in rest.split("__") {
        let table = pattern;
        pattern = schema::join(&table, part);
        path.push(part.to_owned());
        if schema::child(&table, part).is_none() {
            return Err(unknown_key(&table, part));
        }
    }
    match leaf(&pattern) {
        Some(row) => Ok((row, path)),
        None => Err(Diagnostic::new("names a table, not a key")
            .hint(format!("keys there: {}", schema::names(&pattern).join(", ").to_ascii_uppercase()))),
    }
}

/// The table whose name the rest begins with, and what follows the name.
///
/// In a variable a name is in either case, with `_` for all that is no letter and no digit; the longest one that fits is
/// meant.
fn match_item<'r>(
    sources: &ParsedSources,
    array: &str,
    rest: &'r str,
) -> Result<(String, &'r str), Option<Diagnostic>> {
    let mut fitting: Vec<(&str, &'r str)> = sources
        .items(array)
        .filter_map(|item| {
            let rest = rest.strip_prefix(&as_variable(&item.name))?;
            Some((item.name.as_str(), rest.strip_prefix("__")?))
        })
        .collect();
    let shortest = fitting.iter().map(|(_, rest)| rest.len()).min();
    fitting.retain(|(_, rest)| Some(rest.len()) == shortest);
    match fitting[..] {
        [(name, rest)] => Ok((name.to_owned(), rest)),
        [(one, _), (other, _), ..] => {
            Err(Some(Diagnostic::new(format!("matches both {one:?} and {other:?}")).hint("rename one of them")))
        }
        [] if sources.is_partial => Err(None),
        [] => {
            let wanted = rest.split("__").next().unwrap_or(rest);
            let names: Vec<_> = sources.items(array).map(|item| as_variable(&item.name)).collect();
            let diagnostic = Diagnostic::new(format!("no table of [[{array}]] has the name {wanted:?}"));
            let near = nearest(wanted, names.iter().map(String::as_str))
                .map(|near| format!("{PREFIX}{}__{}__…", array.to_ascii_uppercase(), near.to_ascii_uppercase()));
            Err(Some(match near {
                Some(near) => diagnostic.suggest(Some(&near)),
                None => diagnostic.hint("the environment can change an entry of a file, but cannot add one"),
            }))
        }
    }
}

/// A name as it is written in a variable, in lower case.
fn as_variable(name: &str) -> String {
    let letter = |character: char| if character.is_ascii_alphanumeric() { character.to_ascii_lowercase() } else { '_' };
    name.chars().map(letter).collect()
}

fn entry(
    sources: &mut ParsedSources,
    key: &Row,
    path: Vec<String>,
    location: Location,
    variable: &str,
    text: &str,
) -> Option<SourceEntry> {
    if matches!(key.kind, Kind::Secret) {
        // The name of the variable goes on, never its value.
        let path = keys::CACHE_AUTH_PASSWORD_ENV.row.path_in(&path[1]);
        return Some(SourceEntry { path, value: Value { literal: Literal::Text(variable.to_owned()), location } });
    }
    match key.kind.literal(text) {
        Ok(mut literal) => {
            if let Literal::List(parts) = &mut literal {
                for part in parts {
                    part.location = location.clone();
                }
            }
            let value = Value { literal, location };
            sources.accept(key, &path, &value).then_some(SourceEntry { path, value })
        }
        Err(diagnostic) => {
            sources.mark_invalid(&path);
            sources.report(&location.origin, &location.key, diagnostic);
            None
        }
    }
}
