//! The catalogue of findings: for a terminal, as JSON, and as `docs/findings.md`.

use std::io::{self, Write};

use serde::Serialize;

use crate::judge::{Commands, Rule};
use crate::model::{FindingId, SCHEMA_VERSION, Stage, Step};
use crate::style::Style;

/// The column where the words of a part begin.
const WORDS: usize = 14;

/// Lists findings, a line each.
///
/// # Errors
/// Where the output cannot be written.
pub(super) fn list(out: &mut impl Write, rules: &[&Rule], style: Style) -> io::Result<()> {
    let mut stage = None;
    for rule in rules {
        if stage.replace(rule.stage) != Some(rule.stage) {
            writeln!(out, "{}", style.strong(rule.stage.as_str()))?;
        }
        let severity = rule.severity.split([' ', ';']).next().unwrap_or_default();
        style.write(out, &format!("  {severity}  {:<34}", rule.id.as_str()), 39, rule.title)?;
    }
    writeln!(out, "\nThe number is the severity: 1 unavailable, 2 degraded or exposed, 3 a risk, 4 advice.")?;
    writeln!(out, "`cachewatch explain FINDING` shows what it means, how to tell it from others, and what to run.")
}

/// Prints one finding.
///
/// # Errors
/// Where the output cannot be written.
pub(super) fn print(out: &mut impl Write, rule: &Rule, commands: &Commands, style: Style) -> io::Result<()> {
    let head = format!("{}  ", style.strong(rule.id.as_str()));
    style.write(out, &head, 2, rule.title)?;
    writeln!(out)?;
    for (part, words) in parts(rule) {
        style.write(out, &format!("  {part:<12}"), WORDS, words)?;
    }
    let steps = rule.steps(commands);
    for step in &steps {
        match step {
            Step::Note(words) => style.write(out, "  note        ", WORDS, words)?,
            Step::Run(command) => writeln!(out, "  run         $ {}", style.strong(command))?,
        }
    }
    if steps.is_empty() {
        style.write(out, "  note        ", WORDS, "its commands are for Azure hosts only")?;
    }
    Ok(())
}

fn parts(rule: &Rule) -> [(&'static str, &'static str); 5] {
    [
        ("severity", rule.severity),
        ("seen at", rule.stage.as_str()),
        ("means", rule.means),
        ("how to tell", rule.told_apart),
        ("on the wire", rule.on_the_wire),
    ]
}

/// Writes findings as one JSON document.
///
/// # Errors
/// Where the output cannot be written.
pub(super) fn print_json(out: &mut impl Write, rules: &[&Rule], commands: &Commands) -> io::Result<()> {
    #[derive(Serialize)]
    struct Document {
        schema_version: u32,
        findings: Vec<Explained>,
    }
    #[derive(Serialize)]
    struct Explained {
        id: FindingId,
        stage: Stage,
        severity: &'static str,
        title: &'static str,
        means: &'static str,
        told_apart: &'static str,
        on_the_wire: &'static str,
        run: Vec<Step>,
    }
    let explained = |rule: &&Rule| Explained {
        id: rule.id,
        stage: rule.stage,
        severity: rule.severity,
        title: rule.title,
        means: rule.means,
        told_apart: rule.told_apart,
        on_the_wire: rule.on_the_wire,
        run: rule.steps(commands),
    };
    let document = Document { schema_version: SCHEMA_VERSION, findings: rules.iter().map(explained).collect() };
    serde_json::to_writer_pretty(&mut *out, &document).map_err(io::Error::from)?;
    writeln!(out)
}

/// Writes findings as a document: `docs/findings.md` is what this gives for the whole catalogue.
///
/// # Errors
/// Where the output cannot be written.
pub(super) fn print_markdown(out: &mut impl Write, rules: &[&Rule], commands: &Commands) -> io::Result<()> {
    writeln!(out, "# Findings\n")?;
    writeln!(out, "<!-- Made by `cachewatch explain --format markdown`; a test holds that it is current. -->\n")?;
    writeln!(
        out,
        "One id, one root cause. Severity: **1** unavailable for all · **2** degraded, exposed or about to break · **3** \
         intermittent, or a risk · **4** advice. In the commands NAME, HOST, PORT and GROUP stand for the cache's own; \
         `cachewatch check` fills them in.\n"
    )?;
    writeln!(out, "| finding | severity | seen at | what is wrong |\n|---|---|---|---|")?;
    for rule in rules {
        let id = rule.id.as_str();
        writeln!(out, "| [`{id}`](#{id}) | {} | {} | {} |", rule.severity, rule.stage, rule.title)?;
    }
    for rule in rules {
        writeln!(out, "\n## {}\n\n**{}.** {}\n", rule.id, capitalised(rule.title), rule.means)?;
        writeln!(
            out,
            "- Severity: {}\n- How to tell: {}\n- On the wire: {}\n",
            rule.severity, rule.told_apart, rule.on_the_wire
        )?;
        let steps: Vec<_> = rule.steps(commands).iter().map(ToString::to_string).collect();
        writeln!(out, "```\n{}\n```", steps.join("\n"))?;
    }
    Ok(())
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{self, CATALOGUE};

    /// The steps of a finding, a line each, with the names of a host.
    fn steps(id: FindingId, host: &str, port: Option<u16>) -> Vec<String> {
        judge::explain(id).steps(&Commands::of_host(host, port)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_host_has_the_zone_the_port_and_the_commands_of_its_product() {
        let of = |host| steps(FindingId::DnsZoneNotLinked, host, None);
        assert_eq!(
            of("orders.westeurope.redis.azure.net"),
            [
                "az network private-dns link vnet list -g <resource-group> -z privatelink.redis.azure.net -o table",
                "nslookup orders.westeurope.redis.azure.net 168.63.129.16",
                "az network private-dns record-set a list -g <resource-group> -z privatelink.redis.azure.net -o table",
            ]
        );
        assert_eq!(of("cache.example.com"), ["nslookup cache.example.com 168.63.129.16"], "no host of Azure");
        let sovereign = of("orders.redis.usgovcloudapi.net");
        assert!(sovereign[0].contains("-z <the privatelink zone>"), "{sovereign:?}");

        let closed = |host, port| steps(FindingId::TcpRefused, host, port);
        assert_eq!(
            closed("orders.redis.cache.windows.net", None),
            [
                "az redis show -n orders -g <resource-group> --query \"{state:provisioningState, port:sslPort}\"",
                "nc -vz -w 5 orders.redis.cache.windows.net 6380",
            ]
        );
        let managed = closed("orders.westeurope.redis.azure.net", Some(10001));
        assert!(managed[0].starts_with("az redisenterprise database show --cluster-name orders "), "{managed:?}");
        assert_eq!(managed[1], "nc -vz -w 5 orders.westeurope.redis.azure.net 10001");
    }

    #[test]
    fn no_word_of_the_catalogue_is_left_where_a_host_is_named() {
        let hosts = ["orders.redis.cache.windows.net", "orders.westeurope.redis.azure.net", "fd00::4", "cache.test"];
        let words = ["NAME", "HOST", "PORT", "GROUP", "ADDRESS", "VM", "NIC", "ID", "FILE", "ENDPOINT", "NAMESPACE"];
        for rule in CATALOGUE {
            for line in hosts.iter().flat_map(|host| steps(rule.id, host, None)) {
                let mut parts = line.split(|letter: char| !letter.is_ascii_uppercase());
                assert!(!parts.any(|part| words.contains(&part)), "{}: {line}", rule.id);
            }
        }
    }

    /// `docs/findings.md` is the catalogue; `cachewatch explain --format markdown > docs/findings.md` writes it anew.
    #[test]
    fn the_document_is_current() {
        let mut expected = Vec::new();
        print_markdown(&mut expected, &CATALOGUE, &Commands::sample()).unwrap();
        let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/findings.md")).unwrap();
        assert!(
            document == String::from_utf8(expected).unwrap(),
            "docs/findings.md is out of date: run `cargo run -- explain --format markdown > docs/findings.md`"
        );
    }
}
