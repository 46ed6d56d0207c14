//! The built-in defaults: the weakest layer.

use super::problem::Origin;
use super::schema::{self, Key};
use super::sources::{Entry, Item};
use super::value::{Literal, Location, Value};

/// The defaults of every section, and of every table of an array.
pub(super) fn defaults(items: &[Item]) -> Vec<Entry> {
    let mut entries = Vec::new();
    for key in schema::KEYS {
        let Some(default) = key.default else { continue };
        match key.path.split_once("[].") {
            None => entries.push(default_entry(key, default, key.path.split('.').map(str::to_owned).collect())),
            Some((array, rest)) => {
                for item in items.iter().filter(|item| item.array == array) {
                    let head = [array.to_owned(), item.name.clone()].into_iter();
                    let path = head.chain(rest.split('.').map(str::to_owned)).collect();
                    entries.push(default_entry(key, default, path));
                }
            }
        }
    }
    entries
}

fn default_entry(key: &Key, default: &str, path: Vec<String>) -> Entry {
    let location = Location { origin: Origin::Default, key: key.path.to_owned(), layer: 0 };
    let literal = default_literal(default, &location);
    Entry { path, value: Value { literal, location } }
}

/// A default, read from the TOML it is stated in.
fn default_literal(default: &str, location: &Location) -> Literal {
    let value = toml::de::DeValue::parse(default).expect("a test parses every default");
    Literal::of_toml(value.get_ref(), &mut |_| location.clone())
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
        for Entry { path, value } in defaults(&sources.items) {
            let key = leaf(&value.location.key).unwrap();
            assert!(sources.accept(key, &path, &value), "{:?}", sources.problems);
        }
    }
}
