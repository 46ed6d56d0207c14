//! The rules as `Microsoft.AlertsManagement/prometheusRuleGroups`, in Bicep.
//!
//! Azure Monitor evaluates the same expressions. What it does not know is mapped: `keep_firing_for` is its time to resolve,
//! the label `severity` its own number, and whom to tell are action groups. It has no inhibition, which is why the rules hold
//! a cause and its symptoms apart by themselves wherever both would page. What Azure takes is for `tests/deploy/azure.rs`.

use std::fmt::Write as _;

use crate::rules::{Group, Rule};

/// The time to resolve where the rule keeps firing for no time: Azure's own default.
const RESOLVES: &str = "5m";

const HEAD: &str = "\
// cachewatch's recording rules and alerts for Azure Monitor managed service for Prometheus.
//
// Made from cachewatch.rules.yml by `CACHEWATCH_BLESS=1 cargo test --test rules`; a test holds that it is current. Deploy with:
//   az deployment group create -g GROUP -f azure-monitor.bicep -p workspaceId=ID pageActionGroups='[\"ID\"]'

@description('Resource id of the Azure Monitor workspace that cachewatch is scraped into.')
param workspaceId string

@description('Where the rule groups live: the region of the workspace.')
param location string = resourceGroup().location

@description('Resource ids of the action groups that are told at any hour.')
param pageActionGroups array = []

@description('Resource ids of the action groups that open a ticket.')
param ticketActionGroups array = []

@description('Resource ids of the action groups that are told what calls nobody.')
param infoActionGroups array = []

@description('Address of the repository of cachewatch, with a slash at its end, to stand before the paths of the runbooks.')
param runbookBase string = ''

var pageActions = [for id in pageActionGroups: { actionGroupId: id }]
var ticketActions = [for id in ticketActionGroups: { actionGroupId: id }]
var infoActions = [for id in infoActionGroups: { actionGroupId: id }]
";

/// The template of these groups.
pub(crate) fn template(groups: &[Group]) -> String {
    let mut out = HEAD.to_owned();
    for group in groups {
        let symbol = group.name.rsplit('.').next().expect("a name has a last part");
        line(&mut out, 0, "");
        line(
            &mut out,
            0,
            &format!("resource {symbol} 'Microsoft.AlertsManagement/prometheusRuleGroups@2023-03-01' = {{"),
        );
        line(&mut out, 1, &format!("name: {}", quoted(&group.name)));
        line(&mut out, 1, "location: location");
        line(&mut out, 1, "properties: {");
        line(&mut out, 2, "scopes: [workspaceId]");
        line(&mut out, 2, "enabled: true");
        line(&mut out, 2, &format!("interval: {}", quoted(&iso(&group.interval))));
        line(&mut out, 2, "rules: [");
        group.rules.iter().for_each(|rule| entry(&mut out, rule));
        line(&mut out, 2, "]");
        line(&mut out, 1, "}");
        line(&mut out, 0, "}");
    }
    out
}

fn entry(out: &mut String, rule: &Rule) {
    line(out, 3, "{");
    line(out, 4, &format!("{}: {}", if rule.is_alert { "alert" } else { "record" }, quoted(&rule.name)));
    line(out, 4, &format!("expression: {}", block(&rule.expression)));
    if rule.is_alert {
        if let Some(waits) = &rule.waits {
            line(out, 4, &format!("for: {}", quoted(&iso(waits))));
        }
        line(out, 4, "enabled: true");
        let (severity, actions) = match &*rule.labels["severity"] {
            "page" => (1, "pageActions"),
            "ticket" => (2, "ticketActions"),
            "info" => (3, "infoActions"),
            other => panic!("{other} is for nobody"),
        };
        line(out, 4, &format!("severity: {severity}"));
        line(out, 4, "labels: {");
        rule.labels.iter().for_each(|(name, value)| line(out, 5, &format!("{name}: {}", quoted(value))));
        line(out, 4, "}");
        line(out, 4, "annotations: {");
        for (name, text) in &rule.annotations {
            let base = if name == "runbook_url" { "${runbookBase}" } else { "" };
            line(out, 5, &format!("{name}: '{base}{}'", escaped(text)));
        }
        line(out, 4, "}");
        let resolves = iso(rule.keeps.as_deref().unwrap_or(RESOLVES));
        line(out, 4, "resolveConfiguration: {");
        line(out, 5, "autoResolved: true");
        line(out, 5, &format!("timeToResolve: {}", quoted(&resolves)));
        line(out, 4, "}");
        line(out, 4, &format!("actions: {actions}"));
    }
    line(out, 3, "}");
}

/// Where the strings, comments or brackets of a template do not close, or a string names something that is no parameter.
pub(crate) fn malformed(template: &str) -> Option<String> {
    let mut open = Vec::new();
    let mut rest = template;
    while let Some(letter) = rest.chars().next() {
        let here = || Some(rest.lines().next().unwrap_or_default().to_owned());
        if let Some(inside) = rest.strip_prefix("'''") {
            let Some(end) = inside.find("'''") else { return here() };
            rest = &inside[end + 3..];
        } else if let Some(inside) = rest.strip_prefix('\'') {
            let Some(after) = after_string(inside) else { return here() };
            rest = after;
        } else if rest.starts_with("//") {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
        } else {
            match letter {
                '{' => open.push('}'),
                '[' => open.push(']'),
                '(' => open.push(')'),
                '}' | ']' | ')' if open.pop() != Some(letter) => return here(),
                _ => {}
            }
            rest = &rest[letter.len_utf8()..];
        }
    }
    open.pop().map(|bracket| format!("no {bracket} at the end"))
}

/// What follows a string of one line, whose first quote is gone.
fn after_string(inside: &str) -> Option<&str> {
    let mut letters = inside.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\'' => return Some(&inside[at + 1..]),
            '\n' => return None,
            '\\' if !letters.next().is_some_and(|(_, next)| "\\'nrt$".contains(next)) => return None,
            '$' if inside[at + 1..].starts_with('{') && !inside[at..].starts_with("${runbookBase}") => return None,
            _ => {}
        }
    }
    None
}

fn line(out: &mut String, depth: usize, text: &str) {
    let indent = if text.is_empty() { 0 } else { 2 * depth };
    writeln!(out, "{:indent$}{text}", "").expect("a string takes everything");
}

fn quoted(text: &str) -> String {
    format!("'{}'", escaped(text))
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'").replace("${", "\\${").replace('\n', "\\n")
}

/// A string of several lines: nothing in it is escaped, and the first line break is not part of it.
fn block(text: &str) -> String {
    assert!(!text.contains("'''"), "a string of several lines cannot hold its own end: {text}");
    if text.contains('\n') { format!("'''\n{text}'''") } else { quoted(text) }
}

fn iso(duration: &str) -> String {
    let whole = minutes(duration);
    if whole.is_multiple_of(60) { format!("PT{}H", whole / 60) } else { format!("PT{whole}M") }
}

fn minutes(duration: &str) -> u64 {
    let (number, unit) = duration.split_at(duration.len() - 1);
    let number: u64 = number.parse().expect("a duration is a number and a unit");
    match unit {
        "m" => number,
        "h" => number * 60,
        other => panic!("{duration}: {other} is no unit"),
    }
}

#[test]
fn what_is_quoted_is_well_formed_and_what_is_not_is_seen() {
    let text = quoted("it's ${a} \\ {{ $labels.x }}\nand more");
    assert_eq!(text, r"'it\'s \${a} \\ {{ $labels.x }}\nand more'");
    assert_eq!(malformed(&format!("a: {{ b: [{text}, '${{runbookBase}}c', '''it's'''] }} // it's")), None);
    for wrong in ["a: 'b", "a: '${b}'", "a: [ }", "a: {", r"a: '\d'", "a: '''b''", "a: 'b\nc'"] {
        assert!(malformed(wrong).is_some(), "{wrong}");
    }
    assert_eq!(["5m", "60m", "1h", "90m"].map(iso), ["PT5M", "PT1H", "PT1H", "PT90M"]);
}
