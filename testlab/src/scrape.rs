//! What `/metrics` says, as samples that can be asked for by name and labels.

use std::collections::BTreeMap;

/// One series and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The metric's name, with `_bucket` and the like where it is a part of a histogram.
    pub name: String,
    /// Name and value of each label.
    pub labels: BTreeMap<String, String>,
    /// The sample's value.
    pub value: f64,
}

/// A whole scrape.
#[derive(Debug, Clone, PartialEq)]
pub struct Scrape(pub Vec<Sample>);

impl Scrape {
    /// Reads the Prometheus text format 0.0.4.
    ///
    /// # Panics
    ///
    /// On a line that is not a comment and not a sample: a daemon that writes one is broken.
    #[track_caller]
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(lines.map(|line| sample(line).unwrap_or_else(|| panic!("not a sample: {line}"))).collect())
    }

    /// Every sample of this name that has these labels, whatever others it has.
    pub fn all(&self, name: &str, labels: &[(&str, &str)]) -> Vec<&Sample> {
        let fits = |sample: &&Sample| {
            let has = |(label, value): &(&str, &str)| sample.labels.get(*label).is_some_and(|found| found == value);
            sample.name == name && labels.iter().all(has)
        };
        self.0.iter().filter(fits).collect()
    }

    /// The value of the one sample that fits; `None` if there is none.
    ///
    /// # Panics
    ///
    /// If several fit, because then the test says too little.
    #[track_caller]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        match self.all(name, labels)[..] {
            [] => None,
            [sample] => Some(sample.value),
            ref several => panic!("{name} {labels:?} fits several: {several:#?}"),
        }
    }
}

fn sample(line: &str) -> Option<Sample> {
    let name_end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(name_end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, after) = rest.trim_start_matches(',').split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.insert(label.to_owned(), value);
            rest = after;
        }
        rest = &rest[1..];
    }
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// A label value up to its closing quote, and what follows the quote.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                escaped => escaped,
            }),
            plain => value.push(plain),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_found_by_name_and_labels() {
        let scrape = Scrape::parse(
            "# HELP up Whether.\n# TYPE up gauge\nup{cache=\"a\",note=\"x \\\"y\\\", {z}\\n\"} 1\nup{cache=\"b\"} 0\n\
             bare 1.5e3\nbuckets_bucket{le=\"+Inf\"} +Inf\n",
        );
        assert_eq!(scrape.value("up", &[("cache", "b")]), Some(0.0));
        assert_eq!(scrape.value("up", &[("cache", "c")]), None);
        assert_eq!(scrape.value("bare", &[]), Some(1500.0));
        assert_eq!(scrape.value("buckets_bucket", &[("le", "+Inf")]), Some(f64::INFINITY));
        assert_eq!(scrape.all("up", &[])[0].labels["note"], "x \"y\", {z}\n");
    }
}
