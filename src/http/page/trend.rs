//! Curves of the last probes: what PING took, and how much of the client limit was in use.

use std::collections::VecDeque;
use std::fmt::Write as _;

use maud::{Markup, html};

use super::components;
use crate::sink::{CacheState, Sample};

const WIDTH: f32 = 480.0;
const HEIGHT: f32 = 96.0;
/// Room for what would be cut off: half a line's width, and the marks of failed probes below.
const ABOVE: f32 = 4.0;
const BELOW: f32 = 10.0;

/// Both curves, with the same in words.
pub(super) fn render(recent: &VecDeque<Sample>, warning: f64) -> Markup {
    let failed = recent.iter().filter(|sample| !sample.succeeded).count();
    let pings: Vec<_> = recent.iter().map(|sample| sample.ping_micros.map(micros)).collect();
    let used: Vec<_> = recent.iter().map(|sample| sample.used).collect();
    let mut sorted: Vec<_> = pings.iter().flatten().copied().collect();
    sorted.sort_by(f32::total_cmp);
    let most_used = used.iter().flatten().copied().reduce(f32::max);
    html! {
        figure {
            figcaption {
                strong { "PING" } " "
                @match (sorted.get(sorted.len() / 2), sorted.last()) {
                    (Some(median), Some(worst)) => {
                        "median " (milliseconds(*median)) ", slowest " (milliseconds(*worst))
                    },
                    _ => "never answered",
                }
                @if failed > 0 { ", " strong.fault { (failed) " of " (recent.len()) " probes failed" } }
            }
            (plot(&pings, sorted.last().copied().unwrap_or(1.0).max(1.0), None, recent))
        }
        figure {
            figcaption {
                strong { "Clients" } " "
                @match (used.last().copied().flatten(), most_used) {
                    (Some(last), Some(most)) => { (percent(last)) " of the limit in use, at most " (percent(most)) },
                    (None, Some(most)) => { "not known now, at most " (percent(most)) " of the limit in use" },
                    _ => "not known",
                }
            }
            (plot(&used, 1.0, Some(warning), recent))
        }
        @if let (Some(first), Some(last)) = (recent.front(), recent.back()) {
            p.quiet {
                "From " (components::moment(first.at)) " to " (components::moment(last.at)) ": the last " (recent.len())
                " probes, at most " (CacheState::MOST_SAMPLES) ", since this daemon started."
            }
        }
    }
}

/// A curve that is interrupted where nothing is known, over marks where a probe failed.
fn plot(values: &[Option<f32>], most: f32, line: Option<f64>, recent: &VecDeque<Sample>) -> Markup {
    let steps = position(CacheState::MOST_SAMPLES - 1);
    // The latest stands at the right edge, however few there are.
    let x = |index: usize| WIDTH - position(values.len() - 1 - index) / steps * WIDTH;
    let y = |share: f32| ABOVE + (1.0 - share.clamp(0.0, 1.0)) * (HEIGHT - ABOVE - BELOW);
    let mut path = String::new();
    let mut is_drawing = false;
    for (index, value) in values.iter().enumerate() {
        if let Some(value) = value {
            // Written to a string, which takes everything; a lone point is a line of no length.
            let (x, y) = (x(index), y(value / most));
            let _ = if is_drawing { write!(path, "L{x:.1} {y:.1}") } else { write!(path, "M{x:.1} {y:.1}h.01") };
        }
        is_drawing = value.is_some();
    }
    html! {
        svg.plot viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" aria-hidden="true" {
            rect.ground width=(WIDTH) height=(HEIGHT) {}
            @if let Some(line) = line {
                @let height = format!("{:.1}", y(single(line)));
                path.threshold d={ "M0 " (height) "H" (WIDTH) } {}
            }
            path.curve d=(path) {}
            @for (index, _) in recent.iter().enumerate().filter(|(_, sample)| !sample.succeeded) {
                rect.failure x=(format!("{:.1}", x(index) - 2.0)) y=(HEIGHT - 6.0) width="4" height="6" {}
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a place among 120")]
fn position(index: usize) -> f32 {
    index as f32
}

#[expect(clippy::cast_precision_loss, reason = "a curve is some pixels high")]
fn micros(micros: u32) -> f32 {
    micros as f32
}

#[expect(clippy::cast_possible_truncation, reason = "a share of 0 to 1, drawn some pixels high")]
fn single(share: f64) -> f32 {
    share as f32
}

fn milliseconds(micros: f32) -> String {
    components::took(std::time::Duration::from_secs_f32(micros / 1_000_000.0))
}

fn percent(share: f32) -> String {
    format!("{:.0} %", share * 100.0)
}
