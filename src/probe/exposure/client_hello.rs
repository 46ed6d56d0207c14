//! The `ClientHello` of a TLS version that is retired, and the answers to it.
//!
//! No library here speaks TLS 1.0 or 1.1, and none is needed: whether a server takes a version shows in its first message,
//! before there is anything to encrypt.

use crate::model::LegacyVersion;

/// The longest beginning of an answer that is looked at: its first message, behind a few warnings.
pub(super) const LONGEST_RESPONSE: usize = 1024;

/// What a server answers a `ClientHello` with, as far as it decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServerResponse {
    /// A `ServerHello` that chooses this version: `(3, 1)` is TLS 1.0.
    Chosen(u8, u8),
    /// An alert that ends the handshake.
    Alert(u8),
    /// Not TLS, or not the beginning of a handshake.
    Foreign,
}

/// The records' content types and the handshake's message types that matter here (RFC 2246, 6.2.1 and 7.4).
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const WARNING: u8 = 1;
const CLOSE_NOTIFY: u8 = 0;

/// Suites that servers of that time have in common, with every kind of certificate: ECDHE with ECDSA and RSA, DHE, plain
/// RSA, and 3DES for the oldest. The last is no suite: it says that renegotiation is known to be dangerous (RFC 5746).
const SUITES: [u16; 13] =
    [0xc009, 0xc00a, 0xc013, 0xc014, 0xc008, 0xc012, 0x0033, 0x0039, 0x002f, 0x0035, 0x0016, 0x000a, 0x00ff];

/// X25519, P-256, P-384 and P-521.
const CURVES: [u16; 4] = [0x001d, 0x0017, 0x0018, 0x0019];

/// The version as it stands on the wire.
pub(super) const fn on_the_wire(version: LegacyVersion) -> (u8, u8) {
    match version {
        LegacyVersion::Tls10 => (3, 1),
        LegacyVersion::Tls11 => (3, 2),
    }
}

/// A `ClientHello` that offers nothing newer than `version`, with the name of the server where it is a name.
pub(super) fn encode(version: LegacyVersion, server_name: Option<&str>) -> Vec<u8> {
    let (major, minor) = on_the_wire(version);
    let mut body = vec![major, minor];
    // The handshake ends before a key could be made of these, so anything will do.
    body.extend([0x5a; 32]);
    // No session to resume.
    body.push(0);
    sized(&mut body, |suites| suites.extend(SUITES.iter().flat_map(|suite| suite.to_be_bytes())));
    // No compression.
    body.extend([1, 0]);
    sized(&mut body, |extensions| {
        if let Some(name) = server_name {
            extension(extensions, 0, |list| {
                sized(list, |entry| {
                    entry.push(0);
                    sized(entry, |text| text.extend(name.as_bytes()));
                });
            });
        }
        extension(extensions, 10, |groups| {
            sized(groups, |list| list.extend(CURVES.iter().flat_map(|curve| curve.to_be_bytes())));
        });
        // Points as they are, without compression.
        extension(extensions, 11, |formats| formats.extend([1, 0]));
    });
    let mut message = vec![CLIENT_HELLO, 0];
    sized(&mut message, |inner| inner.append(&mut body));
    // The record says TLS 1.0 whatever is offered, as every client does.
    let mut record = vec![HANDSHAKE, 3, 1];
    sized(&mut record, |inner| inner.append(&mut message));
    record
}

/// Appends what `fill` writes, behind its length in two bytes. All that is written here is far shorter than these can say:
/// a host name has at most 253 letters.
fn sized(into: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    fill(&mut inner);
    inner.truncate(usize::from(u16::MAX));
    into.extend(u16::try_from(inner.len()).unwrap_or(u16::MAX).to_be_bytes());
    into.append(&mut inner);
}

fn extension(into: &mut Vec<u8>, number: u16, fill: impl FnOnce(&mut Vec<u8>)) {
    into.extend(number.to_be_bytes());
    sized(into, fill);
}

/// What these bytes, the first of a server, come to; `None` while they do not decide.
pub(super) fn response(mut bytes: &[u8]) -> Option<ServerResponse> {
    loop {
        let (kind, length, rest) = match bytes {
            [kind @ (ALERT | HANDSHAKE), 3, _, high, low, rest @ ..] => {
                (*kind, u16::from_be_bytes([*high, *low]), rest)
            }
            // The head of a record is not whole yet.
            [] | [ALERT | HANDSHAKE] | [ALERT | HANDSHAKE, 3, ..] => return None,
            _ => return Some(ServerResponse::Foreign),
        };
        if kind == HANDSHAKE {
            // A message may be cut into records, and no server cuts its first one within six bytes.
            return match rest {
                _ if length < 6 => Some(ServerResponse::Foreign),
                [message, ..] if *message != SERVER_HELLO => Some(ServerResponse::Foreign),
                [_, _, _, _, major, minor, ..] => Some(ServerResponse::Chosen(*major, *minor)),
                _ => None,
            };
        }
        match rest {
            // An alert in the clear has two bytes, and before the first message there is no other.
            _ if length != 2 => return Some(ServerResponse::Foreign),
            // That the name is unknown, for example: the handshake goes on.
            [WARNING, description, rest @ ..] if *description != CLOSE_NOTIFY => bytes = rest,
            [_, description, ..] => return Some(ServerResponse::Alert(*description)),
            _ => return None,
        }
    }
}

/// The name of an alert that refuses a version or a suite; its number for the others (RFC 5246, 7.2).
pub(super) fn alert_name(description: u8) -> String {
    match description {
        CLOSE_NOTIFY => "close_notify".to_owned(),
        40 => "handshake_failure".to_owned(),
        70 => "protocol_version".to_owned(),
        71 => "insufficient_security".to_owned(),
        80 => "internal_error".to_owned(),
        112 => "unrecognized_name".to_owned(),
        other => format!("number {other}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A record of that kind.
    fn record(kind: u8, minor: u8, fragment: &[u8]) -> Vec<u8> {
        let mut record = vec![kind, 3, minor];
        sized(&mut record, |inner| inner.extend(fragment));
        record
    }

    fn server_hello(minor: u8) -> Vec<u8> {
        record(HANDSHAKE, minor, &[&[SERVER_HELLO, 0, 0, 70, 3, minor][..], &[0; 68]].concat())
    }

    #[test]
    fn a_hello_is_as_the_standard_has_it() {
        let hello = encode(LegacyVersion::Tls11, Some("orders.test"));
        assert_eq!(hello[..3], [22, 3, 1]);
        assert_eq!(usize::from(u16::from_be_bytes([hello[3], hello[4]])), hello.len() - 5);
        assert_eq!(hello[5..7], [1, 0]);
        assert_eq!(usize::from(u16::from_be_bytes([hello[7], hello[8]])), hello.len() - 9);
        assert_eq!(hello[9..11], [3, 2]);
        // Behind the random bytes, the session and the suites come the compression and the name.
        let after = 11 + 32 + 1 + 2 + 2 * SUITES.len();
        let name = [&[0, 0, 0, 16, 0, 14, 0, 0, 11][..], b"orders.test"].concat();
        assert_eq!(hello[after..after + 2], [1, 0]);
        assert_eq!(hello[after + 4..after + 4 + name.len()], name);
        let nameless = encode(LegacyVersion::Tls10, None);
        assert_eq!((nameless[9..11].to_vec(), nameless.len()), (vec![3, 1], hello.len() - name.len()));
    }

    #[test]
    fn each_answer_is_what_it_says() {
        let unknown_name = record(ALERT, 1, &[WARNING, 112]);
        let table = [
            (server_hello(1), Some(ServerResponse::Chosen(3, 1))),
            (server_hello(2), Some(ServerResponse::Chosen(3, 2))),
            (record(ALERT, 1, &[2, 70]), Some(ServerResponse::Alert(70))),
            (record(ALERT, 1, &[WARNING, CLOSE_NOTIFY]), Some(ServerResponse::Alert(0))),
            ([unknown_name.clone(), server_hello(1)].concat(), Some(ServerResponse::Chosen(3, 1))),
            (unknown_name, None),
            (b"-ERR unknown command\r\n".to_vec(), Some(ServerResponse::Foreign)),
            (b"HTTP/1.1 400 Bad Request\r\n".to_vec(), Some(ServerResponse::Foreign)),
            (record(HANDSHAKE, 1, &[SERVER_HELLO, 0]), Some(ServerResponse::Foreign)),
            (record(HANDSHAKE, 1, &[0; 20]), Some(ServerResponse::Foreign)),
            (record(ALERT, 1, &[0; 40]), Some(ServerResponse::Foreign)),
            (vec![], None),
        ];
        for (bytes, expected) in table {
            assert_eq!(response(&bytes), expected, "{bytes:?}");
        }
    }

    /// Something like the beginning of an answer: records whole, cut and garbled.
    fn answers() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            (0_u8..4).prop_map(server_hello),
            (any::<u8>(), any::<u8>()).prop_map(|(level, description)| record(ALERT, 1, &[level, description])),
            (20_u8..24, prop::collection::vec(any::<u8>(), 0..8)).prop_map(|(kind, bytes)| record(kind, 1, &bytes)),
            prop::collection::vec(any::<u8>(), 0..8),
        ];
        prop::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
    }

    proptest! {
        /// However the bytes arrive, they come to the same.
        #[test]
        fn an_answer_that_is_decided_stays(bytes in answers()) {
            let whole = response(&bytes);
            for end in 0..bytes.len() {
                let part = response(&bytes[..end]);
                prop_assert!(part.is_none() || part == whole, "{:?} of {:?} says {part:?}", end, bytes);
            }
        }

        #[test]
        fn a_hello_is_one_record_whatever_the_name(name in "[a-z.-]{0,253}") {
            let hello = encode(LegacyVersion::Tls10, Some(&name));
            prop_assert_eq!(usize::from(u16::from_be_bytes([hello[3], hello[4]])), hello.len() - 5);
        }
    }
}
