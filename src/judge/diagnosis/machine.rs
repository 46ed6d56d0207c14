//! Causes in this machine and its network.

use super::Case;
use crate::model::{Finding, FindingId, ProbeReport, Severity, Stage};

/// Nothing is reached from here: not this cache, not the control target, and no other cache.
pub(super) fn offline(case: &Case<'_>, report: &ProbeReport, others_reach: bool) -> Option<Finding> {
    let cache = case.cache;
    if report.reached_anything() || report.control_reached != Some(false) || others_reach {
        return None;
    }
    let control = cache.control?;
    let summary = format!(
        "this machine is offline: neither {} nor the control target {control} is reached from here, nor any other cache",
        cache.endpoint()
    );
    let finding = case.finding(FindingId::MonitorOffline, Severity::Unavailable, Stage::Connect, summary);
    let faults = report.faults().map(|fault| format!("{} at {}: {}", fault.kind, fault.stage, fault.detail));
    Some(
        finding
            .evidences(faults)
            .evidence(format!("the control target {control} does not accept a connection"))
            .run("ip address; ip route")
            .run(format!("nc -vz -w 5 {} {}", control.ip(), control.port()))
            .note("what the caches would be blamed for is held back until this machine reaches something again")
            .done(),
    )
}
