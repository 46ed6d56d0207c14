//! One step of a remedy: what to run, or what to know before running it.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::CacheName;

/// What a remedy does next. It is written as one line, in JSON, in the journal and on the page: a command as it stands,
/// a note as a comment of the shell, so that a whole remedy can be pasted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A command of the shell.
    Run(String),
    /// A remark for a person.
    Note(String),
}

/// What a note begins with where it is written.
const COMMENT: &str = "# ";

impl Step {
    /// Accepts the present answers of the resolvers of a cache. A cache's name has no letter that a shell would change.
    #[must_use]
    pub fn accept_baseline(cache: &CacheName) -> Self {
        Self::Run(format!("cachewatch baseline accept {cache}"))
    }

    /// The step that a line stands for.
    fn read(line: String) -> Self {
        match line.strip_prefix(COMMENT) {
            Some(words) => Self::Note(words.to_owned()),
            None => Self::Run(line),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(command) => f.write_str(command),
            Self::Note(words) => write!(f, "{COMMENT}{words}"),
        }
    }
}

impl Serialize for Step {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Run(command) => serializer.serialize_str(command),
            Self::Note(_) => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_written_as_one_line_and_reads_back() {
        let steps = [Step::Run("nslookup orders.example".to_owned()), Step::Note("remove the line".to_owned())];
        let text = serde_json::to_string(&steps).unwrap();
        assert_eq!(text, r##"["nslookup orders.example","# remove the line"]"##);
        assert_eq!(serde_json::from_str::<Vec<Step>>(&text).unwrap(), steps);
    }
}
