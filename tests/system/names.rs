//! That every panel, every rule and every alert speaks of what the real daemon says, and that a name which changes there is
//! missed: each metric and each label is renamed in a copy of a real scrape, and those that speak of it must be named,
//! all of them and no other.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use testlab::{promql, scrape::Scrape};

/// Labels that Prometheus or its surroundings give to every series of a target.
const OF_TARGETS: [&str; 4] = ["cluster", "namespace", "job", "instance"];

/// A rule that asks no metric: it is a number.
const CONSTANT: &str = "cachewatch:objective:ratio";

/// The metrics of a scrape, each with the labels of all its series, and what Prometheus adds to it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Said(BTreeMap<String, BTreeSet<String>>);

impl Said {
    pub(crate) fn of(scrape: &Scrape) -> Self {
        let mut metrics = BTreeMap::from([("up".to_owned(), BTreeSet::new())]);
        for sample in &scrape.0 {
            metrics.entry(sample.name.clone()).or_default().extend(sample.labels.keys().cloned());
        }
        Self(metrics)
    }

    /// Where this and the metrics of `docs/metrics.md` differ, in their names and their labels.
    pub(crate) fn against(&self, documented: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
        let absent = documented.keys().filter(|name| !self.0.contains_key(*name));
        let mut wrong: Vec<_> =
            absent.map(|name| format!("{name} is documented, and the daemon does not say it")).collect();
        for (name, labels) in self.0.iter().filter(|(name, _)| name.starts_with("cachewatch_")) {
            let Some(documented) = documented.get(name) else {
                wrong.push(format!("the daemon says {name}, and docs/metrics.md does not"));
                continue;
            };
            let of_daemon: BTreeSet<_> =
                documented.iter().filter(|label| !OF_TARGETS.contains(&label.as_str())).cloned().collect();
            if of_daemon != *labels {
                wrong.push(format!("{name} has the labels {labels:?}, in docs/metrics.md {of_daemon:?}"));
            }
        }
        wrong
    }

    fn without_metric(&self, name: &str) -> Self {
        let renamed = self.0.iter().map(|(own, labels)| (renamed(own, name), labels.clone()));
        Self(renamed.collect())
    }

    fn without_label(&self, name: &str) -> Self {
        let renamed = |labels: &BTreeSet<String>| labels.iter().map(|label| renamed(label, name)).collect();
        Self(self.0.iter().map(|(metric, labels)| (metric.clone(), renamed(labels))).collect())
    }
}

fn renamed(own: &str, name: &str) -> String {
    if own == name { format!("{own}_renamed") } else { own.to_owned() }
}

/// A query of a dashboard, or a rule.
#[derive(Debug)]
pub(crate) struct Speaker {
    place: String,
    /// Its own, and those of the recording rules that it builds on.
    expressions: Vec<String>,
    /// What it is told with.
    templates: Vec<String>,
}

impl Speaker {
    pub(crate) fn of_query(place: String, expression: &str) -> Self {
        Self { place, expressions: vec![expression.to_owned()], templates: Vec::new() }
    }

    /// The rules, as Prometheus answers for them.
    pub(crate) fn of_rules(rules: &[Value]) -> Vec<Self> {
        let text = |rule: &Value, key: &str| rule[key].as_str().expect("Prometheus says it of every rule").to_owned();
        let recorded: BTreeMap<_, _> = rules
            .iter()
            .filter(|rule| rule["type"] == "recording")
            .map(|rule| (text(rule, "name"), text(rule, "query")))
            .collect();
        let speaker = |rule: &Value| {
            let mut expressions = vec![text(rule, "query")];
            let mut at = 0;
            while let Some(expression) = expressions.get(at) {
                let below = promql::selectors(expression).into_iter().filter_map(|selector| {
                    recorded.get(&selector.metric).cloned().or_else(|| {
                        assert!(!selector.metric.contains(':'), "{}: nobody records {}", rule["name"], selector.metric);
                        None
                    })
                });
                let new: Vec<_> = below.filter(|below| !expressions.contains(below)).collect();
                expressions.extend(new);
                at += 1;
            }
            let annotations = rule["annotations"].as_object().into_iter().flat_map(|texts| texts.values());
            let templates = annotations.filter_map(Value::as_str).map(str::to_owned).collect();
            Self { place: text(rule, "name"), expressions, templates }
        };
        rules.iter().map(speaker).collect()
    }

    /// What it speaks of and nobody says.
    fn misses(&self, said: &Said) -> BTreeSet<String> {
        let empty = BTreeSet::new();
        let labels_of = |metric: &str| said.0.get(metric).unwrap_or(&empty);
        let selectors: Vec<_> =
            self.expressions.iter().map(|expression| (promql::selectors(expression), expression)).collect();
        let all = selectors.iter().flat_map(|(selectors, _)| selectors);
        let mut known: BTreeSet<&str> =
            all.clone().flat_map(|selector| labels_of(&selector.metric)).map(String::as_str).collect();
        let written = self.expressions.iter().flat_map(|expression| promql::written(expression));
        let written: BTreeSet<_> = written.collect();
        known.extend(written.iter().map(String::as_str));
        known.extend(OF_TARGETS);
        let mut misses = BTreeSet::new();
        for selector in all {
            let metric = &selector.metric;
            // What is recorded has the labels of what it is made of.
            let is_recorded = metric.contains(':');
            if !is_recorded && !said.0.contains_key(metric) {
                misses.insert(metric.clone());
            }
            for matcher in &selector.matchers {
                let label = matcher.label.as_str();
                let has = if is_recorded { known.contains(label) } else { labels_of(metric).contains(label) };
                if !has && !OF_TARGETS.contains(&label) {
                    misses.insert(label.to_owned());
                }
            }
        }
        let grouped = self.expressions.iter().flat_map(|expression| promql::grouped_by(expression));
        let read = self.expressions.iter().flat_map(|expression| promql::read(expression));
        let told = self.templates.iter().flat_map(|text| promql::templated(text));
        misses.extend(grouped.chain(read).chain(told).filter(|label| !known.contains(label.as_str())));
        misses
    }

    /// Whether the name stands anywhere in it. It is looked for in another way than [`Self::misses`] does, so that a reader
    /// which overlooks something is found out.
    fn mentions(&self, name: &str) -> bool {
        let in_expression = |expression: &String| {
            expression.split('"').enumerate().any(|(at, part)| {
                let is_string = at % 2 == 1;
                if is_string { part == name } else { promql::words(part).any(|word| word == name) }
            })
        };
        let in_template =
            |text: &String| text.split("$labels.").skip(1).any(|rest| promql::words(rest).next() == Some(name));
        self.expressions.iter().any(in_expression) || self.templates.iter().any(in_template)
    }

    fn writes(&self, label: &str) -> bool {
        self.expressions.iter().any(|expression| promql::written(expression).iter().any(|written| written == label))
    }
}

/// What is wrong between those who speak and what is said.
pub(crate) fn problems(speakers: &[Speaker], said: &Said) -> Vec<String> {
    let mut wrong = Vec::new();
    for speaker in speakers {
        let misses = speaker.misses(said);
        if !misses.is_empty() {
            wrong.push(format!("{} speaks of {misses:?}, which the daemon does not say", speaker.place));
        }
    }
    let places = |speaks: &dyn Fn(&Speaker) -> bool| -> BTreeSet<&str> {
        speakers.iter().filter(|speaker| speaks(speaker)).map(|speaker| speaker.place.as_str()).collect()
    };
    let mut noticing = BTreeSet::new();
    for metric in said.0.keys() {
        let changed = said.without_metric(metric);
        let missed = places(&|speaker| speaker.misses(&changed).contains(metric));
        let expected = places(&|speaker| speaker.mentions(metric));
        if missed != expected {
            wrong.push(format!("{metric} renamed: {}", told(&missed, &expected)));
        }
        noticing.extend(missed);
    }
    for label in said.0.values().flatten().collect::<BTreeSet<_>>() {
        let changed = said.without_label(label);
        let missed = places(&|speaker| speaker.misses(&changed).contains(label));
        // What a rule writes itself is there whatever the daemon calls its own.
        let expected = places(&|speaker| speaker.mentions(label) && !speaker.writes(label));
        if missed != expected {
            wrong.push(format!("the label {label} renamed: {}", told(&missed, &expected)));
        }
    }
    let deaf = speakers.iter().filter(|speaker| speaker.place != CONSTANT && !noticing.contains(&*speaker.place));
    wrong.extend(deaf.map(|speaker| format!("{} notices no metric that is renamed", speaker.place)));
    wrong
}

fn told(missed: &BTreeSet<&str>, expected: &BTreeSet<&str>) -> String {
    let (blind, wrongly) = (expected - missed, missed - expected);
    format!("{blind:?} speak of it and do not notice; {wrongly:?} do not, and notice")
}

#[test]
fn who_speaks_of_what_nobody_says_is_named() {
    let said = Said::of(&Scrape::parse("cachewatch_a{cache=\"x\",node=\"y\"} 1\ncachewatch_b{cache=\"x\"} 1\n"));
    let panel = |expression: &str| Speaker::of_query("panel".to_owned(), expression);
    assert_eq!(problems(&[panel("sum by (cache) (cachewatch_a{node=\"y\"} / cachewatch_b)")], &said), [""; 0]);
    for (expression, missing) in [
        ("cachewatch_c", "cachewatch_c"),
        ("cachewatch_b{node=\"y\"}", "node"),
        ("sum by (stage) (cachewatch_b)", "stage"),
        ("label_replace(cachewatch_b, \"level\", \"$1\", \"severity\", \"(.+)\")", "severity"),
    ] {
        assert_eq!(panel(expression).misses(&said), [missing.to_owned()].into(), "{expression}");
        assert!(problems(&[panel(expression)], &said)[0].starts_with("panel speaks of"), "{expression}");
    }
    // An alert falls with the rule below its rule.
    let rule = |name: &str, kind: &str, query: &str| serde_json::json!({ "name": name, "type": kind, "query": query, "annotations": { "summary": "{{ $labels.node }}" } });
    let rules = [
        rule("cachewatch:a:max", "recording", "max by (node) (cachewatch_a)"),
        rule("cachewatch:a:twice", "recording", "2 * cachewatch:a:max"),
        rule("Alert", "alerting", "cachewatch:a:twice > 1"),
    ];
    let speakers = Speaker::of_rules(&rules);
    assert_eq!(problems(&speakers, &said), [""; 0]);
    assert_eq!(
        speakers[2].misses(&said.without_metric("cachewatch_a")),
        ["cachewatch_a", "node"].map(str::to_owned).into()
    );
    assert_eq!(speakers[2].misses(&said.without_label("node")), ["node".to_owned()].into());
    assert_eq!(problems(&[panel("vector(1)")], &said), ["panel notices no metric that is renamed"]);
}
