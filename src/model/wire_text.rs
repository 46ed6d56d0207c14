//! Text that came from a peer.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Words of a server, a resolver or a certificate, made safe to show: at most [`WireText::LONGEST`] characters, one
/// line, no control or formatting character, and none that takes no column of its own.
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

/// Printable, and in a column of its own: no control or formatting character, no mark that is drawn over its neighbours or
/// the lines beside them, and none that takes no room.
fn is_plain(character: char) -> bool {
    if character.is_ascii() {
        return !character.is_ascii_control();
    }
    match character {
        // By their category these are letters, and they take no column: fillers, and the vowels and final consonants of Hangul,
        // which join what is before them (a syllable is one character); letters of Indic scripts that are drawn over the next.
        '\u{115f}'..='\u{11ff}'
        | '\u{3164}'
        | '\u{d7b0}'..='\u{d7ff}'
        | '\u{ffa0}'
        | '\u{d4e}'
        | '\u{a8fa}'
        | '\u{111c2}'
        | '\u{111c3}'
        | '\u{113d1}'
        | '\u{1193f}'
        | '\u{11941}'
        | '\u{11a84}'..='\u{11a89}'
        | '\u{11d46}'
        | '\u{11f02}' => false,
        // The library escapes every space but one; these are seen.
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => true,
        // It escapes what extends a grapheme (marks that do not space or that enclose, variation selectors, joiners), and what
        // has no shape: controls, formats, separators, private and unassigned characters.
        _ => character.escape_debug().len() == 1,
    }
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

    /// Marks that a terminal draws over other characters, or over other lines, and characters that take no room at all.
    #[test]
    fn what_takes_no_column_of_its_own_is_spelled_out() {
        let unseen = [
            '\u{300}',
            '\u{36f}',
            '\u{489}',
            '\u{483}',
            '\u{591}',
            '\u{64b}',
            '\u{e31}',
            '\u{1ab0}',
            '\u{1ac0}',
            '\u{1dc0}',
            '\u{20d0}',
            '\u{20dd}',
            '\u{302a}',
            '\u{3099}',
            '\u{a66f}',
            '\u{fe20}',
            '\u{1d167}',
            '\u{1d185}',
            '\u{e0100}',
            '\u{e01ef}',
            '\u{fe00}',
            '\u{fe0f}',
            '\u{180b}',
            '\u{180f}',
            '\u{34f}',
            '\u{17b4}',
            '\u{17b5}',
            '\u{115f}',
            '\u{1160}',
            '\u{11a8}',
            '\u{11ff}',
            '\u{d7b0}',
            '\u{d7fb}',
            '\u{3164}',
            '\u{ffa0}',
            '\u{ad}',
            '\u{61c}',
            '\u{70f}',
            '\u{180e}',
            '\u{200b}',
            '\u{200d}',
            '\u{2028}',
            '\u{202e}',
            '\u{2060}',
            '\u{2064}',
            '\u{206f}',
            '\u{feff}',
            '\u{fff9}',
            '\u{110bd}',
            '\u{13430}',
            '\u{1bca0}',
            '\u{1d173}',
            '\u{e0001}',
            '\u{e007f}',
            '\u{e0fff}',
            '\u{d4e}',
            '\u{a8fa}',
            '\u{11a86}',
            '\u{7f}',
            '\u{9b}',
        ];
        for character in unseen {
            let text = format!("a{character}b");
            assert_eq!(WireText::new(&text).as_str(), format!("a{}b", character.escape_default()), "{character:?}");
        }
        let zalgo: String = std::iter::once('a').chain(('\u{300}'..='\u{36f}').cycle().take(4_000)).collect();
        let safe = WireText::new(&zalgo);
        assert!(safe.as_str().is_ascii() || safe.as_str().ends_with('…'), "{safe}");
        assert!(safe.as_str().chars().count() <= WireText::LONGEST + 12, "{safe}");
    }

    #[test]
    fn what_people_write_stays() {
        let texts = [
            "é ü ñ Å ș",
            "漢字 かな カナ 한국어",
            "Ελληνικά Русский עברית العربية",
            "„a“ – ‘b’ … → · €",
            "it's \"quoted\" \\ back",
            "a\u{a0}b\u{3000}c",
            "🦀 ☁ 👍🏽",
        ];
        for text in texts {
            assert_eq!(WireText::new(text).as_str(), text);
        }
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
