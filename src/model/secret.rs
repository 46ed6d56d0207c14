//! A secret that cannot be printed.

use std::fmt;

use thiserror::Error;
use zeroize::Zeroizing;

/// A key or a token. It has no `Display`, no `Serialize` and a blind `Debug`; its memory is wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text as the secret.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The secret itself, for the one place that sends it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// Why the content of a file is no secret that could be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoSecret {
    /// Nothing, or line ends alone.
    #[error("empty")]
    Empty,
    /// What Windows writes as "Unicode".
    #[error("UTF-16 text, which is sent as other bytes than the key; write it as UTF-8 without a byte order mark")]
    Utf16,
    /// A mark that many editors do not show, and that would be sent as part of the key.
    #[error("begins with a byte order mark (EF BB BF), which would be sent as part of the key; write it without")]
    ByteOrderMark,
    /// Bytes that are no text.
    #[error("not text in UTF-8; a key is text")]
    NotText,
    /// Such as a file that was cut or written in another encoding.
    #[error("contains a NUL byte; a key is text")]
    Nul,
    /// Such as two keys, or a key with a comment.
    #[error("contains several lines; the file must contain the key alone, on one line")]
    SeveralLines,
}

impl Secret {
    /// The secret that a file or a variable holds: its one line, without the line end that an editor leaves behind.
    ///
    /// # Errors
    /// Where it holds something else, which a server would refuse without saying why.
    pub fn of_file(bytes: &[u8]) -> Result<Self, NoSecret> {
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            return Err(NoSecret::Utf16);
        }
        if bytes.starts_with(&[0xef, 0xbb, 0xbf]) {
            return Err(NoSecret::ByteOrderMark);
        }
        if bytes.contains(&0) {
            return Err(NoSecret::Nul);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| NoSecret::NotText)?.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return Err(NoSecret::Empty);
        }
        if text.contains(['\r', '\n']) {
            return Err(NoSecret::SeveralLines);
        }
        Ok(Self::new(text.to_owned()))
    }

    /// Whether it begins or ends with a blank: no key of Azure does, and an editor or a paste may have left it there.
    #[must_use]
    pub fn has_blank_ends(&self) -> bool {
        self.0.trim().len() != self.0.len()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_one_line_of_text_or_no_secret() {
        let holds = |bytes: &[u8]| Secret::of_file(bytes).map(|secret| secret.reveal().to_owned());
        assert_eq!(holds(b"key\r\n\n"), Ok("key".to_owned()));
        assert_eq!(holds(b" key "), Ok(" key ".to_owned()), "a password may hold blanks");
        for (bytes, why) in [
            (&b"\n"[..], NoSecret::Empty),
            (b"\xff\xfek\0e\0y\0", NoSecret::Utf16),
            (b"\xef\xbb\xbfkey", NoSecret::ByteOrderMark),
            (b"k\0ey", NoSecret::Nul),
            (b"k\xe9y", NoSecret::NotText),
            (b"primary\nsecondary\n", NoSecret::SeveralLines),
        ] {
            assert_eq!(holds(bytes), Err(why), "{bytes:?}");
        }
        assert!(Secret::new("key ".into()).has_blank_ends() && !Secret::new("k y".into()).has_blank_ends());
    }

    #[test]
    fn debug_hides_the_secret() {
        assert_eq!(format!("{:?}", Secret::new("hunter2".into())), "Secret(hidden)");
    }
}
