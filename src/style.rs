//! How text for a terminal is dressed: colour where it is wanted, words that go on below words.

use std::io::{self, Write};

/// How the text may be dressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// ANSI colours, for a terminal. Colour is never the only sign.
    pub colour: bool,
    /// The columns of the terminal; `None` leaves lines as long as they are, for a file or a pipe.
    pub width: Option<usize>,
}

impl Style {
    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    pub(crate) fn doubtful(self, text: &str) -> String {
        self.paint("33", text)
    }

    pub(crate) fn strong(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn faint(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// Writes `head` and then `words`, which go on in column `hang` where the line ends.
    pub(crate) fn write(self, out: &mut impl Write, head: &str, hang: usize, words: &str) -> io::Result<()> {
        let width = self.width.unwrap_or(usize::MAX);
        let mut column = visible(head);
        write!(out, "{head}")?;
        for (index, word) in words.split(' ').enumerate() {
            let gap = usize::from(index > 0);
            if index > 0 && column + gap + visible(word) > width && column > hang {
                write!(out, "\n{:hang$}{word}", "")?;
                column = hang + visible(word);
            } else {
                write!(out, "{:gap$}{word}", "")?;
                column += gap + visible(word);
            }
        }
        writeln!(out)
    }
}

/// How many columns a text takes: its characters without the colours.
fn visible(text: &str) -> usize {
    text.split('\u{1b}').enumerate().fold(0, |columns, (index, part)| {
        let shown = if index == 0 { part } else { part.split_once('m').map_or("", |(_, rest)| rest) };
        columns + shown.chars().count()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(style: Style, words: &str) -> String {
        let mut out = Vec::new();
        style.write(&mut out, "  seen: ", 8, words).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn words_go_on_below_words() {
        let narrow = Style { colour: true, width: Some(20) };
        let words = format!("a chain of {} names", narrow.bad("three"));
        assert_eq!(written(narrow, &words), "  seen: a chain of\n        \u{1b}[1;31mthree\u{1b}[0m names\n");
        assert_eq!(written(narrow, "averyverylongname.example x"), "  seen: averyverylongname.example\n        x\n");
        assert_eq!(written(Style::default(), &"x ".repeat(200)).lines().count(), 1);
    }
}
