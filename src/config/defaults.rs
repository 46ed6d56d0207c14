//! The built-in defaults: the weakest layer.

use toml::de::DeValue;

use super::key::Row;
use super::keys::ROWS;
use super::problem::Origin;
use super::sources::{Item, SourceEntry};
use super::value::{Literal, Location, Value};

/// The defaults of every section, and of every table of an array.
pub(super) fn defaults(items: &[Item]) -> Vec<SourceEntry> {
    let mut entries = Vec::new();
    for row in ROWS {
        let Some(default) = row.default else { continue };
        match row.path.split_once("[].") {
            None => entries.push(entry(row, default, "")),
            Some((array, _)) => {
                let tables = items.iter().filter(|item| item.array == array);
                entries.extend(tables.map(|item| entry(row, default, &item.name)));
            }
        }
    }
    entries
}

/// A default, read from the TOML it is stated in, for the table of that name.
fn entry(row: &Row, default: &str, table: &str) -> SourceEntry {
    let location = Location { origin: Origin::Default, key: row.path.to_owned(), layer: 0 };
    let value = DeValue::parse(default).expect("a test parses every default");
    let literal = Literal::of_toml(value.get_ref(), &mut |_| location.clone());
    SourceEntry { path: row.path_in(table), value: Value { literal, location } }
}

#[cfg(test)]
mod tests {
    use super::super::schema::leaf;
    use super::super::sources::ParsedSources;
    use super::*;

    #[test]
    fn every_default_is_one_its_kind_admits() {
        let location = Location { origin: Origin::Default, key: String::new(), layer: 1 };
        let mut sources = ParsedSources::default();
        sources.add_item("caches", Some("a"), location.clone());
        sources.add_item("resolvers", Some("a"), location);
        for SourceEntry { path, value } in defaults(&sources.items) {
            let key = leaf(&value.location.key).unwrap();
            assert!(sources.accept(key, &path, &value), "{:?}", sources.problems);
        }
    }
}
