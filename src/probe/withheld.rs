//! A secret that is on its way to a peer, and comes back in none of the peer's words.
//!
//! A peer may repeat what it was told, cut and placed where it likes: in an error, in a field of INFO, in a certificate of
//! the next session. What is shown of it is looked through for every eight letters of the secret that stand in a row.

use std::borrow::Cow;

use zeroize::Zeroizing;

use crate::model::{Fault, Leg, Secret, TlsSession, WireText};

/// So many letters in a row are the secret and no chance.
const TELLING: usize = 8;

/// Shorter secrets than this are words that any server may use.
const SHORTEST: usize = 4;

/// What stands in place of each letter.
const BLOT: u8 = b'*';

/// What must not be shown of a peer's words. Upper and lower case count as the same.
#[derive(Default)]
pub(super) struct Withheld {
    /// Every [`TELLING`] bytes of the secret that stand in a row, in order.
    pieces: Zeroizing<Vec<u64>>,
    /// A bit for the hash of each piece, so that most places are passed over at once.
    marks: Zeroizing<[u64; 16]>,
    /// A secret that has no such piece.
    short: Zeroizing<Vec<u8>>,
}

impl Withheld {
    /// Withholds `secret`; `None` withholds nothing.
    pub(super) fn of(secret: Option<&Secret>) -> Self {
        let mut withheld = Self::default();
        let Some(secret) = secret else { return withheld };
        let lower = Zeroizing::new(secret.reveal().to_ascii_lowercase().into_bytes());
        if lower.len() < TELLING {
            if lower.len() >= SHORTEST {
                withheld.short = lower;
            }
            return withheld;
        }
        let pieces = lower.windows(TELLING).map(|piece| piece.iter().fold(0, |piece, byte| push(piece, *byte)));
        withheld.pieces = Zeroizing::new(pieces.collect());
        withheld.pieces.sort_unstable();
        withheld.pieces.dedup();
        for piece in withheld.pieces.iter() {
            let mark = mark(*piece);
            withheld.marks[mark / 64] |= 1 << (mark % 64);
        }
        withheld
    }

    /// Blots the secret out of what a peer said. Its length stays, so a reply stays a reply. A short secret stays: it may
    /// be the name of a field.
    pub(super) fn blot(&self, bytes: &mut [u8]) {
        if self.pieces.is_empty() {
            return;
        }
        let mut piece = 0;
        let mut blotted = 0;
        for end in 1..=bytes.len() {
            // What is blotted is read before it is: pieces overlap.
            piece = push(piece, bytes[end - 1]);
            let mark = mark(piece);
            if end < TELLING || self.marks[mark / 64] & (1 << (mark % 64)) == 0 {
                continue;
            }
            if self.pieces.binary_search(&piece).is_ok() {
                bytes[blotted.max(end - TELLING)..end].fill(BLOT);
                blotted = end;
            }
        }
    }

    /// A text without the secret.
    pub(super) fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut bytes = text.as_bytes().to_vec();
        self.blot(&mut bytes);
        if bytes == text.as_bytes() {
            Cow::Borrowed(text)
        } else {
            Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
        }
    }

    /// A fault whose words come from a peer that may know the secret, be it a short one: a server repeats what it was told.
    pub(super) fn fault(&self, fault: Fault) -> Fault {
        let mut words = fault.detail.as_str().as_bytes().to_vec();
        self.blot(&mut words);
        blot_short(&self.short, &mut words);
        if words == fault.detail.as_str().as_bytes() {
            return fault;
        }
        Fault::new(fault.stage, fault.kind, String::from_utf8_lossy(&words))
    }

    /// The same for all that was seen on one leg.
    pub(super) fn leg(&self, leg: &mut Leg) {
        leg.fault = leg.fault.take().map(|fault| self.fault(fault));
        leg.notes = std::mem::take(&mut leg.notes).into_iter().map(|note| self.fault(note)).collect();
        if let Some(session) = &mut leg.tls {
            self.session(session);
        }
    }

    /// The same for a session of TLS.
    pub(super) fn session(&self, session: &mut TlsSession) {
        let texts = session.chain.iter_mut().flat_map(|certificate| {
            let own = [&mut certificate.subject, &mut certificate.issuer, &mut certificate.serial];
            own.into_iter().chain(&mut certificate.names)
        });
        for text in texts {
            if let Cow::Owned(words) = self.text(text.as_str()) {
                *text = WireText::new(&words);
            }
        }
    }
}

/// The last [`TELLING`] bytes, one after another.
fn push(piece: u64, byte: u8) -> u64 {
    (piece << 8) | u64::from(byte.to_ascii_lowercase())
}

/// Ten bits of a hash.
fn mark(piece: u64) -> usize {
    usize::from(u16::try_from(piece.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54).unwrap_or(0))
}

fn blot_short(secret: &[u8], bytes: &mut [u8]) {
    let length = secret.len();
    if length == 0 {
        return;
    }
    for start in 0..(bytes.len() + 1).saturating_sub(length) {
        let is_word = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_alphanumeric);
        let is_part = is_word(start.checked_sub(1)) || is_word(Some(start + length));
        if !is_part && bytes[start..start + length].eq_ignore_ascii_case(secret) {
            bytes[start..start + length].fill(BLOT);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{FaultKind, Stage};

    fn withheld(secret: &str) -> Withheld {
        Withheld::of(Some(&Secret::new(secret.to_owned())))
    }

    #[track_caller]
    fn check(secret: &str, said: &str, shown: &str) {
        let mut bytes = said.as_bytes().to_vec();
        withheld(secret).blot(&mut bytes);
        assert_eq!(String::from_utf8_lossy(&bytes), shown);
    }

    #[test]
    fn pieces_go_and_chance_stays() {
        let secret = "abcdefghijklmnop";
        check(secret, "-ERR unknown 'abcdefghijklmnop'", "-ERR unknown '****************'");
        check(secret, "run_id:xxdefghijklxx", "run_id:xx*********xx");
        check(secret, "HIJKLMNO", "********");
        check(secret, "hijklmn", "hijklmn");
        check(secret, "abcdefghXhijklmnop", "********X*********");
        // A short word may be a field of INFO; in an error it is what the server was told.
        check("role", "role:master", "role:master");
        let fault = Fault::new(Stage::Auth, FaultKind::ServerError, "AUTH was answered: ERR unknown 'Hunter2'");
        let shown = withheld("hunter2").fault(fault);
        assert_eq!(shown.detail.as_str(), "AUTH was answered: ERR unknown '*******'");
        let fault = Fault::new(Stage::Auth, FaultKind::AuthRejected, "AUTH was answered: WRONGPASS no");
        assert_eq!(withheld("wrong").fault(fault.clone()), fault);
        check("aaaaaaaaaa", "aaaaaaa aaaaaaaaaaaa", "aaaaaaa ************");
        let mut bytes = b"as it is".to_vec();
        Withheld::of(None).blot(&mut bytes);
        assert_eq!(bytes, b"as it is");
    }

    proptest! {
        /// Whatever a peer does with the secret, no eight letters of it are left, and nothing grows.
        #[test]
        fn no_piece_is_left(
            secret in "[A-Za-z0-9+/=]{8,60}",
            parts in proptest::collection::vec((any::<bool>(), 0_usize..60, 0_usize..60, "[ -~]{0,12}"), 0..12),
        ) {
            let mut said = String::new();
            for (upper, from, to, other) in parts {
                let (from, to) = (from.min(secret.len()), to.min(secret.len()));
                let piece = secret.get(from.min(to)..from.max(to)).unwrap_or_default();
                said += &if upper { piece.to_uppercase() } else { piece.to_owned() };
                said += &other;
            }
            let shown = withheld(&secret).text(&said).into_owned().to_lowercase();
            let lower = secret.to_lowercase();
            prop_assert_eq!(shown.len(), said.len());
            for piece in lower.as_bytes().windows(TELLING) {
                let piece = std::str::from_utf8(piece).unwrap();
                prop_assert!(!shown.contains(piece), "{} is left in {}", piece, shown);
            }
        }
    }
}
