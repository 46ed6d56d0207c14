//! From what one round saw to the causes behind it.
//!
//! A family of findings has a file: the rows that explain them, above the code that detects them.

mod auth;
mod bent;
mod case;
mod certificate;
mod commands;
mod configured;
mod connection;
mod coverage;
mod drift;
mod exposure;
mod info;
mod lookup;
mod machine;
mod name_server;
mod placement;
mod resolvers;
mod rule;
mod server;
mod slow;
mod tls;

pub use commands::Commands;
pub use machine::{probes_skipped, tcp_tuning};
pub use rule::Rule;

use self::case::{Case, Diagnosis};
use self::coverage::Covered;
use super::memory::Memory;
use crate::model::{Cache, FindingId, Observation, Source};

/// Every finding, in the order of the path.
pub static CATALOGUE: [&Rule; FindingId::ALL.len()] = rule::catalogue(&[
    configured::RULES,
    bent::RULES,
    placement::FAMILY,
    lookup::NOWHERE,
    placement::RULES,
    drift::MOVED,
    resolvers::RULES,
    lookup::RULES,
    slow::RULES,
    drift::TTL,
    connection::RULES,
    exposure::RULES,
    machine::EXHAUSTION,
    tls::RULES,
    certificate::RULES,
    tls::UNEXPLAINED,
    exposure::LEGACY_TLS,
    auth::RULES,
    server::RULES,
    info::RULES,
    machine::RULES,
]);

/// The row of a finding.
///
/// # Panics
/// Never: every id has a row, which is checked when this program is compiled.
#[must_use]
pub fn explain(id: FindingId) -> &'static Rule {
    CATALOGUE.into_iter().find(|rule| rule.id == id).expect("every id has a row")
}

/// The ids most like `text`, the nearest first, at most three.
#[must_use]
pub fn nearest(text: &str) -> Vec<&'static str> {
    let wanted = text.trim().to_ascii_lowercase();
    let mut ids: Vec<_> =
        FindingId::ALL.iter().map(|id| (strsim::damerau_levenshtein(&wanted, id.as_str()), id.as_str())).collect();
    ids.sort_unstable();
    ids.into_iter().take(3).map(|(_, id)| id).collect()
}

/// The causes that one observation shows, as far as it goes.
pub(super) fn diagnose(cache: &Cache, seen: &Observation, memory: &Memory, others_reach: bool) -> Diagnosis {
    let mut diagnosis = Diagnosis::default();
    let Some(case) = Case::of(cache, seen) else { return diagnosis };
    if let Some(report) = case.probe {
        if let Some(offline) = machine::offline(&case, report, others_reach) {
            // Whatever else failed follows from this, and says nothing about the cache.
            return Diagnosis { findings: vec![offline], ..diagnosis };
        }
        diagnosis.covered = Covered::by(cache, report);
    }
    if let Some(fault) = &case.lookup.fault {
        diagnosis.findings.push(machine::probe_failed(&case, fault));
        return diagnosis;
    }
    configured::diagnose(&case, &mut diagnosis);
    resolution(&case, memory, &mut diagnosis);
    connection::diagnose(&case, &mut diagnosis);
    tls::diagnose(&case, memory, &mut diagnosis);
    certificate::diagnose(&case, &mut diagnosis);
    server::diagnose(&case, &mut diagnosis);
    info::diagnose(&case, memory, &mut diagnosis);
    exposure::diagnose(&case, &mut diagnosis);
    diagnosis.merge();
    diagnosis
}

/// The causes in what the resolvers said.
fn resolution(case: &Case<'_>, memory: &Memory, diagnosis: &mut Diagnosis) {
    let Some(followed) = case.lookup.followed() else { return };
    match &followed.fault {
        Some(fault) => lookup::diagnose(case, followed, fault, diagnosis),
        // An address was configured, and nothing was asked.
        None if followed.source == Source::Literal => return,
        None => {
            placement::diagnose(case, followed, diagnosis);
            drift::diagnose(case, followed, memory, diagnosis);
            slow::diagnose(case, followed, diagnosis);
        }
    }
    resolvers::diagnose(case, memory, diagnosis);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finding_is_explained_once() {
        let mut explained: Vec<_> = CATALOGUE.iter().map(|rule| rule.id).collect();
        explained.sort_unstable();
        assert_eq!(explained, FindingId::ALL);
        for rule in CATALOGUE {
            assert!(!rule.steps(&Commands::sample()).is_empty(), "{} tells nobody what to do", rule.id);
            for text in [rule.title, rule.means, rule.told_apart, rule.on_the_wire, rule.severity] {
                assert!(!text.is_empty() && !text.contains("  "), "{}: {text:?}", rule.id);
            }
        }
    }
}
