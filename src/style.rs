//! How text for a terminal is dressed: colour where it is wanted, words that go on below words.

use std::io::{self, Write};

use anstyle::AnsiColor;
use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};

/// How the text may be dressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// ANSI colours, for a terminal. Colour is never the only sign.
    pub colour: bool,
    /// The columns of the terminal; `None` leaves lines as long as they are, for a file or a pipe.
    pub width: Option<usize>,
}

impl Style {
    fn paint(self, paint: anstyle::Style, text: &str) -> String {
        if self.colour { format!("{paint}{text}{paint:#}") } else { text.to_owned() }
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.paint(AnsiColor::Green.on_default(), text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.paint(AnsiColor::Red.on_default().bold(), text)
    }

    pub(crate) fn doubtful(self, text: &str) -> String {
        self.paint(AnsiColor::Yellow.on_default(), text)
    }

    pub(crate) fn strong(self, text: &str) -> String {
        self.paint(anstyle::Style::new().bold(), text)
    }

    pub(crate) fn faint(self, text: &str) -> String {
        self.paint(anstyle::Style::new().dimmed(), text)
    }

    /// Writes `head` and then `words`, which go on in column `hang` where the line ends. A word is never broken, so that
    /// what is copied is whole.
    pub(crate) fn write(self, out: &mut impl Write, head: &str, hang: usize, words: &str) -> io::Result<()> {
        // Without words textwrap leaves out the head as well.
        let Some(width) = self.width.filter(|_| !words.is_empty()) else { return writeln!(out, "{head}{words}") };
        let hang = " ".repeat(hang);
        let options = Options::new(width)
            .initial_indent(head)
            .subsequent_indent(&hang)
            .word_separator(WordSeparator::AsciiSpace)
            .word_splitter(WordSplitter::NoHyphenation)
            .wrap_algorithm(WrapAlgorithm::FirstFit)
            .break_words(false);
        textwrap::wrap(words, options).iter().try_for_each(|line| writeln!(out, "{line}"))
    }
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
        assert_eq!(written(narrow, &words), "  seen: a chain of\n        \u{1b}[1m\u{1b}[31mthree\u{1b}[0m names\n");
        assert_eq!(written(narrow, "four 名前名前"), "  seen: four\n        名前名前\n");
        assert_eq!(written(narrow, ""), "  seen: \n");
        assert_eq!(written(narrow, "averyverylongname.example x"), "  seen: averyverylongname.example\n        x\n");
        assert_eq!(written(Style::default(), &"x ".repeat(200)).lines().count(), 1);
    }
}
