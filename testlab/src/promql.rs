//! What an expression speaks of. No parser, which `promtool` is: a scanner that knows names, strings and braces.

/// A metric with the labels it is chosen by.
#[derive(Debug, PartialEq)]
pub struct Selector {
    /// The metric's name.
    pub metric: String,
    /// The conditions between the braces.
    pub matchers: Vec<Matcher>,
}

/// One condition on a label.
#[derive(Debug, PartialEq)]
pub struct Matcher {
    /// The label's name.
    pub label: String,
    /// `=`, `!=`, `=~` or `!~`.
    pub operator: String,
    /// What stands between the quotes.
    pub value: String,
}

impl Matcher {
    /// Whether it takes a label of that value.
    pub fn takes(&self, value: &str) -> bool {
        match &*self.operator {
            "=" => self.value == value,
            "!=" => self.value != value,
            "=~" => takes(&self.value, value),
            "!~" => !takes(&self.value, value),
            other => panic!("no operator: {other}"),
        }
    }

    /// The values it names in full.
    pub fn literals(&self) -> impl Iterator<Item = &str> {
        literals(&self.value)
    }
}

/// Whether a pattern of alternatives takes `value`. An alternative is a word, or the beginning of one before `.+`; the rules
/// need no more, and what is more panics here.
pub fn takes(pattern: &str, value: &str) -> bool {
    pattern.split('|').any(|word| match word.strip_suffix(".+") {
        Some(start) => plain(start).len() < value.len() && value.starts_with(start),
        None => plain(word) == value,
    })
}

/// The alternatives of a pattern that are whole words.
pub fn literals(pattern: &str) -> impl Iterator<Item = &str> {
    pattern.split('|').filter(|word| !word.ends_with(".+")).map(plain)
}

fn plain(word: &str) -> &str {
    assert!(word.chars().all(|letter| letter.is_alphanumeric() || "-_".contains(letter)), "no plain word: {word}");
    word
}

/// Every metric in the expression, with its matchers.
pub fn selectors(expression: &str) -> Vec<Selector> {
    let mut found = Vec::new();
    for (name, rest) in names(expression) {
        let is_metric = ["cachewatch_", "cachewatch:", "process_"].iter().any(|start| name.starts_with(start));
        let is_metric = is_metric || name == "up";
        if is_metric {
            let braces = rest.trim_start().strip_prefix('{').map(|inside| &inside[..end(inside, '}')]);
            found.push(Selector { metric: name.to_owned(), matchers: braces.map(matchers).unwrap_or_default() });
        }
    }
    found
}

/// The labels of every `by`, `without`, `on`, `ignoring` and `group_left`.
pub fn grouped_by(expression: &str) -> Vec<String> {
    let words = ["by", "without", "on", "ignoring", "group_left", "group_right"];
    let lists = names(expression).into_iter().filter(|(name, _)| words.contains(name));
    lists
        .filter_map(|(_, rest)| rest.trim_start().strip_prefix('('))
        .flat_map(|inside| {
            inside[..end(inside, ')')].split(',').map(|label| label.trim().to_owned()).collect::<Vec<_>>()
        })
        .filter(|label| !label.is_empty())
        .collect()
}

/// Every `label_replace` that reads the label `source`: what it writes, and the pattern it does so for.
pub fn replacements(expression: &str, source: &str) -> Vec<(String, String)> {
    let strings = strings(expression);
    let quadruples = strings.windows(4).filter(|four| four[2] == source);
    quadruples.map(|four| (four[1].clone(), four[3].clone())).collect()
}

/// The labels that every `label_replace` writes.
pub fn written(expression: &str) -> Vec<String> {
    replaced(expression).into_iter().map(|[written, ..]| written).collect()
}

/// The labels that every `label_replace` reads.
pub fn read(expression: &str) -> Vec<String> {
    replaced(expression).into_iter().map(|[_, _, read, _]| read).collect()
}

/// The four strings of every `label_replace`. What stands in it may have strings of its own, which come before them.
fn replaced(expression: &str) -> Vec<[String; 4]> {
    let many = names(expression).into_iter().filter(|(name, _)| *name == "label_replace").count();
    let strings = strings(&stripped(expression));
    assert_eq!(strings.len(), 4 * many, "strings outside of braces and of label_replace in {expression}");
    strings.chunks_exact(4).map(|four| [0, 1, 2, 3].map(|at| four[at].clone())).collect()
}

/// The expression without the braces of its selectors and what they hold.
fn stripped(expression: &str) -> String {
    let mut left = String::new();
    let mut rest = expression;
    while let Some(at) = outside(rest, '{') {
        left.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        rest = &rest[end(rest, '}') + 1..];
    }
    left + rest
}

/// The labels that a template speaks of.
pub fn templated(text: &str) -> Vec<String> {
    text.split("$labels.")
        .skip(1)
        .map(|rest| words(rest).next().expect("a template names a label").to_owned())
        .collect()
}

/// The words of a text, in the letters of names.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !(letter.is_alphanumeric() || letter == '_')).filter(|word| !word.is_empty())
}

/// Every name outside of strings, with what follows it.
fn names(expression: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            let inside = &rest[1..];
            rest = &inside[end(inside, '"') + 1..];
        } else if first.is_alphanumeric() || first == '_' {
            let long = rest.find(|letter: char| !(letter.is_alphanumeric() || "_:".contains(letter)));
            let (name, after) = rest.split_at(long.unwrap_or(rest.len()));
            found.push((name, after));
            rest = after;
        } else {
            rest = &rest[first.len_utf8()..];
        }
    }
    found
}

/// Every string, without its quotes.
fn strings(expression: &str) -> Vec<String> {
    expression.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

fn matchers(inside: &str) -> Vec<Matcher> {
    let parts: Vec<_> = inside.split('"').collect();
    let pairs = parts.chunks(2).filter(|pair| pair.len() == 2);
    pairs
        .map(|pair| {
            let condition = pair[0].trim_start_matches([',', ' ', '\n']);
            let at = condition.find(['=', '!']).expect("a matcher has an operator");
            let (label, operator) = condition.split_at(at);
            Matcher { label: label.trim().into(), operator: operator.trim().into(), value: pair[1].into() }
        })
        .collect()
}

/// Where the first `mark` outside of strings stands; the quote that ends a string counts as outside of it.
fn end(text: &str, mark: char) -> usize {
    outside(text, mark).unwrap_or_else(|| panic!("no {mark} in {text}"))
}

fn outside(text: &str, mark: char) -> Option<usize> {
    let mut in_string = false;
    for (at, letter) in text.char_indices() {
        if letter == mark && !in_string {
            return Some(at);
        }
        if letter == '"' {
            in_string = !in_string;
        }
    }
    None
}

#[test]
fn an_expression_is_taken_apart() {
    let expression = r#"
        max by (job, cache) (cachewatch_x_bucket{le="0.1", finding!~"a-.+|b}"}) > 0.5
        unless on () label_replace(cachewatch:y:z, "stage", "tls", "finding", "tls-.+|up") offset 1h"#;
    let matcher = |label: &str, operator: &str, value: &str| Matcher {
        label: label.into(),
        operator: operator.into(),
        value: value.into(),
    };
    let matchers = vec![matcher("le", "=", "0.1"), matcher("finding", "!~", "a-.+|b}")];
    let x = Selector { metric: "cachewatch_x_bucket".into(), matchers };
    assert_eq!(selectors(expression), [x, Selector { metric: "cachewatch:y:z".into(), matchers: Vec::new() }]);
    assert_eq!(grouped_by(expression), ["job", "cache"]);
    assert_eq!(replacements(expression, "finding"), [("tls".to_owned(), "tls-.+|up".to_owned())]);
    assert_eq!((written(expression), read(expression)), (vec!["stage".to_owned()], vec!["finding".to_owned()]));
    assert_eq!(templated("{{ $labels.cache }}: {{ $labels.le }}"), ["cache", "le"]);
    assert!(takes("a-.+|b", "a-1") && takes("a-.+|b", "b") && !takes("a-.+|b", "a-") && !takes("a-.+|b", "bc"));
    assert!(!matcher("finding", "!=", "a").takes("a") && matcher("finding", "!~", "a|b").takes("c"));
}
