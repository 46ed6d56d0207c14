//! What a key's value must be, and the strict reading of one: nothing is coerced.

use std::fmt;
use std::time::Duration;

use super::nearest::nearest;
use super::problem::{Complaint, Origin};
use super::value;

/// What a key's value must be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// `true` or `false`.
    Flag,
    /// A whole number of something.
    Integer {
        min: i64,
        max: i64,
        /// "a port", for the message.
        noun: &'static str,
    },
    /// A number within bounds, both included.
    Number { min: f64, max: f64 },
    /// A duration within bounds, both included.
    Duration { min: Duration, max: Duration },
    /// A number of bytes, at least so many.
    Size { min: u64 },
    /// One of a few words; the contract knows more than this version does.
    Word { known: &'static [&'static str], later: &'static [&'static str] },
    /// A text that its parser accepts.
    Text(Check),
    /// A text that its parser accepts, or an empty one, which stands for "not set".
    OptionalText(Check),
    /// A list of texts that the parser accepts.
    List(Check),
    /// A secret: refused in a file, taken by the name of its variable from the environment.
    Secret,
}

/// A parser of which only the verdict is wanted.
type Check = fn(&str) -> Result<(), Complaint>;

impl Kind {
    /// Whether the value is one this kind admits.
    pub(super) fn check(self, literal: &Literal) -> Result<(), Complaint> {
        match (self, literal) {
            (Self::Integer { min, max, noun }, Literal::Integer(number)) => {
                if (min..=max).contains(number) {
                    return Ok(());
                }
                let range = if max == i64::MAX { format!("{min} or more") } else { format!("{min} to {max}") };
                Err(Complaint::new(format!("{number} is not {noun} ({range})")))
            }
            (Self::Number { min, max }, Literal::Number(number)) => {
                if (min..=max).contains(number) {
                    return Ok(());
                }
                Err(Complaint::new(format!("{number} is not between {min} and {max}")))
            }
            #[expect(clippy::cast_precision_loss, reason = "the bounds of every number here are far below 2^52")]
            (Self::Number { .. }, Literal::Integer(number)) => self.check(&Literal::Number(*number as f64)),
            (Self::Duration { min, max }, Literal::Text(text)) => {
                let duration = value::duration(text)?;
                let (bound, word) = match duration {
                    _ if duration < min => (min, "short"),
                    _ if duration > max => (max, "long"),
                    _ => return Ok(()),
                };
                let bound = value::duration_text(bound);
                Err(Complaint::new(format!(
                    "{} is {word}er than {bound}, the {word}est allowed here",
                    value::quoted(text)
                )))
            }
            (Self::Size { min }, Literal::Text(text)) => {
                if value::size(text)? >= min {
                    return Ok(());
                }
                let min = value::size_text(min);
                Err(Complaint::new(format!("{} is less than {min}, the least allowed here", value::quoted(text))))
            }
            (Self::Word { known, later }, Literal::Text(text)) => {
                if known.contains(&text.as_str()) {
                    return Ok(());
                }
                let shown = value::quoted(text);
                let words = known.join(", ");
                if later.contains(&text.as_str()) {
                    return Err(Complaint::new(format!("{shown} is not available in this version"))
                        .hint(format!("use {words}")));
                }
                let complaint = Complaint::new(format!("{shown} is not one of {words}"));
                Err(complaint.suggest(nearest(text, known.iter().copied())))
            }
            (Self::OptionalText(_), Literal::Text(text)) if text.is_empty() => Ok(()),
            (Self::Text(check) | Self::OptionalText(check), Literal::Text(text)) => check(text),
            // The parts of a list are checked one by one, each at its own line.
            (Self::Flag, Literal::Flag(_)) | (Self::List(_), Literal::List(_)) => Ok(()),
            (Self::Secret, _) => Err(secret()),
            (_, _) => Err(self.mismatch(literal)),
        }
    }

    /// The kind of one part of a list.
    pub(super) fn part(self) -> Option<Self> {
        match self {
            Self::List(check) => Some(Self::Text(check)),
            _ => None,
        }
    }

    /// Reads a text that has no syntax of its own, from the environment. Lists are separated by commas.
    pub(super) fn read(self, text: &str) -> Result<Literal, Complaint> {
        match self {
            Self::Flag => value::number(text, "true or false").map(Literal::Flag),
            Self::Integer { .. } => value::number(text, "an integer").map(Literal::Integer),
            Self::Number { .. } => value::number(text, "a number").map(Literal::Number),
            Self::List(_) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                Ok(Literal::List(parts.map(|part| Literal::Text(part.to_owned())).map(Located::nowhere).collect()))
            }
            Self::Duration { .. }
            | Self::Size { .. }
            | Self::Word { .. }
            | Self::Text(_)
            | Self::OptionalText(_)
            | Self::Secret => Ok(Literal::Text(text.to_owned())),
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Flag => "true or false",
            Self::Integer { .. } => "an integer",
            Self::Number { .. } => "a number",
            Self::Duration { .. } => "a duration",
            Self::Size { .. } => "a size",
            Self::Word { .. } | Self::Text(_) | Self::OptionalText(_) | Self::Secret => "a string",
            Self::List(_) => "a list of strings",
        }
    }

    /// The value is of another type; what it would be in the right one is suggested where that is plain.
    fn mismatch(self, literal: &Literal) -> Complaint {
        let complaint = Complaint::new(format!("{literal} is {}, not {}", literal.noun(), self.noun()));
        match (self, literal) {
            (Self::Duration { .. }, Literal::Integer(number)) if *number > 0 => {
                complaint.hint(format!("write \"{number}s\""))
            }
            (Self::Size { .. }, Literal::Integer(number)) if *number > 0 => {
                complaint.hint(format!("write \"{number}MiB\""))
            }
            (Self::List(_), Literal::Text(text)) => complaint.hint(format!("write [{}]", value::quoted(text))),
            (Self::Flag | Self::Integer { .. } | Self::Number { .. }, Literal::Text(text)) => match self.read(text) {
                Ok(meant) => complaint.hint(format!("write {meant} without quotes")),
                Err(_) => complaint,
            },
            _ => complaint,
        }
    }
}

/// A secret stands in a file.
pub(super) fn secret() -> Complaint {
    Complaint::new("a secret may not stand in a configuration file")
        .hint("put it in a file named by caches.auth.password_file, or in a variable named by caches.auth.password_env")
}

/// A value as it was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Text(String),
    Integer(i64),
    Number(f64),
    Flag(bool),
    List(Vec<Located>),
    /// What no key here takes: how it was written, and what it is.
    Other(String, &'static str),
}

impl Literal {
    fn noun(&self) -> &'static str {
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
            Self::Text(text) => f.write_str(&value::quoted(text)),
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
pub(super) struct Located {
    pub(super) literal: Literal,
    pub(super) site: Site,
}

impl Located {
    /// A value whose place its owner will fill in.
    fn nowhere(literal: Literal) -> Self {
        Self { literal, site: Site { origin: Origin::Default, key: String::new(), layer: 0 } }
    }
}

/// Where a value stood.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Site {
    /// The file and line, or the variable.
    pub(super) origin: Origin,
    /// The full path of its key, as a problem shows it.
    pub(super) key: String,
    /// Which layer said it; 0 is the built-in defaults, later ones win.
    pub(super) layer: usize,
}

impl Site {
    /// Whether an operator gave the value.
    pub(super) fn is_explicit(&self) -> bool {
        self.layer > 0
    }
}
