//! The known name that was probably meant.

/// The known name nearest to `wanted`: a few letters away, or one that contains it or is contained in it.
pub(super) fn nearest<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = wanted.to_ascii_lowercase();
    let length = wanted.chars().count();
    let mut best: Option<(usize, &str)> = None;
    for name in known {
        let lower = name.to_ascii_lowercase();
        let distance = strsim::damerau_levenshtein(&wanted, &lower);
        let shorter = length.min(lower.chars().count());
        let is_part = shorter >= 3 && (lower.contains(&wanted) || wanted.contains(&lower));
        if (is_part || distance <= (length / 3).max(1)) && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, name));
        }
    }
    best.map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_that_is_near_is_suggested() {
        let known = ["interval", "timeout", "private_endpoint"];
        for (wanted, expected) in [
            ("intervall", Some("interval")),
            ("timeuot", Some("timeout")),
            ("private", Some("private_endpoint")),
            ("Interval", Some("interval")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(wanted, known), expected, "{wanted}");
        }
    }
}
