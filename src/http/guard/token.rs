//! The token that a request shows which changes state.

use std::fmt;
use std::path::Path;

use axum::http::{HeaderMap, header};
use ring::hmac;
use ring::rand::SystemRandom;
use zeroize::Zeroizing;

use super::error::{FileFault, GuardError};
use super::read;

/// The shortest token that is taken, in characters.
const SHORTEST: usize = 16;

/// What to do about a file that holds none.
const MAKE_ONE: &str = "make one with `openssl rand -hex 32`";

/// The token, as a keyed hash: a dump of our memory shows no token, and comparing takes as long however much of it is
/// right.
pub(crate) struct Token {
    key: hmac::Key,
    tag: hmac::Tag,
}

/// Nothing of it.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    /// The token of a file: its text without the end of its line.
    pub(super) fn read(path: &Path) -> Result<Self, GuardError> {
        let text = Zeroizing::new(read::text(path)?);
        Self::new(text.trim_end_matches(['\r', '\n']))
            .map_err(|words| GuardError(vec![FileFault::new(path, None, words)]))
    }

    fn new(token: &str) -> Result<Self, String> {
        if token.trim().is_empty() {
            return Err(format!("contains no token; {MAKE_ONE}"));
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!(
                "the token contains a space, a line end or a character that is not ASCII (not shown), which a header \
                 cannot carry; {MAKE_ONE}"
            ));
        }
        if token.len() < SHORTEST {
            return Err(format!("the token has {} characters; the minimum is {SHORTEST}; {MAKE_ONE}", token.len()));
        }
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| "this machine gives no random bytes".to_owned())?;
        let tag = hmac::sign(&key, token.as_bytes());
        Ok(Self { key, tag })
    }

    /// Whether a request shows this token; `None` where it shows none at all.
    pub(crate) fn is_shown(&self, headers: &HeaderMap) -> Option<bool> {
        let (scheme, shown) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        let is_bearer = scheme.eq_ignore_ascii_case("bearer");
        is_bearer.then(|| hmac::verify(&self.key, shown.trim().as_bytes(), self.tag.as_ref()).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_enough_and_can_be_sent() {
        for (token, words) in [
            ("", "contains no token"),
            ("  ", "contains no token"),
            ("fifteen-letters", "has 15 characters"),
            ("sixteen letters!", "contains a space"),
            ("sixteen-lettérs!", "not ASCII"),
            ("0123456789abcdef\n0123456789abcdef", "a line end"),
        ] {
            let refused = Token::new(token).unwrap_err();
            assert!(refused.contains(words) && !refused.contains("lett"), "{token:?}: {refused}");
        }
        let token = Token::new("sixteen-letters!").unwrap();
        let shows = |value: &str| {
            let value = value.parse().unwrap();
            token.is_shown(&HeaderMap::from_iter([(header::AUTHORIZATION, value)]))
        };
        assert_eq!(shows("Bearer sixteen-letters!"), Some(true));
        assert_eq!(shows("bearer  sixteen-letters!"), Some(true));
        for wrong in ["Bearer sixteen-letters", "Bearer sixteen-letters!!", "Bearer SIXTEEN-LETTERS!", "Bearer "] {
            assert_eq!(shows(wrong), Some(false), "{wrong}");
        }
        assert_eq!((shows("Basic sixteen-letters!"), shows("sixteen-letters!")), (None, None));
        assert!(token.is_shown(&HeaderMap::new()).is_none() && !format!("{token:?}").contains("sixteen"));
    }
}
