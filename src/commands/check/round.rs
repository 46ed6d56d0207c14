//! One round, for a person or a script: the same probe and the same judgement as the daemon's, printed.

use std::io::{self, Write};
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use serde::Serialize;

use crate::api::Versioned;
use crate::config::Config;
use crate::judge::Watch;
use crate::model::{Cache, CacheName, Clients, FaultKind, Finding, Observation, ProbeReport, Rules, Standing};
use crate::probe::Prober;

/// One cache, checked once.
#[derive(Debug)]
pub(super) struct Checked {
    /// The cache, as it is configured.
    pub(super) cache: Arc<Cache>,
    /// What was seen.
    pub(super) report: Arc<ProbeReport>,
    /// What is wrong, the deepest cause first. One round is all there is, so each condition counts at once.
    pub(super) findings: Vec<Finding>,
}

impl Checked {
    /// What the findings come to; unknown where there was no resolver at all, or where the probe itself broke.
    #[must_use]
    pub(super) fn standing(&self) -> Standing {
        let untold = [FaultKind::NoResolver, FaultKind::Internal];
        if self.report.faults().any(|fault| untold.contains(&fault.kind)) {
            return Standing::Unknown;
        }
        Standing::of(&self.findings)
    }
}

/// Checks each of these caches once, several at a time. What one says may depend on whether the others are reached, so
/// they are judged together.
pub(super) async fn check(config: &Config, caches: Vec<Arc<Cache>>) -> Vec<Checked> {
    let prober = Prober::new(&config.system);
    let walks = stream::iter(caches).map(async |cache| {
        let report = prober.walk_with_exposure(&cache).await;
        (cache, Arc::new(report))
    });
    let walked: Vec<_> = walks.buffered(config.probe.max_in_flight).collect().await;
    let reached: Vec<_> = walked.iter().map(|(_, report)| report.reached_anything()).collect();
    let others_reach = |own: usize| reached.iter().enumerate().any(|(index, reached)| index != own && *reached);
    let judged = walked.into_iter().enumerate();
    judged.map(|(index, (cache, report))| judge_one(cache, report, others_reach(index))).collect()
}

fn judge_one(cache: Arc<Cache>, report: Arc<ProbeReport>, others_reach: bool) -> Checked {
    let at_once = Cache { rules: Rules { open_after: 1, clear_after: 1 }, ..(*cache).clone() };
    let mut watch = Watch::default();
    // The events of a first and only round are its findings over again.
    let _ = watch.observe(&at_once, &Observation::Probe(Arc::clone(&report)), others_reach);
    Checked { findings: watch.open(), cache, report }
}

/// Writes everything that was seen and found, as one JSON document.
///
/// # Errors
/// Where the output cannot be written.
pub(super) fn print_json(out: &mut impl Write, checked: &[Checked]) -> io::Result<()> {
    #[derive(Serialize)]
    struct Document<'checked> {
        caches: Vec<Entry<'checked>>,
    }
    #[derive(Serialize)]
    struct Entry<'checked> {
        cache: &'checked CacheName,
        host: &'checked str,
        port: u16,
        standing: Standing,
        findings: &'checked [Finding],
        clients: Option<Clients>,
        connect_to: Vec<String>,
        report: &'checked ProbeReport,
    }
    fn entry(checked: &Checked) -> Entry<'_> {
        let Checked { cache, report, findings } = checked;
        Entry {
            cache: &cache.name,
            host: &cache.host,
            port: cache.port,
            standing: checked.standing(),
            findings,
            clients: cache.busiest(report).and_then(|(.., clients)| clients),
            connect_to: cache.connect_to.iter().map(ToString::to_string).collect(),
            report,
        }
    }
    let document = Document { caches: checked.iter().map(entry).collect() };
    serde_json::to_writer_pretty(&mut *out, &Versioned::new(document)).map_err(io::Error::from)?;
    writeln!(out)
}
