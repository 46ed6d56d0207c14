//! Names: which are asked for, and which are those of a host.

use super::super::packet::WireName;
use super::version::MuslVersion;

/// The longest that a question can hold, without a dot at its end.
const LONGEST_QUESTION: usize = 253;
const LONGEST_LABEL: usize = 63;

/// A name that cannot be asked for.
pub(super) struct CannotBeAsked;

/// The name as it is asked (`src/network/res_mkquery.c`); `None` where 1.2.3 writes a question that no server can read, for a
/// name with two dots at its end.
pub(super) fn question(name: &[u8], version: MuslVersion) -> Result<Option<String>, CannotBeAsked> {
    let asked = name.strip_suffix(b".").unwrap_or(name);
    let plain = asked.strip_suffix(b".");
    if asked.len() > LONGEST_QUESTION || (plain.is_some() && version > MuslVersion::V1_2_3) {
        return Err(CannotBeAsked);
    }
    let labels = plain.unwrap_or(asked).split(|byte| *byte == b'.');
    if !labels.clone().all(|label| (1..=LONGEST_LABEL).contains(&label.len())) {
        return Err(CannotBeAsked);
    }
    Ok(plain.is_none().then(|| WireName::from_labels(labels).to_text().to_ascii_lowercase()))
}

/// Whether musl takes a name for that of a host (`src/network/lookup_name.c`, `is_valid_hostname`): an underscore is none.
pub(super) fn is_valid_host(name: &[u8]) -> bool {
    let is_valid = |byte: &u8| *byte >= 128 || matches!(byte, b'.' | b'-') || byte.is_ascii_alphanumeric();
    (1..255).contains(&name.len()) && name.iter().all(is_valid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_letters_digits_hyphens_and_dots() {
        assert!(is_valid_host(b"a-1.test") && is_valid_host("ü".as_bytes()));
        assert!(!is_valid_host(b"") && !is_valid_host(b"_a") && !is_valid_host(&[b'a'; 255]));
    }

    #[test]
    fn an_empty_label_cannot_be_asked_for() {
        let asked = |name: &str, version| match question(name.as_bytes(), version) {
            Ok(Some(name)) => name,
            Ok(None) => "malformed".to_owned(),
            Err(CannotBeAsked) => "no".to_owned(),
        };
        let old = |name: &str| asked(name, MuslVersion::V1_2_3);
        assert_eq!(old("Orders.test."), "orders.test");
        assert_eq!(old("a\\b c.test"), "a\\\\b\\032c.test");
        assert_eq!(old("a..b"), "no");
        assert_eq!(old(".a"), "no");
        // The root as a search domain makes such a name.
        assert_eq!(old("a.."), "malformed");
        assert_eq!(asked("a..", MuslVersion::V1_2_4), "no");
        assert_eq!(old(&"a".repeat(64)), "no");
        let long = |last: usize| format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(last));
        assert_eq!(old(&long(61)).len(), 253);
        assert_eq!(old(&format!("{}.", long(61))).len(), 253);
        assert_eq!(old(&long(62)), "no");
    }
}
