//! What a key's value must be, and as what it is read. The reading is strict: nothing is coerced.

use std::convert::Infallible;
use std::time::Duration;

use super::nearest::nearest;
use super::parse;
use super::problem::Diagnostic;
use super::value::{Literal, Value};

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
    /// One of the words of a closed enum; the contract knows more than this version does.
    Word { known: fn() -> Vec<&'static str>, later: &'static [&'static str] },
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
type Check = fn(&str) -> Result<(), Diagnostic>;

impl Kind {
    /// Whether the value is one this kind admits.
    pub(super) fn check(self, literal: &Literal) -> Result<(), Diagnostic> {
        match (self, literal) {
            (Self::Integer { min, max, noun }, Literal::Integer(number)) => {
                if (min..=max).contains(number) {
                    return Ok(());
                }
                let range = if max == i64::MAX { format!("{min} or more") } else { format!("{min} to {max}") };
                Err(Diagnostic::new(format!("{number} is not {noun} ({range})")))
            }
            (Self::Number { min, max }, Literal::Number(number)) => {
                if (min..=max).contains(number) {
                    return Ok(());
                }
                Err(Diagnostic::new(format!("{number} is not between {min} and {max}")))
            }
            #[expect(clippy::cast_precision_loss, reason = "the bounds of every number here are far below 2^52")]
            (Self::Number { .. }, Literal::Integer(number)) => self.check(&Literal::Number(*number as f64)),
            (Self::Duration { min, max }, Literal::Text(text)) => {
                let duration = parse::duration(text)?;
                let (bound, word) = match duration {
                    _ if duration < min => (min, "short"),
                    _ if duration > max => (max, "long"),
                    _ => return Ok(()),
                };
                let bound = parse::duration_text(bound);
                Err(Diagnostic::new(format!(
                    "{} is {word}er than {bound}, the {word}est allowed here",
                    parse::quoted(text)
                )))
            }
            (Self::Size { min }, Literal::Text(text)) => {
                if parse::size(text)? >= min {
                    return Ok(());
                }
                let min = parse::size_text(min);
                Err(Diagnostic::new(format!("{} is less than {min}, the least allowed here", parse::quoted(text))))
            }
            (Self::Word { known, later }, Literal::Text(text)) => {
                let known = known();
                if known.contains(&text.as_str()) {
                    return Ok(());
                }
                let shown = parse::quoted(text);
                let words = known.join(", ");
                if later.contains(&text.as_str()) {
                    return Err(Diagnostic::new(format!("{shown} is not available in this version"))
                        .hint(format!("use {words}")));
                }
                let diagnostic = Diagnostic::new(format!("{shown} is not one of {words}"));
                Err(diagnostic.suggest(nearest(text, known)))
            }
            (Self::OptionalText(_), Literal::Text(text)) if text.is_empty() => Ok(()),
            (Self::Text(check) | Self::OptionalText(check), Literal::Text(text)) => check(text),
            // The parts of a list are checked one by one, each at its own line.
            (Self::Flag, Literal::Flag(_)) | (Self::List(_), Literal::List(_)) => Ok(()),
            (Self::Secret, _) => Err(secret_in_a_file()),
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
    pub(super) fn literal(self, text: &str) -> Result<Literal, Diagnostic> {
        match self {
            Self::Flag => parse::number(text, "true or false").map(Literal::Flag),
            Self::Integer { .. } => parse::number(text, "an integer").map(Literal::Integer),
            Self::Number { .. } => parse::number(text, "a number").map(Literal::Number),
            Self::List(_) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                Ok(Literal::List(parts.map(|part| Literal::Text(part.to_owned())).map(Value::nowhere).collect()))
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
    fn mismatch(self, literal: &Literal) -> Diagnostic {
        let diagnostic = Diagnostic::new(format!("{literal} is {}, not {}", literal.noun(), self.noun()));
        match (self, literal) {
            (Self::Duration { .. }, Literal::Integer(number)) if *number > 0 => {
                diagnostic.hint(format!("write \"{number}s\""))
            }
            (Self::Size { .. }, Literal::Integer(number)) if *number > 0 => {
                diagnostic.hint(format!("write \"{number}MiB\""))
            }
            (Self::List(_), Literal::Text(text)) => diagnostic.hint(format!("write [{}]", parse::quoted(text))),
            (Self::Flag | Self::Integer { .. } | Self::Number { .. }, Literal::Text(text)) => {
                match self.literal(text) {
                    Ok(meant) => diagnostic.hint(format!("write {meant} without quotes")),
                    Err(_) => diagnostic,
                }
            }
            _ => diagnostic,
        }
    }
}

/// A secret stands in a file.
pub(super) fn secret_in_a_file() -> Diagnostic {
    Diagnostic::new("a secret must not be in a configuration file").hint(
        "put it in a file and set caches.auth.password_file, or in an environment variable and set \
               caches.auth.password_env",
    )
}

/// What a key's value must be, and as what it is read.
#[derive(Debug)]
pub(super) struct Type<T> {
    pub(super) kind: Kind,
    /// Takes the value out; `None` where the kind does not admit it.
    pub(super) read: fn(&Value) -> Option<T>,
}

pub(super) const fn flag() -> Type<bool> {
    Type {
        kind: Kind::Flag,
        read: |value| match value.literal {
            Literal::Flag(flag) => Some(flag),
            _ => None,
        },
    }
}

pub(super) const fn integer<T: TryFrom<i64>>(min: i64, max: i64, noun: &'static str) -> Type<T> {
    Type {
        kind: Kind::Integer { min, max, noun },
        read: |value| match value.literal {
            Literal::Integer(number) => T::try_from(number).ok(),
            _ => None,
        },
    }
}

pub(super) const fn number(min: f64, max: f64) -> Type<f64> {
    Type {
        kind: Kind::Number { min, max },
        #[expect(clippy::cast_precision_loss, reason = "the bounds of every number here are far below 2^52")]
        read: |value| match value.literal {
            Literal::Number(number) => Some(number),
            Literal::Integer(number) => Some(number as f64),
            _ => None,
        },
    }
}

pub(super) const fn duration(min: Duration, max: Duration) -> Type<Duration> {
    Type { kind: Kind::Duration { min, max }, read: |value| parse::duration(value.text()?).ok() }
}

pub(super) const fn size(min: u64) -> Type<u64> {
    Type { kind: Kind::Size { min }, read: |value| parse::size(value.text()?).ok() }
}

pub(super) const fn secret() -> Type<Infallible> {
    Type { kind: Kind::Secret, read: |_| None }
}

/// A text that a parser reads. The types of text are macros: a constant cannot put a function together from another.
macro_rules! text {
    ($parser:path) => {
        Type { kind: Kind::Text(|text| $parser(text).map(drop)), read: |value| $parser(value.text()?).ok() }
    };
}

/// A text that a parser reads, or an empty one, which is none.
macro_rules! optional_text {
    ($parser:path) => {
        Type {
            kind: Kind::OptionalText(|text| $parser(text).map(drop)),
            read: |value| match value.text()? {
                "" => Some(None),
                text => $parser(text).ok().map(Some),
            },
        }
    };
}

/// A list of texts that a parser reads.
macro_rules! list {
    ($parser:path) => {
        Type {
            kind: Kind::List(|text| $parser(text).map(drop)),
            read: |value| value.parts().iter().map(|part| $parser(part.text()?).ok()).collect(),
        }
    };
}

/// A word of a closed enum. `later` are words that the contract has, and this version does not.
macro_rules! word {
    ($vocabulary:ty) => {
        word!($vocabulary, later: [])
    };
    ($vocabulary:ty, later: $later:expr) => {
        Type {
            kind: Kind::Word {
                known: || <$vocabulary>::ALL.iter().map(|word| word.as_str()).collect(),
                later: &$later,
            },
            read: |value| <$vocabulary>::parse(value.text()?),
        }
    };
}

pub(super) use {list, optional_text, text, word};
