//! What is kept of every probe, for a curve.

use crate::model::{Cache, ProbeReport, Stage, Timestamp};

/// What one probe came to, in 32 bytes: enough for a curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// When the probe began.
    pub at: Timestamp,
    /// Whether every address answered PING.
    pub succeeded: bool,
    /// How long the slowest PING took, in microseconds; `None` where none was answered.
    pub ping_micros: Option<u32>,
    /// The share of the client limit in use, 0 to 1; `None` where it is not known.
    pub used: Option<f32>,
}

impl Sample {
    pub(super) fn of(cache: &Cache, report: &ProbeReport) -> Self {
        let answered = report.used_legs().filter(|leg| leg.fault.is_none());
        let slowest = answered.filter_map(|leg| leg.timings.of(Stage::Ping)).max();
        let clients = cache.busiest(report).and_then(|(_, _, clients)| clients);
        Self {
            at: report.lookup.at,
            succeeded: report.succeeded(),
            ping_micros: slowest.map(|took| u32::try_from(took.as_micros()).unwrap_or(u32::MAX)),
            used: clients.and_then(|clients| clients.headroom()).map(share_used),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a share of 0 to 1, drawn some pixels high")]
fn share_used(free: f64) -> f32 {
    (1.0 - free) as f32
}
