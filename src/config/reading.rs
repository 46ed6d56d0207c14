//! What the sources said, gathered before anything is merged: values, arrays of tables by name, problems.

use std::collections::HashSet;

use super::kind::{Literal, Located, Site};
use super::problem::{Complaint, Origin, Problem};
use super::schema::{self, Key, Node};

/// Everything the sources said.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// What is wrong so far.
    pub(super) problems: Vec<Problem>,
    /// The values that passed, one layer per source, the weakest first. A value that did not pass is in no layer.
    pub(super) layers: Vec<Vec<Entry>>,
    /// The tables of the arrays, in the order of declaration.
    pub(super) items: Vec<Item>,
    /// Whether some source could not be read, so that nothing may be concluded from what is missing.
    pub(super) is_partial: bool,
    /// The paths of values that did not pass, so that no second problem is made of their absence.
    spoiled: HashSet<Vec<String>>,
}

/// One value and where it goes.
#[derive(Debug)]
pub(super) struct Entry {
    /// The path in the merged tree, where the tables of an array go by their name.
    pub(super) path: Vec<String>,
    /// The value and where it stood.
    pub(super) value: Located,
}

/// One table of an array.
#[derive(Debug)]
pub(super) struct Item {
    /// Which array: `caches`, `resolvers`.
    pub(super) array: String,
    /// Its name; for one without a usable name, something that is no name.
    pub(super) name: String,
    /// Where the table stands.
    pub(super) site: Site,
}

impl Reading {
    /// The tables of one array, in the order of declaration.
    pub(super) fn items(&self, array: &str) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(move |item| item.array == array)
    }

    pub(super) fn complain(&mut self, origin: &Origin, key: &str, complaint: Complaint) {
        self.problems.push(Problem::at(origin, key, complaint));
    }

    /// Marks a value as given and not usable.
    pub(super) fn spoil(&mut self, path: &[String]) {
        self.spoiled.insert(path.to_vec());
    }

    /// Whether a value was given there and did not pass.
    pub(super) fn is_spoiled(&self, path: &[&str]) -> bool {
        self.spoiled.contains(&path.iter().map(|&part| part.to_owned()).collect::<Vec<_>>())
    }

    /// Takes a table of an array in, and says by which name its values go.
    pub(super) fn add_item(&mut self, array: &str, name: Option<&str>, site: Site) -> String {
        // No name has a `?`, so a table that cannot go by its own name meets no other.
        let anonymous = format!("?{}", self.items.len());
        let first =
            name.and_then(|name| self.items(array).find(|item| item.name == name)).map(|item| item.site.clone());
        if let (Some(name), Some(first)) = (name, &first) {
            let complaint = Complaint::new(format!("{name:?} is already the name of {}", place(first)));
            let key = schema::join(&site.key, "name");
            self.complain(&site.origin, &key, complaint.hint("every name stands for one thing: rename one"));
        }
        let name = name.filter(|_| first.is_none()).map_or(anonymous, str::to_owned);
        self.items.push(Item { array: array.to_owned(), name: name.clone(), site });
        name
    }

    /// Takes what an option of the command line says, as a layer of its own: the strongest so far.
    pub(super) fn say(&mut self, option: &'static str, path: &[&str], text: &str) {
        let path: Vec<_> = path.iter().map(|part| (*part).to_owned()).collect();
        let site = Site { origin: Origin::Option(option), key: path.join("."), layer: self.layers.len() + 1 };
        let value = Located { literal: Literal::Text(text.to_owned()), site };
        if leaf(&path.join(".")).is_some_and(|key| self.accept(key, &path, &value)) {
            self.layers.push(vec![Entry { path, value }]);
        }
    }

    /// Checks a value, and its parts; says whether it may go into a layer.
    pub(super) fn accept(&mut self, key: &Key, path: &[String], value: &Located) -> bool {
        let mut complaints: Vec<(&Site, Complaint)> = Vec::new();
        let is_text = matches!(value.literal, Literal::Text(_));
        if key.is_near_a_secret() && !is_text {
            // A password of digits, without quotes, would otherwise be repeated as a number.
            complaints.push((&value.site, Complaint::new("the value (hidden) is not a string")));
        } else if let Err(complaint) = key.kind.check(&value.literal) {
            complaints.push((&value.site, complaint));
        } else if let (Some(kind), Literal::List(parts)) = (key.kind.part(), &value.literal) {
            complaints.extend(
                parts
                    .iter()
                    .filter_map(|part| kind.check(&part.literal).err().map(|complaint| (&part.site, complaint))),
            );
        }
        let is_good = complaints.is_empty();
        for (site, complaint) in complaints {
            self.complain(&site.origin, &site.key, complaint);
        }
        if !is_good {
            self.spoil(path);
        }
        is_good
    }
}

/// Where a table stands, in words.
fn place(site: &Site) -> String {
    format!("{} in {}", site.key, site.origin)
}

/// The built-in defaults, as the weakest layer: of every section, and of every table of an array.
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
    let site = Site { origin: Origin::Default, key: key.path.to_owned(), layer: 0 };
    let literal = default_literal(default, &site);
    Entry { path, value: Located { literal, site } }
}

/// A default, read from the TOML it is stated in.
fn default_literal(default: &str, site: &Site) -> Literal {
    let value = toml::de::DeValue::parse(default).expect("a test parses every default");
    super::strict::literal(value.get_ref(), &mut |_| site.clone())
}

/// The key at a pattern, where a value and not a table stands there.
pub(super) fn leaf(pattern: &str) -> Option<&'static Key> {
    match schema::node(pattern) {
        Some(Node::Leaf(key)) => Some(key),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_one_its_kind_admits() {
        let site = Site { origin: Origin::Default, key: String::new(), layer: 1 };
        let mut reading = Reading::default();
        reading.add_item("caches", Some("a"), site.clone());
        reading.add_item("resolvers", Some("a"), site);
        for Entry { path, value } in defaults(&reading.items) {
            let key = leaf(&value.site.key).unwrap();
            assert!(reading.accept(key, &path, &value), "{:?}", reading.problems);
        }
    }
}
