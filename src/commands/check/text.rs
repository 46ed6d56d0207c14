//! One round as text: a line a stage, then the verdict and what to do.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::round::Checked;
use crate::azure::{self, Cloud, Product};
use crate::judge;
use crate::model::{
    Auth, Cache, ExposureReport, Fault, Finding, Isolation, Leg, LegacyVersion, Opening, Passage, Resolution, Severity,
    Source, Stage, Standing, Step, Timestamp, TlsSession,
};
use crate::style::Style;

/// The column where the words of a stage begin; what does not fit goes on below them.
const WORDS: usize = 28;

/// The column where the words of a finding's observations begin.
const OBSERVATION: usize = 10;

/// Prints one checked cache.
///
/// # Errors
/// Where the output cannot be written.
pub(super) fn print(out: &mut impl Write, checked: &Checked, style: Style) -> io::Result<()> {
    let Checked { cache, report, findings } = checked;
    let head = format!("{}  ", style.strong(&cache.endpoint()));
    style.write(out, &head, 2, &title(cache))?;
    let lookup = &report.lookup;
    for resolution in &lookup.resolutions {
        let followed = lookup.resolutions.len() > 1 && lookup.followed() == Some(resolution);
        print_resolution(out, cache, resolution, followed, style)?;
    }
    if lookup.resolutions.len() > 1 {
        print_answers(out, &lookup.resolutions, style)?;
    }
    for leg in &report.legs {
        print_leg(out, cache, leg, lookup.at, style)?;
    }
    if let Some(exposure) = &report.exposure {
        print_exposure(out, exposure, lookup.at, style)?;
    }
    writeln!(out)?;
    print_verdict(out, checked, style)?;
    for finding in findings {
        print_finding(out, finding, style)?;
    }
    writeln!(out)
}

/// What is known of the cache before the first packet.
fn title(cache: &Cache) -> String {
    let endpoint = azure::identify(&cache.host);
    let mut parts = Vec::new();
    if cache.name.as_str() != cache.host {
        parts.push(format!("cache {}", cache.name));
    }
    match endpoint.product {
        Product::Other => parts.push("not an Azure name".to_owned()),
        product if endpoint.cloud == Cloud::Public => parts.push(product.title().to_owned()),
        product => parts.push(format!("{}, {} cloud", product.title(), endpoint.cloud)),
    }
    match cache.expectation.isolation {
        Some(Isolation::PrivateEndpoint) => parts.push("a private endpoint is expected".to_owned()),
        Some(Isolation::VnetInjected) => parts.push("an address inside the network is expected".to_owned()),
        Some(Isolation::Public) => parts.push("a public address is expected".to_owned()),
        None => {}
    }
    if !cache.expectation.addresses.is_empty() {
        let networks: Vec<_> = cache.expectation.addresses.iter().map(ToString::to_string).collect();
        parts.push(format!("expected in {}", networks.join(", ")));
    }
    parts.join(" · ")
}

/// One line of the path.
fn line(
    out: &mut impl Write,
    style: Style,
    stage: Stage,
    took: Option<Duration>,
    fault: Option<&Fault>,
    words: &str,
) -> io::Result<()> {
    let mark = match fault {
        None => style.good("ok    "),
        Some(_) => style.bad("FAILED"),
    };
    let took = took.map_or_else(|| " ".repeat(9), |took| format!("{:>6.1} ms", took.as_secs_f64() * 1000.0));
    let words = fault.map_or(words, |fault| fault.detail.as_str());
    style.write(out, &format!("  {stage:<8} {mark} {took} "), WORDS, words)
}

/// One resolver's answer. `followed` is said where there are several, and the connection follows this one.
fn print_resolution(
    out: &mut impl Write,
    cache: &Cache,
    resolution: &Resolution,
    followed: bool,
    style: Style,
) -> io::Result<()> {
    let fault = resolution.fault.as_ref();
    line(out, style, Stage::Resolve, Some(resolution.took), fault, &judge::path(resolution))?;
    if fault.is_some() && !resolution.chain.is_empty() {
        below(out, style, &judge::path(resolution))?;
    }
    let mut remarks = vec![judge::who(resolution)];
    if followed {
        remarks.push("the connection follows this answer".to_owned());
    }
    if resolution.searched {
        remarks.push(format!("the search list changed the name to {}", resolution.name));
    }
    if resolution.source == Source::Dns && resolution.has_privatelink_alias() {
        remarks.push("a private endpoint exists (privatelink alias)".to_owned());
    }
    if cache.expectation.is_asserted() && fault.is_none() {
        let as_expected = cache.expectation.is_met_by(resolution);
        remarks.push(if as_expected { style.good("as expected") } else { style.bad("NOT as expected") });
    }
    below(out, style, &remarks.join("; "))
}

/// What several resolvers answered: each set of addresses with the resolvers that gave it, and its TTL there.
fn print_answers(out: &mut impl Write, resolutions: &[Resolution], style: Style) -> io::Result<()> {
    let mut answers: Vec<(Vec<IpAddr>, String, Vec<String>)> = Vec::new();
    let mut silent = Vec::new();
    for resolution in resolutions {
        let name = &resolution.resolver;
        if let Some(fault) = &resolution.fault {
            silent.push(format!("{name} ({})", fault.kind));
            continue;
        }
        let who = match resolution.smallest_ttl() {
            Some(ttl) => format!("{name} (TTL {ttl}s)"),
            None => format!("{name} ({})", resolution.source),
        };
        let addresses = resolution.sorted_addresses();
        if let Some((.., says)) = answers.iter_mut().find(|(known, ..)| *known == addresses) {
            says.push(who);
        } else {
            let shown = resolution.addresses.iter().map(|answer| format!("{} ({})", answer.address, answer.class));
            answers.push((addresses, shown.collect::<Vec<_>>().join(", "), vec![who]));
        }
    }
    let mark = match (answers.len(), silent.is_empty()) {
        (1, true) => style.good("agree "),
        (0 | 1, _) => style.doubtful("partly"),
        _ => style.bad("differ"),
    };
    let mut lines: Vec<_> = answers.iter().map(|(_, shown, says)| format!("{shown}: {}", says.join(", "))).collect();
    if !silent.is_empty() {
        lines.push(format!("no address: {}", silent.join(", ")));
    }
    let head = format!("  {:<8} {mark} {:9} ", "answers", "");
    for (index, words) in lines.iter().enumerate() {
        if index == 0 { style.write(out, &head, WORDS, words)? } else { below(out, style, words)? }
    }
    Ok(())
}

/// A line of words under those of its stage.
fn below(out: &mut impl Write, style: Style, words: &str) -> io::Result<()> {
    style.write(out, &" ".repeat(WORDS), WORDS, words)
}

fn print_leg(out: &mut impl Write, cache: &Cache, leg: &Leg, at: Timestamp, style: Style) -> io::Result<()> {
    let redirected = if leg.is_redirected(cache.port) {
        style.doubtful(&format!(" → dialled as {} (connect_to)", leg.dialled))
    } else {
        String::new()
    };
    let fault_at = |stage| leg.fault.as_ref().filter(|fault| fault.stage == stage);
    for (stage, took) in leg.timings.iter() {
        let words = match stage {
            Stage::Connect => {
                format!("{} ({}){redirected}", SocketAddr::new(leg.address, cache.port), leg.class)
            }
            Stage::Tls => leg.tls.as_ref().map_or_else(String::new, |session| tls(session, at)),
            Stage::Auth => match &cache.auth {
                Auth::AccessKey { username: Some(user), .. } => format!("password of user {user}"),
                Auth::AccessKey { .. } => "access key".to_owned(),
                Auth::None | Auth::Withheld => String::new(),
            },
            Stage::Ping if leg.wants_key => Leg::WANTS_KEY.to_owned(),
            Stage::Ping => "PONG".to_owned(),
            Stage::Inspect => {
                leg.server.as_ref().map_or_else(String::new, |facts| judge::server(facts, cache.clients(facts)))
            }
            Stage::Resolve => String::new(),
        };
        let note = leg.notes.iter().find(|note| note.stage == stage);
        line(out, style, stage, Some(took), fault_at(stage).or(note), &words)?;
        if stage == Stage::Connect && fault_at(stage).is_some() && !redirected.is_empty() {
            below(out, style, redirected.trim_start())?;
        }
        if stage == Stage::Tls
            && fault_at(stage).is_some()
            && let Some(session) = &leg.tls
        {
            below(out, style, &tls(session, at))?;
        }
    }
    // A stage that failed before it began, such as a password that cannot be read, has no time.
    match &leg.fault {
        Some(fault) if leg.timings.of(fault.stage).is_none() => line(out, style, fault.stage, None, Some(fault), ""),
        _ => Ok(()),
    }
}

/// What was tested beside the path, a line a test.
fn print_exposure(out: &mut impl Write, exposure: &ExposureReport, at: Timestamp, style: Style) -> io::Result<()> {
    let head = |mark: &str, took: Duration| format!("  exposure {mark} {:>6.1} ms ", took.as_secs_f64() * 1000.0);
    if let Some(resolution) = &exposure.resolution {
        let (mark, words) = match &resolution.fault {
            None => (style.good("ok    "), judge::path(resolution)),
            Some(fault) => (style.doubtful("unsure"), fault.detail.to_string()),
        };
        style.write(out, &head(&mark, resolution.took), WORDS, &format!("public answer: {words}"))?;
        below(out, style, &judge::who(resolution))?;
        if exposure.trials_of(Opening::PublicPath).next().is_none() {
            below(out, style, "it gives no public address other than those of the path: nothing to test")?;
        }
    }
    for trial in &exposure.trials {
        let mark = match trial.passage {
            Passage::Closed => style.good("closed"),
            Passage::Open => style.bad("OPEN  "),
            Passage::HalfOpen => style.doubtful("OPEN? "),
            Passage::Unclear => style.doubtful("unsure"),
        };
        let what = match (trial.opening, trial.version) {
            (Opening::PublicPath, _) => "public path",
            (Opening::PlainPort, _) => "port without TLS",
            (Opening::LegacyTls, Some(LegacyVersion::Tls10)) => "TLS 1.0",
            (Opening::LegacyTls, _) => "TLS 1.1",
        };
        let place = SocketAddr::new(trial.address, trial.dialled.port());
        let redirected = if trial.dialled.ip() == trial.address {
            String::new()
        } else {
            format!(" → dialled as {} (connect_to)", trial.dialled)
        };
        let words = format!("{what}: {place} ({}){redirected}: {}", trial.class, trial.detail);
        style.write(out, &head(&mark, trial.took), WORDS, &words)?;
        if let Some(session) = &trial.tls {
            below(out, style, &tls(session, at))?;
        }
    }
    Ok(())
}

/// What the handshake showed.
fn tls(session: &TlsSession, at: Timestamp) -> String {
    let mut parts = Vec::new();
    if !session.version.is_empty() {
        parts.push(format!("{}, {}", session.version, session.cipher));
    }
    if let Some(leaf) = session.leaf() {
        let names: Vec<_> = leaf.names.iter().take(3).map(ToString::to_string).collect();
        let more = if leaf.names.len() > names.len() { ", …" } else { "" };
        let covers = if names.is_empty() { "no name".to_owned() } else { format!("{}{more}", names.join(", ")) };
        let left = leaf.not_after.since(at).as_secs() / 86_400;
        let until = if leaf.not_after < at {
            format!("expired on {}", leaf.not_after.date())
        } else {
            format!("{left} days left")
        };
        parts.push(format!("certificate for {covers} from \"{}\", {until}", leaf.issuer));
    }
    parts.join("; ")
}

fn print_verdict(out: &mut impl Write, checked: &Checked, style: Style) -> io::Result<()> {
    let took = format!("{:.1} ms", checked.report.took.as_secs_f64() * 1000.0);
    let reached = if checked.report.succeeded() {
        "every address answered"
    } else {
        "applications here cannot rely on this cache"
    };
    let standing = checked.standing();
    let word = standing.title().to_uppercase();
    let (word, rest) = match standing {
        Standing::Well => (style.good(&word), format!("{reached}, in {took}")),
        Standing::AtRisk => (style.doubtful(&word), format!("{reached}, in {took}; see below")),
        Standing::Ill => (style.bad(&word), format!("{reached}; the root cause is listed first")),
        Standing::Unknown => (style.doubtful(&word), "the health of this cache could not be determined".to_owned()),
    };
    writeln!(out, "  {word}: {rest}")
}

fn print_finding(out: &mut impl Write, finding: &Finding, style: Style) -> io::Result<()> {
    let head = format!("{} (severity {}, {})", finding.id, finding.severity.number(), finding.severity.meaning());
    let head = match finding.severity {
        Severity::Unavailable | Severity::Degraded => style.bad(&head),
        Severity::Risk | Severity::Advice => style.doubtful(&head),
    };
    writeln!(out, "\n  {head}")?;
    style.write(out, "    ", 4, &finding.summary)?;
    for line in &finding.evidence {
        style.write(out, &format!("    {} ", style.faint("seen:")), OBSERVATION, line)?;
    }
    for step in &finding.remedy {
        match step {
            Step::Note(words) => style.write(out, &format!("    {} ", style.faint("note:")), OBSERVATION, words)?,
            // A command stays on one line, so that it can be copied.
            Step::Run(command) => writeln!(out, "    {}  $ {}", style.faint("run:"), style.strong(command))?,
        }
    }
    Ok(())
}
