//! The rules, read from their file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::yaml::{self, Yaml};

/// Rules that are evaluated one after the other.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) interval: String,
    pub(crate) rules: Vec<Rule>,
}

/// A recording rule or an alert.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) is_alert: bool,
    pub(crate) expression: String,
    /// How long the expression holds before the alert fires.
    pub(crate) waits: Option<String>,
    /// How long the alert fires after the expression has ceased to hold.
    pub(crate) keeps: Option<String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
}

pub(crate) fn file() -> PathBuf {
    crate::folder().join("cachewatch.rules.yml")
}

/// Every rule, in its order.
pub(crate) fn all() -> Vec<Rule> {
    of(&yaml::parse(&crate::read(&file())))
}

/// Every alert, in its order.
pub(crate) fn alerts() -> Vec<Rule> {
    all().into_iter().filter(|rule| rule.is_alert).collect()
}

pub(crate) fn of(file: &Yaml) -> Vec<Rule> {
    groups_of(file).into_iter().flat_map(|group| group.rules).collect()
}

pub(crate) fn groups() -> Vec<Group> {
    groups_of(&yaml::parse(&crate::read(&file())))
}

fn groups_of(file: &Yaml) -> Vec<Group> {
    let groups = file["groups"].list().iter();
    groups
        .map(|group| Group {
            name: group["name"].text().to_owned(),
            interval: group["interval"].text().to_owned(),
            rules: group["rules"].list().iter().map(rule).collect(),
        })
        .collect()
}

fn rule(rule: &Yaml) -> Rule {
    let text = |key: &str| rule.find(key).map(|value| value.text().to_owned());
    let texts = |key: &str| {
        let entries = rule.find(key).map_or(&[][..], Yaml::entries).iter();
        entries.map(|(name, value)| (name.clone(), value.text().to_owned())).collect()
    };
    for (key, _) in rule.entries() {
        let is_known = ["record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations"].contains(&&**key);
        assert!(is_known, "{key} would be lost on the way to Azure");
    }
    Rule {
        name: text("alert").or_else(|| text("record")).expect("a rule has a name"),
        is_alert: rule.find("alert").is_some(),
        expression: rule["expr"].text().trim_end().to_owned(),
        waits: text("for"),
        keeps: text("keep_firing_for"),
        labels: texts("labels"),
        annotations: texts("annotations"),
    }
}
