//! A configuration that was refused: part of the document of `/healthz`.

use serde::{Deserialize, Serialize};

use super::time::Timestamp;
use super::wire_text::WireText;

/// A configuration that could not be taken into use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// When it was read.
    pub at: Timestamp,
    /// Every problem, one each.
    pub problems: Vec<WireText>,
}

impl Refusal {
    /// How it is told, everywhere.
    pub const WORDS: &str = "the new configuration is refused";

    /// Such as `2026-11-21 03:50:12Z`.
    #[must_use]
    pub fn since(&self) -> String {
        format!("{} {}Z", self.at.date(), self.at.clock())
    }

    /// The first problem, and how many more there are.
    #[must_use]
    pub fn reason(&self) -> String {
        let first = self.problems.first().map_or("", WireText::as_str);
        match self.problems.len() {
            0 | 1 => first.to_owned(),
            count => format!("{first} (and {} more)", count - 1),
        }
    }
}
