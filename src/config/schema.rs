//! The tree that the keys make: which names may stand where.

use super::key::Row;
use super::keys::ROWS;

/// The array of tables that declares caches.
pub(super) const CACHES: &str = "caches";
/// The array of tables that declares resolvers.
pub(super) const RESOLVERS: &str = "resolvers";

/// What stands at a path.
#[derive(Debug, Clone, Copy)]
pub(super) enum SchemaNode {
    /// A value.
    Leaf(&'static Row),
    /// A table.
    Section,
    /// An array of tables.
    Items,
}

/// What stands under a name in the table of that pattern, if anything does.
pub(super) fn child(table: &str, name: &str) -> Option<SchemaNode> {
    // A quoted name may hold what means a path here, and is none.
    if name.is_empty() || name.contains(['.', '[', ']']) { None } else { node(&join(table, name)) }
}

/// What stands at the path of that pattern, if anything does.
pub(super) fn node(pattern: &str) -> Option<SchemaNode> {
    ROWS.iter().find_map(|key| {
        let rest = key.path.strip_prefix(pattern)?;
        match rest {
            "" => Some(SchemaNode::Leaf(key)),
            _ if rest.starts_with("[].") => Some(SchemaNode::Items),
            _ if rest.starts_with('.') => Some(SchemaNode::Section),
            _ => None,
        }
    })
}

/// The key at a pattern, where a value and not a table stands there.
pub(super) fn leaf(pattern: &str) -> Option<&'static Row> {
    match node(pattern) {
        Some(SchemaNode::Leaf(key)) => Some(key),
        _ => None,
    }
}

/// The names that may stand in the table of that pattern; the empty pattern is the whole document.
pub(super) fn names(pattern: &str) -> Vec<&'static str> {
    let mut names: Vec<&str> = Vec::new();
    for key in ROWS {
        let rest = if pattern.is_empty() {
            Some(key.path)
        } else {
            key.path.strip_prefix(pattern).and_then(|rest| rest.strip_prefix('.'))
        };
        let name = rest.and_then(|rest| rest.split(['.', '[']).next());
        names.extend(name.filter(|name| !names.contains(name)));
    }
    names
}

/// The path of a name within a table.
pub(super) fn join(table: &str, name: &str) -> String {
    if table.is_empty() { name.to_owned() } else { format!("{table}.{name}") }
}

/// How a table is opened: `[probe]`, `[[caches]]`, `[caches.auth]`.
pub(super) fn header(pattern: &str) -> String {
    match pattern.strip_suffix("[]") {
        Some(array) => format!("[[{array}]]"),
        None => format!("[{}]", section(pattern)),
    }
}

/// A table's path as it is written between brackets.
pub(super) fn section(pattern: &str) -> String {
    pattern.replace("[]", "")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::kind::Kind;
    use super::*;

    /// The example with its commented-out configuration switched on.
    fn whole_example() -> String {
        let switch_on = |line: &'static str| match line.strip_prefix('#') {
            Some(inner) if !inner.is_empty() && !inner.starts_with(' ') => inner,
            _ => line,
        };
        crate::config::example().lines().map(switch_on).collect::<Vec<_>>().join("\n")
    }

    /// Every value of a document under its path in the schema.
    fn flatten(pattern: &str, value: &toml::Value, into: &mut BTreeMap<String, Vec<toml::Value>>) {
        match value {
            toml::Value::Table(table) => {
                for (name, value) in table {
                    flatten(&join(pattern, name), value, into);
                }
            }
            toml::Value::Array(items) if matches!(node(pattern), Some(SchemaNode::Items)) => {
                for item in items {
                    flatten(&format!("{pattern}[]"), item, into);
                }
            }
            value => into.entry(pattern.to_owned()).or_default().push(value.clone()),
        }
    }

    fn parse(text: &str) -> toml::Value {
        toml::Value::Table(text.parse().unwrap())
    }

    #[test]
    fn the_example_shows_every_key_and_its_default() {
        let mut shown = BTreeMap::new();
        flatten("", &parse(&whole_example()), &mut shown);
        let known: BTreeSet<_> =
            ROWS.iter().filter(|key| !matches!(key.kind, Kind::Secret)).map(|key| key.path.to_owned()).collect();
        assert_eq!(shown.keys().cloned().collect::<BTreeSet<_>>(), known);

        for key in ROWS {
            let Some(default) = key.default else { continue };
            let default = parse(&format!("value = {default}"))["value"].clone();
            // Where a key is shown twice, the second shows another value than the default.
            assert_eq!(shown[key.path][0], default, "{}", key.path);
        }
    }

    #[test]
    fn the_example_as_it_stands_sets_every_key_of_every_section_and_no_cache() {
        let mut shown = BTreeMap::new();
        flatten("", &parse(crate::config::example()), &mut shown);
        let sections: BTreeSet<_> =
            ROWS.iter().map(|key| key.path.to_owned()).filter(|path| !path.contains("[]")).collect();
        assert_eq!(shown.into_keys().collect::<BTreeSet<_>>(), sections);
    }

    #[test]
    fn a_path_is_a_value_a_table_or_an_array_of_tables() {
        assert!(matches!(node("probe.interval"), Some(SchemaNode::Leaf(_))));
        assert!(matches!(node("probe"), Some(SchemaNode::Section)));
        assert!(matches!(node("caches"), Some(SchemaNode::Items)));
        assert!(matches!(node("caches[].auth"), Some(SchemaNode::Section)));
        assert!(node("pro").is_none() && node("caches[].auth.user").is_none());
        assert!(child("", "probe").is_some() && child("probe", "interval").is_some());
        for odd in ["", "probe.interval", "caches[]", "caches[].auth", "caches["] {
            assert!(child("", odd).is_none(), "{odd}");
        }
        assert_eq!(names(""), ["server", "probe", "journal", "log", "thresholds", "resolvers", "caches"]);
        assert_eq!(names("caches[].tls"), ["enabled", "ca_file", "server_name"]);
    }
}
