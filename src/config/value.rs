//! A value as it was written, and where it stood.

use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::parse;
use super::problem::Origin;

/// A value as it was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Text(String),
    Integer(i64),
    Number(f64),
    Flag(bool),
    List(Vec<Value>),
    /// What no key here takes: how it was written, and what it is.
    Other(String, &'static str),
}

impl Literal {
    /// A value of TOML; `location` tells the place of a part of a list from its position.
    pub(super) fn of_toml(value: &DeValue<'_>, location: &mut dyn FnMut((usize, Range<usize>)) -> Location) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text.to_string()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Self::Integer(number),
                Err(_) => Self::Other(number.to_string(), "too large"),
            },
            DeValue::Float(number) => match number.as_str().parse() {
                Ok(number) => Self::Number(number),
                Err(_) => Self::Other(number.to_string(), "too large"),
            },
            DeValue::Boolean(flag) => Self::Flag(*flag),
            DeValue::Datetime(time) => Self::Other(time.to_string(), "a time"),
            DeValue::Array(parts) => {
                let part = |(index, part): (usize, &Spanned<DeValue<'_>>)| Value {
                    literal: match part.get_ref() {
                        DeValue::Array(_) => Self::Other("the value".to_owned(), "a list"),
                        flat => Self::of_toml(flat, &mut |_| unreachable!("only a list has parts")),
                    },
                    location: location((index, part.span())),
                };
                Self::List(parts.iter().enumerate().map(part).collect())
            }
            DeValue::Table(_) => Self::Other("the value".to_owned(), "a table"),
        }
    }

    pub(super) fn noun(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Number(_) => "a number",
            Self::Flag(_) => "a boolean",
            Self::List(_) => "a list",
            Self::Other(_, noun) => noun,
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(&parse::quoted(text)),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Number(number) => write!(f, "{number:?}"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::List(_) => f.write_str("the value"),
            Self::Other(text, _) => f.write_str(text),
        }
    }
}

/// A value and where it stood.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Value {
    pub(super) literal: Literal,
    pub(super) location: Location,
}

impl Value {
    /// A value whose place its owner will fill in.
    pub(super) fn nowhere(literal: Literal) -> Self {
        Self { literal, location: Location { origin: Origin::Default, key: String::new(), layer: 0 } }
    }

    /// The text, where it is one.
    pub(super) fn text(&self) -> Option<&str> {
        if let Literal::Text(text) = &self.literal { Some(text) } else { None }
    }

    /// The parts of a list, each with its own place.
    pub(super) fn parts(&self) -> &[Self] {
        if let Literal::List(parts) = &self.literal { parts } else { &[] }
    }

    /// The value as a message about what it means shows it.
    pub(super) fn shown(&self) -> String {
        match &self.literal {
            Literal::Number(number) => number.to_string(),
            Literal::List(_) => "the list".to_owned(),
            literal => literal.to_string(),
        }
    }
}

/// Where a value stood.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Location {
    /// The file and line, or the variable.
    pub(super) origin: Origin,
    /// The full path of its key, as a problem shows it.
    pub(super) key: String,
    /// Which layer said it; 0 is the built-in defaults, later ones win.
    pub(super) layer: usize,
}

impl Location {
    /// Whether an operator gave the value.
    pub(super) fn is_explicit(&self) -> bool {
        self.layer > 0
    }
}
