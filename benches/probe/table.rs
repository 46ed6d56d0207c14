//! The one table.

use std::fmt::{self, Display};

use super::spread::Spread;

/// Rows under headings.
#[derive(Default)]
pub(crate) struct Table(Vec<Line>);

enum Line {
    Heading(String),
    Words { what: String, words: String },
    Row { what: String, value: String, middle_half: String, aim: Option<(String, Verdict)> },
}

/// What should be, as a limit that the value must not exceed.
#[derive(Clone, Copy)]
pub(crate) struct Aim {
    pub(crate) limit: f64,
    /// The share of the limit by which a single value may differ from run to run.
    pub(crate) noise: f64,
}

/// Whether an aim is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Met,
    /// Missed by less than the noise of the measurement: no reason to fail.
    MissedWithinNoise,
    Missed,
}

impl Aim {
    /// `certain` is the value that stands after the noise is given its due.
    fn judge(self, value: f64, certain: f64) -> Verdict {
        if value <= self.limit {
            Verdict::Met
        } else if certain <= self.limit {
            Verdict::MissedWithinNoise
        } else {
            Verdict::Missed
        }
    }
}

impl Table {
    pub(crate) fn heading(&mut self, text: &str) {
        self.0.push(Line::Heading(text.to_owned()));
    }

    /// A value that was measured many times.
    pub(crate) fn spread(&mut self, what: &str, spread: Spread, unit: &str, aim: Option<Aim>) {
        let aim = aim.map(|aim| (format!("<= {} {unit}", aim.limit), aim.judge(spread.median, spread.low)));
        self.0.push(Line::Row {
            what: what.to_owned(),
            value: format!("{:.3} {unit:<5}", spread.median),
            middle_half: format!("{:.3} to {:.3}", spread.low, spread.high),
            aim,
        });
    }

    /// A value that was measured once.
    pub(crate) fn single(&mut self, what: &str, value: f64, unit: &str, aim: Option<Aim>) {
        let aim = aim.map(|aim| (format!("<= {} {unit}", aim.limit), aim.judge(value, value - aim.limit * aim.noise)));
        self.0.push(Line::Row {
            what: what.to_owned(),
            value: format!("{value:.1}   {unit:<5}"),
            middle_half: String::new(),
            aim,
        });
    }

    /// Something that was counted, and has no aim.
    pub(crate) fn words(&mut self, what: &str, words: &str) {
        self.0.push(Line::Words { what: what.to_owned(), words: words.to_owned() });
    }

    /// Whether every aim is met, or missed by no more than noise.
    pub(crate) fn holds(&self) -> bool {
        !self.0.iter().any(|line| matches!(line, Line::Row { aim: Some((_, Verdict::Missed)), .. }))
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.0 {
            match line {
                Line::Heading(text) => writeln!(f, "\n{text:<50}{:>14}   {:<16}  aim", "value", "middle half")?,
                Line::Words { what, words } => writeln!(f, "  {what:<48}   {words}")?,
                Line::Row { what, value, middle_half, aim } => {
                    let aim = aim.as_ref().map(|(aim, verdict)| format!("{aim}: {verdict}")).unwrap_or_default();
                    let row = format!("  {what:<48}{value:>14}   {middle_half:<16}  {aim}");
                    writeln!(f, "{}", row.trim_end())?;
                }
            }
        }
        Ok(())
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Met => "met",
            Self::MissedWithinNoise => "missed, within noise",
            Self::Missed => "MISSED",
        })
    }
}
