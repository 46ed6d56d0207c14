//! Text as C reads it: lines of a bounded length, that end at their first NUL.

/// What `isspace` takes for white space.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | 9..=13)
}

/// The text up to its first NUL.
pub(super) fn until_nul(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Where `part` begins in `text` for the first time, from `from` on.
pub(super) fn find(text: &[u8], part: &[u8], from: usize) -> Option<usize> {
    if part.is_empty() {
        return (from <= text.len()).then_some(from);
    }
    text.get(from..)?.windows(part.len()).position(|window| window == part).map(|at| from + at)
}

/// The text without white space at its start.
pub(super) fn trimmed(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !is_space(*byte)).unwrap_or(text.len());
    &text[start..]
}

/// The text up to its first white space.
pub(super) fn first_word(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| is_space(*byte)).unwrap_or(text.len());
    &text[..end]
}

/// `strtoul` to the base ten of a text that starts with a digit; what is too large is the largest number.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    let add =
        |sum: Option<u64>, byte: &u8| Some(sum.unwrap_or(0).saturating_mul(10).saturating_add(u64::from(byte - b'0')));
    digits.fold(None, add)
}

/// What `fgets` reads one after the other.
pub(super) struct Lines<'file> {
    rest: &'file [u8],
    /// The most bytes of one piece.
    most: usize,
}

/// What one call of `fgets` read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'file> {
    /// With its line feed, where it was reached; up to the first NUL.
    pub(super) text: &'file [u8],
    /// The end of the file was met.
    pub(super) is_last: bool,
}

impl<'file> Lines<'file> {
    /// With a buffer of that size, which has a byte for the NUL at the end.
    pub(super) fn new(file: &'file [u8], buffer: usize) -> Self {
        Self { rest: file, most: buffer.saturating_sub(1) }
    }

    /// Passes over the rest of a line that was longer than the buffer.
    pub(super) fn skip_line(&mut self) {
        let end = self.rest.iter().position(|byte| *byte == b'\n').map_or(self.rest.len(), |at| at + 1);
        self.rest = &self.rest[end..];
    }
}

impl<'file> Iterator for Lines<'file> {
    type Item = Line<'file>;

    fn next(&mut self) -> Option<Line<'file>> {
        if self.rest.is_empty() {
            return None;
        }
        let line_feed = self.rest.iter().take(self.most).position(|byte| *byte == b'\n');
        let length = line_feed.map_or(self.rest.len().min(self.most), |at| at + 1);
        let (piece, rest) = self.rest.split_at(length);
        self.rest = rest;
        // A piece that fills the buffer ends before the end of the file is met.
        let is_last = line_feed.is_none() && length < self.most;
        Some(Line { text: until_nul(piece), is_last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_fills_the_buffer_does_not_meet_the_end() {
        let line = |text| Line { text, is_last: false };
        let lines: Vec<_> = Lines::new(b"ab\ncdefg", 4).collect();
        assert_eq!(lines, [line(b"ab\n"), line(b"cde"), Line { text: b"fg", is_last: true }]);
        let lines: Vec<_> = Lines::new(b"cde", 4).collect();
        assert_eq!(lines, [line(b"cde")]);
    }

    #[test]
    fn text_ends_at_nul_and_the_line_does_not() {
        let lines: Vec<_> = Lines::new(b"a\0b\nc\n", 16).map(|line| line.text).collect();
        assert_eq!(lines, [&b"a"[..], b"c\n"]);
    }

    #[test]
    fn a_number_saturates() {
        assert_eq!(number(b"15 x"), Some(15));
        assert_eq!(number(b"99999999999999999999999"), Some(u64::MAX));
        assert_eq!(number(b"x"), None);
    }
}
