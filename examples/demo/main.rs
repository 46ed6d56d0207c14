//! The demo: a day in the life of two caches, in half a minute, on any machine with a Rust toolchain.
//!
//! ```text
//! cargo build --bin cachewatch --example demo && cargo run --quiet --example demo
//! ```
//!
//! A name server, two caches and their certificates are made in this process; the real `cachewatch` watches them as a
//! child. Each step changes the world and waits until the daemon says what it must say, so the demo is a check as well:
//! it exits with 0 if every step was told rightly, with 1 if not, with 130 if it was interrupted.

mod daemon;
mod redis;
mod screen;
mod story;
mod world;

use std::collections::HashSet;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use cachewatch::clock::Stopwatch;
use clap::Parser;
use testlab::background::Background;
use tokio::signal::unix::{SignalKind, signal};

use crate::daemon::{Daemon, Finding, Said};
use crate::screen::{Paint, Screen};
use crate::story::{Metric, STORY, Step};
use crate::world::World;

/// How long the daemon may take to say what a step waits for.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often the daemon is asked while a step waits for it.
const PAUSE: Duration = Duration::from_millis(50);

/// Shows what cachewatch does, on two caches of its own making.
#[derive(Debug, Parser)]
struct Arguments {
    /// Stop after this step (the last, if none is named) and keep everything running until Ctrl-C
    #[arg(long, value_name = "STEP", value_parser = clap::value_parser!(u64).range(1..=STORY.len() as u64))]
    #[expect(clippy::option_option, reason = "in clap's words: may be given, and then may have a value")]
    hold: Option<Option<u64>>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let last = arguments.hold.flatten().and_then(|step| usize::try_from(step).ok()).unwrap_or(STORY.len());
    let outcome = Demo::new().and_then(|mut demo| {
        let outcome = demo.run(last, arguments.hold.is_some());
        // Ctrl-C reaches the children as well, and may be seen there first: what comes of it is no failure.
        if outcome.is_err() {
            demo.interrupts.pause(PAUSE)?;
        }
        outcome
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Interrupted>() => ExitCode::from(130),
        Err(error) => {
            // Where standard error is closed there is nobody to tell.
            let _ = writeln!(io::stderr().lock(), "\ndemo FAILED: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Everything that runs, in the order in which it ends.
struct Demo {
    screen: Screen,
    daemon: Daemon,
    world: World,
    binary: PathBuf,
    interrupts: Interrupts,
    /// The findings that were shown with evidence and remedy.
    explained: HashSet<String>,
}

/// What a step came to, for the table at the end.
struct Told {
    standing: &'static str,
    findings: String,
    after: Duration,
}

impl Demo {
    fn new() -> anyhow::Result<Self> {
        let interrupts = Interrupts::listen();
        let binary = daemon::binary()?;
        let world = World::new()?;
        let daemon = Daemon::start(&binary, &world)?;
        Ok(Self { screen: Screen::new(), daemon, world, binary, interrupts, explained: HashSet::new() })
    }

    fn run(&mut self, last: usize, hold: bool) -> anyhow::Result<()> {
        self.tell(last)?;
        if hold { self.hold() } else { Ok(self.invite()?) }
    }

    /// Tells the story up to this step.
    fn tell(&mut self, last: usize) -> anyhow::Result<()> {
        self.introduce()?;
        let mut told = Vec::new();
        for (number, step) in (1..=last).zip(&STORY) {
            told.push(self.step(number, step).with_context(|| format!("step {number}, {}", step.title))?);
        }
        Ok(self.sum_up(&told)?)
    }

    fn introduce(&self) -> io::Result<()> {
        let Self { screen, daemon, world, .. } = self;
        let title = "cachewatch: can an application here reach its Azure Redis cache the way it should?";
        screen.words(0, Paint::Strong, title)?;
        screen.blank()?;
        let scene = "An Azure cache with a private endpoint has an address inside your network. Whether an application \
                     uses it is up to DNS, and DNS goes wrong in silence. cachewatch breaks the silence.";
        screen.words(0, Paint::Plain, scene)?;
        screen.blank()?;
        let scene = "Two such caches and their name server run inside this demo; the cachewatch that watches them is the \
                     real program. Nothing leaves this machine, and nothing stays on it.";
        screen.words(0, Paint::Plain, scene)?;
        screen.blank()?;
        let cache = |name, rest| format!("{name:<8}{rest}");
        screen.labelled("caches", Paint::Plain, &cache("orders", "orders.redis.cache.windows.net:6380"))?;
        screen.labelled("", Paint::Plain, &cache("carts", "carts.westeurope.redis.azure.net:10000"))?;
        screen.labelled("status page", Paint::Strong, &daemon.url("/"))?;
        screen.labelled("ask it yourself", Paint::Plain, &format!("curl -s {}", daemon.url("/healthz")))?;
        screen.labelled("", Paint::Plain, &format!("curl -s {}", daemon.url("/api/v1/findings")))?;
        let metrics = format!("curl -s {} | grep finding_open", daemon.url("/metrics"));
        screen.labelled("", Paint::Plain, &metrics)?;
        screen.labelled("configuration, log", Paint::Plain, &world.config_file().to_string_lossy())?;
        screen.labelled("", Paint::Plain, &world.log_file().to_string_lossy())
    }

    fn step(&mut self, number: usize, step: &Step) -> anyhow::Result<Told> {
        let title = format!("{number}/{}  {}", STORY.len(), step.title);
        self.screen.blank()?;
        self.screen.words(0, Paint::Strong, &title)?;
        self.screen.words(5, Paint::Plain, step.told)?;
        self.screen.blank()?;
        (step.act)(&self.world);
        let watch = Stopwatch::start();
        let said = self.wait_for(step)?;
        let after = watch.elapsed();
        self.show(step, &said, after)?;
        if step.check {
            self.check()?;
        }
        let findings: Vec<_> = said.findings.iter().map(|finding| finding.id.as_str()).collect();
        Ok(Told { standing: step.expected.standing, findings: findings.join(", "), after })
    }

    /// Asks until the daemon says what it must.
    fn wait_for(&mut self, step: &Step) -> anyhow::Result<Said> {
        let watch = Stopwatch::start();
        let mut last = None;
        loop {
            match self.daemon.said() {
                Ok(Some(said)) if step.expected.is_met(&said) => return Ok(said),
                Ok(said) => last = said.or(last),
                Err(error) => bail!("{error:#}\n{}", self.log()),
            }
            if watch.elapsed() > PATIENCE {
                let said = last.as_ref().map_or_else(|| "nothing at all".to_owned(), in_full);
                bail!("{}", unsaid(step, &said, &self.log()));
            }
            self.interrupts.pause(PAUSE)?;
        }
    }

    fn log(&self) -> String {
        format!("the end of its log:\n{}", self.daemon.last_words())
    }

    /// What the daemon said, in the places where it said so.
    fn show(&mut self, step: &Step, said: &Said, after: Duration) -> io::Result<()> {
        let screen = &self.screen;
        let took = format!("  cachewatch, {} later", seconds(after));
        screen.line(&screen.paint(Paint::Faint, &took))?;
        let standings: Vec<_> =
            said.health.caches.iter().map(|cache| format!("{} is {}", cache.cache, cache.standing)).collect();
        let health = format!("{}: {}", said.status, standings.join(", "));
        screen.labelled("GET /healthz", paint_of(step.expected.standing), &health)?;
        let mut label = "GET /api/v1/findings";
        if said.findings.is_empty() {
            screen.labelled(label, Paint::Good, "none open")?;
        }
        for finding in &said.findings {
            screen.labelled(label, paint_of_severity(finding.severity), &headline(finding))?;
            screen.labelled("", Paint::Plain, &finding.summary)?;
            // Once is enough, and of two findings the first is the deeper cause.
            if !label.is_empty() && self.explained.insert(finding.id.clone()) {
                explain(screen, finding)?;
            }
            label = "";
        }
        let metric = match step.expected.metric {
            Metric::Reads(series, _) => said.metric(series).unwrap_or_default().to_owned(),
            Metric::Gone(series) => {
                let name = series.split('{').next().unwrap_or(series);
                format!("no {name} for orders: it is not known now")
            }
        };
        screen.labelled("GET /metrics", Paint::Plain, &metric)
    }

    /// What a person on call types, and what the program answers.
    fn check(&self) -> anyhow::Result<()> {
        let screen = &self.screen;
        let config = self.world.config_file();
        screen.blank()?;
        screen.line(&screen.paint(Paint::Faint, "  and this is what a person on call would type"))?;
        screen.command(2, &format!("cachewatch check orders --config {}", config.display()))?;
        let output = daemon::call(&self.binary, &["check", "orders"], &config).output()?;
        for line in String::from_utf8_lossy(&output.stdout).trim_end().lines() {
            screen.quoted(hang_of_line(line), paint_of_line(line), line)?;
        }
        if output.status.code() != Some(2) {
            bail!(
                "`cachewatch check` of an ill cache ended with {}, not with 2: {}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(screen.line(&screen.paint(Paint::Faint, "  exit code 2: a finding of severity 1 or 2"))?)
    }

    fn sum_up(&self, told: &[Told]) -> io::Result<()> {
        let screen = &self.screen;
        let row = |number: &str, title: &str, after: &str| format!("{number:>3}  {title:<33}{after:>6}  ");
        screen.blank()?;
        let head = format!("{}{:<9}open findings", row("", "what happened", "after"), "orders");
        screen.line(&screen.paint(Paint::Strong, &head))?;
        for (number, (step, told)) in (1..).zip(STORY.iter().zip(told)) {
            let row = row(&number.to_string(), step.title, &seconds(told.after));
            let standing = screen.paint(paint_of(told.standing), &format!("{:<9}", told.standing));
            let findings = if told.findings.is_empty() { "none" } else { &told.findings };
            screen.line(&format!("{row}{standing}{findings}"))?;
        }
        screen.blank()
    }

    /// The last words: where to go from here.
    fn invite(&self) -> io::Result<()> {
        let words = "cachewatch said what it should at every step. To look around yourself, stop the story where it \
                     hurts; the status page and the commands above stay until Ctrl-C:";
        self.screen.words(0, Paint::Plain, words)?;
        self.screen.command(2, "cargo run --example demo -- --hold 2")
    }

    fn hold(&mut self) -> anyhow::Result<()> {
        let words = format!("Everything keeps running until Ctrl-C. Look at {}", self.daemon.url("/"));
        self.screen.words(0, Paint::Strong, &words)?;
        while self.interrupts.pause(Duration::from_secs(1)).is_ok() {
            if let Err(error) = self.daemon.said() {
                bail!("{error:#}\n{}", self.log());
            }
        }
        Ok(())
    }
}

fn unsaid(step: &Step, said: &str, log: &str) -> String {
    let expected = &step.expected;
    let findings: Vec<_> = expected.findings.iter().map(|(id, severity)| format!("{id} ({severity})")).collect();
    let metric = match expected.metric {
        Metric::Reads(series, value) => format!("{series}…}} {value}"),
        Metric::Gone(series) => format!("no {series}…}}"),
    };
    format!(
        "after {} the daemon does not say what it must\n\
         expected: {}: orders {}, carts well; findings: [{}]; {metric}\n\
         it says: {said}\n{log}",
        seconds(PATIENCE),
        expected.status,
        expected.standing,
        findings.join(", "),
    )
}

/// The first line of evidence and the first remedy, up to its first command. The rest is on the page.
fn explain(screen: &Screen, finding: &Finding) -> io::Result<()> {
    if let Some(seen) = finding.evidence.first() {
        screen.labelled("", Paint::Plain, &format!("seen: {seen}"))?;
    }
    for line in &finding.remedy {
        match line.strip_prefix("# ") {
            Some(remark) => screen.labelled("", Paint::Plain, &format!("note: {remark}"))?,
            None => return screen.command(Screen::LABEL, line),
        }
    }
    Ok(())
}

/// What the daemon says, for a complaint.
fn in_full(said: &Said) -> String {
    let caches: Vec<_> = said.health.caches.iter().map(|cache| format!("{} {}", cache.cache, cache.standing)).collect();
    let findings: Vec<_> = said
        .findings
        .iter()
        .map(|finding| format!("{}: {} ({})", finding.cache, finding.id, finding.severity))
        .collect();
    format!("{}: {}; findings: [{}]", said.status, caches.join(", "), findings.join(", "))
}

fn headline(finding: &Finding) -> String {
    format!("{}, severity {}", finding.id, finding.severity)
}

fn paint_of(standing: &str) -> Paint {
    match standing {
        "well" => Paint::Good,
        "at_risk" => Paint::Doubtful,
        _ => Paint::Bad,
    }
}

fn paint_of_severity(severity: u8) -> Paint {
    if severity <= 2 { Paint::Bad } else { Paint::Doubtful }
}

/// The column where the words of a line of `cachewatch check` begin.
fn hang_of_line(line: &str) -> usize {
    if line.contains(" ms ") {
        28
    } else if ["seen:", "note:", "run:"].iter().any(|label| line.trim_start().starts_with(label)) {
        10
    } else {
        0
    }
}

/// The colour of a line that `cachewatch check` dresses itself where it has the terminal.
fn paint_of_line(line: &str) -> Paint {
    let is_bad = ["NOT as expected", "FAILED", "UNHEALTHY:", "(severity 1", "(severity 2"]
        .iter()
        .any(|sign| line.contains(sign));
    if is_bad { Paint::Bad } else { Paint::Plain }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1}s", duration.as_secs_f64())
}

/// Ctrl-C and its kin, heard on a thread of their own.
struct Interrupts {
    heard: Receiver<()>,
    _ear: Background,
}

/// Somebody wants this to end.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
struct Interrupted;

impl Interrupts {
    fn listen() -> Self {
        let (tell, heard) = mpsc::channel();
        let ear = Background::run("signals", async move {
            let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
            let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hang_up)] = kinds.map(signal) else { return };
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hang_up.recv() => {}
            }
            // Whoever would listen has ended already.
            let _ = tell.send(());
        });
        Self { heard, _ear: ear }
    }

    /// Lets this much time pass.
    fn pause(&self, pause: Duration) -> Result<(), Interrupted> {
        match self.heard.recv_timeout(pause) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Err(Interrupted),
        }
    }
}
