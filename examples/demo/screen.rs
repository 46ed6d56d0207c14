//! What a person sees: at most 100 columns, and colour only where it can be shown and is wanted.

use std::io::{self, IsTerminal as _, Stdout, Write as _};

const WIDTH: usize = 100;

/// Dresses words. Colour is never the only sign.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Paint {
    Good,
    Bad,
    Doubtful,
    Strong,
    Faint,
    Plain,
}

/// Standard output, line by line.
#[derive(Debug)]
pub(crate) struct Screen {
    out: Stdout,
    colour: bool,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let out = io::stdout();
        let colour = out.is_terminal() && !refused && !dumb;
        Self { out, colour }
    }

    pub(crate) fn paint(&self, paint: Paint, text: &str) -> String {
        let code = match paint {
            Paint::Good => "32",
            Paint::Bad => "1;31",
            Paint::Doubtful => "33",
            Paint::Strong => "1",
            Paint::Faint => "2",
            Paint::Plain => "",
        };
        if self.colour && !code.is_empty() { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// One line as it is.
    pub(crate) fn line(&self, line: &str) -> io::Result<()> {
        let mut out = self.out.lock();
        writeln!(out, "{line}")?;
        out.flush()
    }

    pub(crate) fn blank(&self) -> io::Result<()> {
        self.line("")
    }

    /// Words, wrapped at the right edge, each line behind `indent` spaces.
    pub(crate) fn words(&self, indent: usize, paint: Paint, text: &str) -> io::Result<()> {
        let indent = " ".repeat(indent);
        self.print(&Block { before: &indent, after: &indent, paint, text, is_command: false })
    }

    /// A command to copy.
    pub(crate) fn command(&self, indent: usize, text: &str) -> io::Result<()> {
        let before = format!("{}$ ", " ".repeat(indent));
        let after = " ".repeat(indent + 4);
        self.print(&Block { before: &before, after: &after, paint: Paint::Strong, text, is_command: true })
    }

    /// A label on the left, words on the right of it. An empty label continues the one above.
    pub(crate) fn labelled(&self, label: &str, paint: Paint, text: &str) -> io::Result<()> {
        let before = format!("  {label:<0$}", Self::LABEL - 2);
        let after = " ".repeat(Self::LABEL);
        self.print(&Block { before: &before, after: &after, paint, text, is_command: false })
    }

    /// A line that another program wrote, marked as such; what does not fit goes on below, `hang` columns in.
    pub(crate) fn quoted(&self, hang: usize, paint: Paint, text: &str) -> io::Result<()> {
        let words = text.trim_start();
        let start = text.len() - words.len();
        let (before, after) = (" ".repeat(start), " ".repeat(hang.max(start)));
        let (before, after) = (format!("  │ {before}"), format!("  │ {after}"));
        let is_command = words.starts_with("run:");
        self.print(&Block { before: &before, after: &after, paint, text: words, is_command })
    }

    /// The column where what follows a label begins.
    pub(crate) const LABEL: usize = 24;

    fn print(&self, block: &Block<'_>) -> io::Result<()> {
        let lines = block.lines();
        let last = lines.len() - 1;
        for (number, line) in lines.iter().enumerate() {
            let before = if number == 0 { block.before } else { block.after };
            let joint = if number < last { block.joint() } else { "" };
            let text = format!("{}{}{joint}", self.paint(Paint::Faint, before), self.paint(block.paint, line));
            self.line(text.trim_end())?;
        }
        Ok(())
    }
}

/// Text that may take more than one line.
struct Block<'text> {
    /// What stands before the first line.
    before: &'text str,
    /// What stands before every other line.
    after: &'text str,
    paint: Paint,
    text: &'text str,
    /// Whether it must mean the same to a shell in several lines.
    is_command: bool,
}

impl Block<'_> {
    fn joint(&self) -> &'static str {
        if self.is_command { " \\" } else { "" }
    }

    /// Broken between words; a word that is longer than a line has one to itself. Never without a line.
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![String::new()];
        for word in self.words() {
            let before = if lines.len() == 1 { self.before } else { self.after };
            let line = lines.last_mut().expect("there is always a line");
            let used = [before, line, " ", &word, self.joint()].map(|part| part.chars().count()).iter().sum::<usize>();
            if line.is_empty() {
                *line = word;
            } else if used <= WIDTH {
                *line = format!("{line} {word}");
            } else {
                lines.push(word);
            }
        }
        lines
    }

    /// What must not be broken: words, and in a command whatever stands in quotes.
    fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        let mut in_quotes = false;
        for word in self.text.split(' ') {
            match words.last_mut() {
                Some(quoted) if in_quotes => *quoted = format!("{quoted} {word}"),
                _ => words.push(word.to_owned()),
            }
            in_quotes ^= self.is_command && word.matches(['\'', '"']).count() % 2 == 1;
        }
        words
    }
}
