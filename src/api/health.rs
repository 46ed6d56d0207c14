//! `/healthz` and `/healthz/{cache}`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::model::{Finding, Pending, Refusal, Severity, Standing, Timestamp};

/// How the caches are. Words that a later version may have others of are text.
#[derive(Debug, Serialize, Deserialize)]
pub struct Health<'a> {
    /// Whether no cache is ill or unknown, and the daemon judges.
    pub healthy: bool,
    /// The caches that were asked for.
    pub caches: Vec<CacheHealth<'a>>,
    /// A newer configuration that is not in use; null where there is none.
    #[serde(default)]
    pub configuration_refused: Option<Refusal>,
}

/// How one cache is.
#[derive(Debug, Serialize, Deserialize)]
pub struct CacheHealth<'a> {
    /// Its name.
    pub cache: Cow<'a, str>,
    /// How it fares.
    pub standing: Standing,
    /// When its last probe began.
    pub probed_at: Option<Timestamp>,
    /// Its open findings, the deepest cause first.
    pub findings: Vec<FindingSummary<'a>>,
    /// What was seen and has not been seen often enough to be a finding.
    #[serde(default, rename = "doubts")]
    pub pending: Vec<PendingSummary<'a>>,
    /// When the next probe is due, where that is known.
    #[serde(default)]
    pub next_probe_at: Option<Timestamp>,
}

/// A finding in few words: what gates on it needs no remedy.
#[derive(Debug, Serialize, Deserialize)]
pub struct FindingSummary<'a> {
    /// Its id.
    pub finding: Cow<'a, str>,
    /// How bad it is.
    pub severity: Severity,
    /// Where on the path it was seen.
    pub stage: Cow<'a, str>,
    /// What is wrong, in one sentence.
    pub summary: Cow<'a, str>,
    /// When it was first seen.
    pub since: Timestamp,
}

/// A condition on its way to become a finding, in few words.
#[derive(Debug, Serialize, Deserialize)]
pub struct PendingSummary<'a> {
    /// The id of the finding it would be.
    pub finding: Cow<'a, str>,
    /// How bad it would be.
    pub severity: Severity,
    /// Where on the path it was seen.
    pub stage: Cow<'a, str>,
    /// What is wrong, in one sentence.
    pub summary: Cow<'a, str>,
    /// Bad rounds so far.
    pub bad_rounds: u32,
    /// With so many in a row it opens.
    pub open_after: u32,
}

impl<'a> From<&'a Finding> for FindingSummary<'a> {
    fn from(finding: &'a Finding) -> Self {
        Self {
            finding: finding.id.as_str().into(),
            severity: finding.severity,
            stage: finding.stage.as_str().into(),
            summary: (&finding.summary).into(),
            since: finding.since,
        }
    }
}

impl<'a> From<&'a Pending> for PendingSummary<'a> {
    fn from(pending: &'a Pending) -> Self {
        Self {
            finding: pending.finding.as_str().into(),
            severity: pending.severity,
            stage: pending.stage.as_str().into(),
            summary: (&pending.summary).into(),
            bad_rounds: pending.bad_rounds,
            open_after: pending.open_after,
        }
    }
}
