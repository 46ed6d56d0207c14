//! What a reply may be, decided on its bytes before a value is made of them.
//!
//! A reply that names a length or a count costs nothing until its bytes are here, and one of a shape that the command
//! never gives is refused at its first byte: no peer makes a probe grow by what it promises, nor by nesting.

/// The longest simple reply, and the longest error, in bytes.
const LONGEST_LINE: usize = 4 << 10;

/// The longest reply to INFO, in bytes. Redis 7 with every section takes some 8 KiB.
const LONGEST_TEXT: usize = 128 << 10;

/// The longest of the two parts of a reply to TIME, in bytes: microseconds and seconds, as digits.
const LONGEST_NUMBER: usize = 24;

/// The longest line that names a length: its mark, a sign and 19 digits, and the end of the line.
const LONGEST_HEAD: usize = 23;

/// What a command may be answered with, beside an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// A word: AUTH, PING.
    Word,
    /// A text: INFO.
    Text,
    /// Two numbers: TIME.
    Time,
}

/// What the bytes that have come so far are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    /// The beginning of a reply. So many bytes of it are expected in all, where it says so and may be so long.
    Part(Option<usize>),
    /// A whole reply, which is so long; what is behind it belongs to no question.
    Whole(usize),
    /// A reply that is longer than this command's may be.
    TooLarge,
    /// Nothing that this command can be answered with.
    Foreign,
}

/// Looks at the beginning of a reply.
pub(super) fn frame(bytes: &[u8], expected: Expected) -> Frame {
    match (bytes.first(), expected) {
        (None, _) => Frame::Part(None),
        (Some(b'+' | b'-' | b':'), _) => line(bytes),
        (Some(b'$' | b'='), Expected::Text) => bulk(bytes, LONGEST_TEXT),
        (Some(b'$'), Expected::Word) => bulk(bytes, LONGEST_LINE),
        (Some(b'*'), Expected::Time) => time(bytes),
        (Some(_), _) => Frame::Foreign,
    }
}

/// Whether bytes begin as a reply of Redis does, in either version of its protocol (RESP2, RESP3).
pub(super) fn looks_like_redis(bytes: &[u8]) -> bool {
    matches!(
        bytes.first(),
        Some(b'+' | b'-' | b':' | b'$' | b'*' | b'_' | b',' | b'#' | b'!' | b'=' | b'(' | b'%' | b'~' | b'>' | b'|')
    )
}

fn line(bytes: &[u8]) -> Frame {
    match end_of_line(bytes, LONGEST_LINE) {
        Some(end) => Frame::Whole(end),
        None if bytes.len() > LONGEST_LINE => Frame::TooLarge,
        None => Frame::Part(None),
    }
}

/// A string that says how long it is.
fn bulk(bytes: &[u8], longest: usize) -> Frame {
    let Some(head) = end_of_line(bytes, LONGEST_HEAD) else {
        return if bytes.len() > LONGEST_HEAD { Frame::Foreign } else { Frame::Part(None) };
    };
    let length = std::str::from_utf8(&bytes[1..head - 2]).ok().and_then(|digits| digits.parse::<i64>().ok());
    let length = match length {
        // There is none.
        Some(-1) => return Frame::Whole(head),
        Some(length) => usize::try_from(length).ok(),
        None => None,
    };
    match length {
        None => Frame::Foreign,
        Some(length) if length > longest => Frame::TooLarge,
        Some(length) => match bytes.get(head + length..head + length + 2) {
            Some(b"\r\n") => Frame::Whole(head + length + 2),
            Some(_) => Frame::Foreign,
            None => Frame::Part(Some(head + length + 2)),
        },
    }
}

fn time(bytes: &[u8]) -> Frame {
    const HEAD: &[u8] = b"*2\r\n";
    if bytes.len() < HEAD.len() {
        return if HEAD.starts_with(bytes) { Frame::Part(None) } else { Frame::Foreign };
    }
    if !bytes.starts_with(HEAD) {
        return Frame::Foreign;
    }
    let mut end = HEAD.len();
    for _ in 0..2 {
        match bytes[end..].first() {
            None => return Frame::Part(None),
            Some(b'$') => {}
            Some(_) => return Frame::Foreign,
        }
        match bulk(&bytes[end..], LONGEST_NUMBER) {
            Frame::Whole(length) => end += length,
            Frame::Part(_) => return Frame::Part(None),
            other => return other,
        }
    }
    Frame::Whole(end)
}

/// The end of the first line, behind its line end, where it is within so many bytes.
fn end_of_line(bytes: &[u8], longest: usize) -> Option<usize> {
    let most = bytes.len().min(longest);
    bytes[..most].windows(2).position(|pair| pair == b"\r\n").map(|at| at + 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_reply_is_whole_when_its_last_byte_is_there() {
        let replies: [(&[u8], Expected); 6] = [
            (b"+PONG\r\n", Expected::Word),
            (b"-ERR no\r\n", Expected::Time),
            (b"$4\r\nPONG\r\n", Expected::Word),
            (b"$-1\r\n", Expected::Text),
            (b"$8\r\na:1\r\nb:2\r\n", Expected::Text),
            (b"*2\r\n$10\r\n1795161600\r\n$6\r\n000005\r\n", Expected::Time),
        ];
        for (reply, expected) in replies {
            for length in 0..reply.len() {
                assert!(matches!(frame(&reply[..length], expected), Frame::Part(_)), "{length} of {reply:?}");
            }
            let more = [reply, b"+OK\r\n"].concat();
            assert_eq!(frame(&more, expected), Frame::Whole(reply.len()), "{reply:?}");
        }
    }

    #[test]
    fn what_a_command_never_gives_is_refused_at_once() {
        let foreign: [(&[u8], Expected); 12] = [
            (b"*", Expected::Word),
            (b"%1\r\n", Expected::Text),
            (b"_\r\n", Expected::Word),
            (b">", Expected::Text),
            (b"=", Expected::Word),
            (b"*1000000000\r\n", Expected::Time),
            (b"*2\r\n*", Expected::Time),
            (b"*2\r\n$1\r\n1\r\n*", Expected::Time),
            (b"$-2\r\n", Expected::Text),
            (b"$x\r\n", Expected::Text),
            (b"$4\r\nPONG+\n", Expected::Word),
            (b"HTTP/1.1 400", Expected::Word),
        ];
        for (bytes, expected) in foreign {
            assert_eq!(frame(bytes, expected), Frame::Foreign, "{:?}", String::from_utf8_lossy(bytes));
        }
        let large: [(&[u8], Expected); 4] = [
            (b"$9223372036854775807\r\n", Expected::Text),
            (b"$131073\r\n", Expected::Text),
            (b"$4097\r\n", Expected::Word),
            (b"*2\r\n$25\r\n", Expected::Time),
        ];
        for (bytes, expected) in large {
            assert_eq!(frame(bytes, expected), Frame::TooLarge, "{:?}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(frame(&[b'+'; LONGEST_LINE + 1], Expected::Word), Frame::TooLarge);
        assert_eq!(frame(b"$131072\r\n", Expected::Text), Frame::Part(Some(131_072 + 11)));
    }

    proptest! {
        /// Whatever comes: what is whole ends within the bytes, and what is wanted is bounded.
        #[test]
        fn any_bytes_are_framed(bytes in proptest::collection::vec(
            prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'$'), Just(b'*'), Just(b'2'), Just(b'1'), any::<u8>()], 0..80)) {
            for expected in [Expected::Word, Expected::Text, Expected::Time] {
                match frame(&bytes, expected) {
                    Frame::Whole(length) => prop_assert!(length <= bytes.len() && bytes[..length].ends_with(b"\r\n")),
                    Frame::Part(Some(length)) => {
                        prop_assert!(length > bytes.len() && length <= LONGEST_TEXT + LONGEST_HEAD + 2);
                    }
                    Frame::Part(None) | Frame::TooLarge | Frame::Foreign => {}
                }
            }
        }
    }
}
