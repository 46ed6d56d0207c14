//! A secret that is on its way to a peer, and comes back in none of the peer's words.
//!
//! A peer may repeat what it was told, cut and placed where it likes: in an error, in a field of INFO, in a certificate of
//! the next session. What is shown of it is looked through for every eight letters of the secret that stand in a row.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::model::{Fault, Leg, Secret, TlsSession, WireText};

/// So many letters in a row are the secret and no chance.
const TELLING: usize = 8;

/// Shorter secrets than this are words that any server may use.
const SHORTEST: usize = 4;

/// What stands in place of each letter.
const BLOT: u8 = b'*';

/// What was read to be sent, to whichever cache: a peer may say it again at another one, and after it was replaced.
#[derive(Default)]
pub(in crate::probe) struct Sent {
    /// The latest is the last.
    secrets: VecDeque<Secret>,
    withheld: Arc<Withheld>,
}

impl Sent {
    /// The most secrets that are withheld; those of long ago give way.
    const MOST: usize = 2_048;

    /// What must not be shown.
    pub(in crate::probe) fn withheld(&self) -> Arc<Withheld> {
        Arc::clone(&self.withheld)
    }

    /// The same once `secret` is sent as well.
    pub(in crate::probe) fn and(&mut self, secret: &Secret) -> Arc<Withheld> {
        if !self.secrets.contains(secret) {
            self.secrets.push_back(secret.clone());
            if self.secrets.len() > Self::MOST {
                self.secrets.pop_front();
            }
            self.withheld = Arc::new(Withheld::of(&self.secrets));
        }
        self.withheld()
    }
}

/// How many there are, and no more.
impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sent({})", self.secrets.len())
    }
}

/// What must not be shown of a peer's words. Upper and lower case count as the same.
#[derive(Default)]
pub(in crate::probe) struct Withheld {
    /// Every [`TELLING`] bytes of the secret that stand in a row, in order.
    pieces: Zeroizing<Vec<u64>>,
    /// A bit for the hash of each piece, so that most places are passed over at once. Its length is a power of two.
    marks: Zeroizing<Vec<u64>>,
    /// Secrets that have no such piece.
    short: Vec<Zeroizing<Vec<u8>>>,
}

impl Withheld {
    /// Withholds each of these secrets.
    pub(in crate::probe) fn of<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut withheld = Self::default();
        for secret in secrets {
            for form in forms(secret.reveal()) {
                let lower = Zeroizing::new(form.to_ascii_lowercase().into_bytes());
                match lower.len() {
                    TELLING.. => {
                        let pieces = lower.windows(TELLING);
                        let pieces = pieces.map(|piece| piece.iter().fold(0, |piece, byte| push(piece, *byte)));
                        withheld.pieces.extend(pieces);
                    }
                    SHORTEST..TELLING => withheld.short.push(lower),
                    _ => {}
                }
            }
        }
        withheld.pieces.sort_unstable();
        withheld.pieces.dedup();
        // Sixteen bits a piece: one place in sixteen is looked up for nothing, at the most.
        withheld.marks = Zeroizing::new(vec![0; (withheld.pieces.len() / 4).next_power_of_two()]);
        for at in 0..withheld.pieces.len() {
            let (word, bit) = withheld.mark(withheld.pieces[at]);
            withheld.marks[word] |= bit;
        }
        withheld
    }

    /// Which bit of the marks stands for a piece: its word, and the bit in it.
    fn mark(&self, piece: u64) -> (usize, u64) {
        let hash = piece.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let word = usize::try_from(hash >> 32).unwrap_or(0) & (self.marks.len() - 1);
        (word, 1 << (hash >> 26 & 63))
    }

    /// Blots the secret out of what a peer said. Its length stays, so a reply stays a reply. A short secret stays: it may
    /// be the name of a field.
    pub(in crate::probe) fn blot(&self, bytes: &mut [u8]) {
        if self.pieces.is_empty() {
            return;
        }
        let mut piece = 0;
        let mut blotted = 0;
        for end in 1..=bytes.len() {
            // What is blotted is read before it is: pieces overlap.
            piece = push(piece, bytes[end - 1]);
            let (word, bit) = self.mark(piece);
            if end < TELLING || self.marks[word] & bit == 0 {
                continue;
            }
            if self.pieces.binary_search(&piece).is_ok() {
                bytes[blotted.max(end - TELLING)..end].fill(BLOT);
                blotted = end;
            }
        }
    }

    /// A text without the secret.
    pub(in crate::probe) fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        changed(text, |bytes| self.blot(bytes))
    }

    /// What a peer answered, without the secret, be it a short one: a server repeats what it was told.
    pub(in crate::probe) fn words<'a>(&self, text: &'a str) -> Cow<'a, str> {
        changed(text, |bytes| {
            self.blot(bytes);
            for short in &self.short {
                blot_short(short, bytes);
            }
        })
    }

    /// A fault in such words.
    pub(in crate::probe) fn fault(&self, fault: Fault) -> Fault {
        match self.words(fault.detail.as_str()) {
            Cow::Borrowed(_) => fault,
            Cow::Owned(words) => Fault::new(fault.stage, fault.kind, words),
        }
    }

    /// The same for all that was seen on one leg.
    pub(in crate::probe) fn leg(&self, leg: &mut Leg) {
        leg.fault = leg.fault.take().map(|fault| self.fault(fault));
        leg.notes = std::mem::take(&mut leg.notes).into_iter().map(|note| self.fault(note)).collect();
        if let Some(session) = &mut leg.tls {
            self.session(session);
        }
    }

    /// The same for a session of TLS.
    pub(in crate::probe) fn session(&self, session: &mut TlsSession) {
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

/// The text after `blot` has gone over its bytes.
fn changed(text: &str, blot: impl FnOnce(&mut [u8])) -> Cow<'_, str> {
    let mut bytes = text.as_bytes().to_vec();
    blot(&mut bytes);
    if bytes == text.as_bytes() {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// The last [`TELLING`] bytes, one after another.
fn push(piece: u64, byte: u8) -> u64 {
    (piece << 8) | u64::from(byte.to_ascii_lowercase())
}

/// How a secret may be shown: as it is; spelled out, as [`WireText`] does with odd letters; and, where it is more than ASCII, in
/// lower and in upper case.
fn forms(secret: &str) -> impl Iterator<Item = Zeroizing<String>> {
    let mut forms = vec![secret.to_owned(), WireText::new(secret).as_str().to_owned()];
    if !secret.is_ascii() {
        for cased in [secret.to_lowercase(), secret.to_uppercase()] {
            forms.push(WireText::new(&cased).as_str().to_owned());
            forms.push(cased);
        }
    }
    forms.into_iter().map(Zeroizing::new)
}

fn blot_short(secret: &[u8], bytes: &mut [u8]) {
    let length = secret.len();
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
        Withheld::of([&Secret::new(secret.to_owned())])
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
        Withheld::of([]).blot(&mut bytes);
        assert_eq!(bytes, b"as it is");
        // As it is shown: spelled out where a letter is odd, and in another case.
        let odd = "pa\u{308}sswo\u{308}rter";
        let shown = WireText::new(&format!("-ERR unknown '{odd}'"));
        assert_eq!(
            withheld(odd).words(shown.as_str()),
            format!("-ERR unknown '{}'", "*".repeat(WireText::new(odd).as_str().len()))
        );
        let upper = "СЕКРЕТНЫЙКЛЮЧ";
        assert_eq!(withheld(&upper.to_lowercase()).words(upper), "*".repeat(upper.len()));
    }

    #[test]
    fn a_key_that_was_replaced_is_withheld_as_well() {
        let secret = |text: &str| Secret::new(text.to_owned());
        let mut sent = Sent::default();
        let shown = |withheld: &Withheld, text: &str| withheld.text(text).into_owned();
        let first = sent.and(&secret("the-primary-key"));
        assert!(Arc::ptr_eq(&first, &sent.and(&secret("the-primary-key"))), "nothing is made anew");
        let both = sent.and(&secret("a-second-one"));
        assert_eq!(shown(&both, "the-primary-key a-second-one"), "*************** ************");
        assert!(Arc::ptr_eq(&both, &sent.and(&secret("the-primary-key"))), "nor where two take turns");
        assert!(Arc::ptr_eq(&both, &sent.withheld()));
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
