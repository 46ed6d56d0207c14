//! Text as C reads it: lines that end at a zero byte, numbers that end where digits end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A line of a file, without its newline.
#[derive(Debug, Clone, Copy)]
pub(super) struct CLine<'a> {
    /// The number of the line, the first at 1.
    pub(super) number: usize,
    /// Its bytes up to the first zero byte.
    pub(super) text: &'a [u8],
    /// Whether a newline ends the line in the file.
    pub(super) is_ended: bool,
    /// Whether the newline is seen: a zero byte hides it.
    pub(super) shows_end: bool,
}

/// The lines of a file. What follows the last newline is a line where it is not empty.
pub(super) fn c_lines(bytes: &[u8]) -> impl Iterator<Item = CLine<'_>> {
    bytes.split_inclusive(|byte| *byte == b'\n').enumerate().map(|(index, line)| {
        let (line, is_ended) = line.strip_suffix(b"\n").map_or((line, false), |line| (line, true));
        let end = line.iter().position(|byte| *byte == 0);
        let text = &line[..end.unwrap_or(line.len())];
        CLine { number: index + 1, text, is_ended, shows_end: is_ended && end.is_none() }
    })
}

/// `isspace` in the locale of C.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// A blank or a tab: what resolv.conf takes for a gap.
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Without the bytes at the beginning that are of this kind.
pub(super) fn skip(text: &[u8], is_skipped: impl Fn(u8) -> bool) -> &[u8] {
    let start = text.iter().position(|byte| !is_skipped(*byte)).unwrap_or(text.len());
    &text[start..]
}

/// Up to the first byte of this kind, and what follows from there.
pub(super) fn until(text: &[u8], is_end: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|byte| is_end(*byte)).unwrap_or(text.len()))
}

/// The words between blanks and tabs.
pub(super) fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| is_blank(*byte)).filter(|word| !word.is_empty())
}

/// `atoi`: space, a sign, digits, and whatever follows; 0 where there are no digits.
pub(super) fn atoi(text: &[u8]) -> i32 {
    let text = skip(text, is_space);
    let (is_negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let (digits, _) = until(digits, |byte| !byte.is_ascii_digit());
    let value = digits.iter().fold(0_i64, |value, digit| {
        let digit = i64::from(digit - b'0');
        value.saturating_mul(10).saturating_add(digit)
    });
    // C reads a long and keeps its lower half.
    let value = if is_negative { -value } else { value };
    #[expect(clippy::cast_possible_truncation, reason = "as C truncates a long to an int")]
    let kept = value as i32;
    kept
}

/// `inet_aton` where nothing may follow: up to four numbers, each decimal, octal or hexadecimal, of which the last fills
/// what is left (glibc 2.36, `resolv/inet_addr.c`).
pub(super) fn inet_aton(text: &[u8]) -> Option<Ipv4Addr> {
    let parts: Vec<&[u8]> = text.split(|byte| *byte == b'.').collect();
    let (last, front) = parts.split_last()?;
    if front.len() > 3 {
        return None;
    }
    let mut address = 0_u32;
    for (place, part) in front.iter().enumerate() {
        let value = c_number(part).filter(|value| *value <= 0xff)?;
        address |= value << (24 - 8 * place);
    }
    let value = c_number(last)?;
    let most = u32::MAX.checked_shr(8 * u32::try_from(front.len()).ok()?)?;
    (value <= most).then(|| Ipv4Addr::from(address | value))
}

/// A number of C, whole: `10`, `012`, `0xa`.
fn c_number(text: &[u8]) -> Option<u32> {
    if !text.first()?.is_ascii_digit() {
        return None;
    }
    let (digits, radix) = match text {
        [b'0', b'x' | b'X', digits @ ..] => (digits, 16),
        [b'0', digits @ ..] if !digits.is_empty() => (digits, 8),
        digits => (digits, 10),
    };
    if !digits.first()?.is_ascii_alphanumeric() {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()
}

/// `inet_pton` for either family: IPv4 with four decimal numbers, or IPv6 without a scope.
pub(super) fn inet_pton(text: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// An IPv6 address, with the scope behind its `%` where it has one.
pub(super) fn scoped(text: &[u8]) -> Option<(Ipv6Addr, Option<&[u8]>)> {
    let (address, rest) = until(text, |byte| byte == b'%');
    let address = std::str::from_utf8(address).ok()?.parse().ok()?;
    Some((address, rest.get(1..)))
}

/// The number of a scope: an interface by its name where the address is of one link, or else a number (glibc 2.36,
/// `inet/inet6_scopeid_pton.c`).
pub(super) fn scope_id(address: Ipv6Addr, scope: &[u8], interfaces: &[(String, u32)]) -> Option<u32> {
    let head = address.segments()[0];
    let is_of_a_link = head & 0xffc0 == 0xfe80 || matches!(head & 0xff0f, 0xff01 | 0xff02);
    let named = || interfaces.iter().find(|(name, _)| name.as_bytes() == scope).map(|(_, index)| *index);
    let index = if is_of_a_link { named() } else { None };
    let is_number = scope.iter().all(u8::is_ascii_digit);
    index.or_else(|| std::str::from_utf8(scope).ok().filter(|_| is_number)?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_where_digits_end() {
        for (text, value) in [
            ("5", 5),
            ("5x", 5),
            (" \t5", 5),
            ("", 0),
            ("x", 0),
            ("-3", -3),
            ("+3", 3),
            ("99999999999", 1_215_752_191),
            ("99999999999999999999", -1),
        ] {
            assert_eq!(atoi(text.as_bytes()), value, "{text}");
        }
    }

    #[test]
    fn an_address_may_be_written_as_c_writes_numbers() {
        for (text, address) in [
            ("10.20.1.4", Some([10, 20, 1, 4])),
            ("10.5", Some([10, 0, 0, 5])),
            ("10.1.2", Some([10, 1, 0, 2])),
            ("1", Some([0, 0, 0, 1])),
            ("0x7f.1", Some([127, 0, 0, 1])),
            ("010.0.0.1", Some([8, 0, 0, 1])),
            ("08.0.0.1", None),
            ("1.2.3.4.5", None),
            ("1.2.3.", None),
            ("256.1.1.1", None),
            ("1.2.65536", None),
            ("4294967296", None),
            ("1.2.3.4 ", None),
            ("1.2.3.4\r", None),
            ("1.2.3.4;x", None),
            ("+1.2.3.4", None),
            ("0x", None),
            ("", None),
        ] {
            assert_eq!(inet_aton(text.as_bytes()), address.map(Ipv4Addr::from), "{text}");
        }
    }

    #[test]
    fn a_scope_is_an_interface_of_the_link_or_a_number() {
        let interfaces = [("eth0".to_owned(), 7)];
        let of = |text: &str| {
            let (address, scope) = scoped(text.as_bytes()).unwrap();
            scope_id(address, scope.unwrap(), &interfaces)
        };
        assert_eq!(of("fe80::1%eth0"), Some(7));
        assert_eq!(of("fe80::1%3"), Some(3));
        assert_eq!(of("fd00::1%eth0"), None, "only an address of one link has an interface");
        assert_eq!(of("fe80::1%eth1"), None);
        assert_eq!(of("fe80::1%"), None);
    }

    #[test]
    fn a_line_ends_at_a_zero_byte() {
        let lines: Vec<_> = c_lines(b"a\nb\0c\nd").map(|line| (line.text, line.is_ended, line.shows_end)).collect();
        assert_eq!(lines, [(&b"a"[..], true, true), (b"b", true, false), (b"d", false, false)]);
    }
}
