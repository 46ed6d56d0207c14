//! Text that came from a peer.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Words of a server, a resolver or a certificate, made safe to show: at most [`WireText::LONGEST`] characters, one
/// line, no control or formatting character.
///
/// Invariant: every foreign text that can reach a terminal, a page, a log or a label goes through this type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct WireText(String);

impl WireText {
    /// The longest text kept, in characters; what is cut is marked with `…`.
    pub const LONGEST: usize = 256;

    /// Takes `text`, escaping what a terminal or a page could mistake for an instruction.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut safe = String::with_capacity(text.len().min(Self::LONGEST));
        let mut length = 0;
        for character in text.trim().chars() {
            if length >= Self::LONGEST {
                safe.push('…');
                break;
            }
            if is_plain(character) {
                safe.push(character);
                length += 1;
            } else {
                let escaped: String = character.escape_default().collect();
                length += escaped.len();
                safe.push_str(&escaped);
            }
        }
        Self(safe)
    }

    /// Takes bytes, replacing what is not UTF-8.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let most = bytes.len().min(Self::LONGEST * 4);
        Self::new(&String::from_utf8_lossy(&bytes[..most]))
    }

    /// The safe text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Printable, and neither a control character nor one that reorders or hides text (bidirectional marks, zero width).
fn is_plain(character: char) -> bool {
    !character.is_control()
        && !matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

impl fmt::Display for WireText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for WireText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// What was written is made safe again: a file may have been changed by another hand.
impl<'de> Deserialize<'de> for WireText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::new(&String::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_are_spelled_out() {
        assert_eq!(WireText::new("a\u{1b}[31mb\nc").as_str(), "a\\u{1b}[31mb\\nc");
        assert_eq!(WireText::new("\u{202e}evil").as_str(), "\\u{202e}evil");
    }

    proptest! {
        #[test]
        fn any_bytes_become_one_safe_short_line(bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
            let text = WireText::from_bytes(&bytes);
            prop_assert!(text.as_str().chars().all(is_plain));
            prop_assert!(text.as_str().chars().count() <= WireText::LONGEST + 12);
            let read: WireText = serde_json::from_str(&serde_json::to_string(&text).unwrap()).unwrap();
            prop_assert!(read.as_str().chars().all(is_plain));
        }
    }
}
