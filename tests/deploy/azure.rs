//! The rules as Azure takes them: `deploy/prometheus/azure-monitor.bicep`, read by a parser of Bicep, held to Microsoft's types and
//! to the limits of the resource, and compared with the rules it is made from.
//!
//! The limits are those of the description of the API that Microsoft makes its libraries from
//! (`Microsoft.AlertsManagement/stable/2023-03-01/PrometheusRuleGroups.json` in Azure/azure-rest-api-specs) and of its reference.

use serde_json::{Value, json};

use super::{parse, read, run, tool, yaml};

const TEMPLATE: &str = "deploy/prometheus/azure-monitor.bicep";

/// The rule groups of a template.
fn groups(template: &str) -> Result<Vec<Value>, String> {
    run(tool("python").arg("tests/deploy/bicep.py"), template).map(|json| parse(&json))
}

/// A duration of ISO 8601 in whole minutes or hours, in minutes.
fn minutes(duration: &Value) -> Option<u64> {
    let text = duration.as_str()?.strip_prefix("PT")?;
    let number = |unit| text.strip_suffix(unit).and_then(|number| number.parse::<u64>().ok());
    number('M').or_else(|| number('H').map(|hours| 60 * hours))
}

/// The same of a duration as Prometheus has it.
fn minutes_of(duration: &Value) -> Option<u64> {
    let text = duration.as_str()?;
    let number = |unit| text.strip_suffix(unit).and_then(|number| number.parse::<u64>().ok());
    number('m').or_else(|| number('h').map(|hours| 60 * hours))
}

/// What Azure would refuse.
fn beyond_limits(groups: &[Value]) -> Vec<String> {
    let mut wrong = Vec::new();
    for group in groups {
        let name = group["name"].as_str().unwrap();
        let mut hold = |holds: bool, what: &str| {
            if !holds {
                wrong.push(format!("{name}: {what}"));
            }
        };
        hold(!name.contains([':', '@', '/', '#', '{', '}', '%', '&', '+', '*', '<', '>', '?', '\\']), "a name");
        let properties = &group["properties"];
        let within = |duration: &Value| minutes(duration).is_some_and(|minutes| (1..=15).contains(&minutes));
        hold(within(&properties["interval"]), "an interval of one to fifteen minutes");
        hold(properties["scopes"].as_array().unwrap().len() == 1, "one scope");
        let rules = properties["rules"].as_array().unwrap();
        hold((1..=20).contains(&rules.len()), "one to twenty rules");
        for rule in rules {
            hold(rule["alert"].is_string() != rule["record"].is_string(), "either an alert or a record");
            hold(!rule["expression"].as_str().unwrap().trim().is_empty(), "an expression");
            hold(rule["labels"].as_object().is_none_or(|labels| labels.len() <= 10), "ten labels");
            if rule["alert"].is_string() {
                hold(rule["severity"].as_u64().is_some_and(|severity| severity <= 4), "a severity of 0 to 4");
                hold(rule["for"].is_null() || minutes(&rule["for"]).is_some(), "a duration before it fires");
                let resolves = &rule["resolveConfiguration"]["timeToResolve"];
                hold(within(resolves), "a time to resolve of one to fifteen minutes");
            }
        }
    }
    wrong
}

#[test]
fn the_template_is_what_azure_takes_and_says_what_the_rules_say() {
    let groups = groups(&read(TEMPLATE)).unwrap_or_else(|said| panic!("{said}"));
    assert_eq!(beyond_limits(&groups), [""; 0]);
    let [document] = &yaml("deploy/prometheus/cachewatch.rules.yml")[..] else { panic!("one document") };
    let ours = document["groups"].as_array().unwrap();
    assert_eq!(groups.len(), ours.len());
    for (group, own) in groups.iter().zip(ours) {
        assert_eq!(group["name"], own["name"]);
        let name = &group["name"];
        assert_eq!(minutes(&group["properties"]["interval"]), minutes_of(&own["interval"]), "{name}");
        let [rules, own] = [&group["properties"]["rules"], &own["rules"]].map(|rules| rules.as_array().unwrap());
        assert_eq!(rules.len(), own.len(), "{name}");
        for (rule, own) in rules.iter().zip(own) {
            assert_eq!((&rule["record"], &rule["alert"]), (&own["record"], &own["alert"]), "{name}");
            let name = if rule["alert"].is_null() { &rule["record"] } else { &rule["alert"] };
            assert_eq!(rule["expression"].as_str(), own["expr"].as_str().map(str::trim_end), "{name}");
            assert_eq!(minutes(&rule["for"]), minutes_of(&own["for"]), "{name}");
            assert_eq!(rule["labels"], own["labels"], "{name}");
            if rule["alert"].is_null() {
                continue;
            }
            for (key, text) in own["annotations"].as_object().unwrap() {
                let base = if key == "runbook_url" { "${runbookBase}" } else { "" };
                assert_eq!(rule["annotations"][key], format!("{base}{}", text.as_str().unwrap()), "{name}: {key}");
            }
            let (severity, actions) = match own["labels"]["severity"].as_str().unwrap() {
                "page" => (1, "pageActions"),
                "ticket" => (2, "ticketActions"),
                _ => (3, "infoActions"),
            };
            assert_eq!((&rule["severity"], &rule["actions"][0]["actionGroupId"]), (&severity.into(), &actions.into()));
            let keeps = minutes_of(&own["keep_firing_for"]).unwrap_or(5);
            assert_eq!(minutes(&rule["resolveConfiguration"]["timeToResolve"]), Some(keeps), "{name}");
        }
    }
}

#[test]
fn what_azure_would_not_take_is_seen() {
    let template = read(TEMPLATE);
    for (right, wrong, said) in [
        // No Bicep.
        ("    rules: [", "    rules: [[", "no Bicep"),
        ("name: 'cachewatch.findings'", "name: 'cachewatch.findings", "no Bicep"),
        // No such thing, and not of that kind.
        ("autoResolved: true", "autoResolve: true", "Extra inputs are not permitted"),
        ("severity: 1", "severity: 'high'", "Input should be a valid integer"),
        ("expression: '''", "expr: '''", "expression: Field required"),
        ("scopes: [workspaceId]", "scopes: [workspace]", "a workspace that nobody gives"),
        ("@2023-03-01'", "@2021-07-22-preview'", "findings is Microsoft.AlertsManagement"),
        ("actions: pageActions", "actions: callActions", "Input should be a valid list"),
    ] {
        assert!(template.contains(right), "{right}");
        let told = groups(&template.replacen(right, wrong, 1)).unwrap_err();
        assert!(told.contains(said), "{wrong}: {told}");
    }
    let groups = Value::from(groups(&template).unwrap());
    let [properties, alert] = ["/0/properties", "/0/properties/rules/4"];
    assert!(groups.pointer(alert).unwrap()["alert"].is_string());
    for (place, wrong, said) in [
        ("/0/name".to_owned(), json!("cachewatch:findings"), "a name"),
        (format!("{properties}/interval"), json!("PT30S"), "an interval"),
        (format!("{properties}/interval"), json!("PT16M"), "an interval"),
        (format!("{properties}/scopes"), json!(["one", "another"]), "one scope"),
        (format!("{properties}/rules"), json!([]), "one to twenty rules"),
        (format!("{properties}/rules"), json!(vec![&groups.pointer(alert); 21]), "one to twenty rules"),
        (format!("{alert}/alert"), json!(null), "either an alert or a record"),
        (format!("{alert}/expression"), json!(" "), "an expression"),
        (format!("{alert}/labels"), (0..11).map(|at| (format!("l{at}"), json!(""))).collect(), "ten labels"),
        (format!("{alert}/severity"), json!(5), "a severity"),
        (format!("{alert}/for"), json!("5m"), "a duration before it fires"),
        (format!("{alert}/resolveConfiguration/timeToResolve"), json!("PT1H"), "a time to resolve"),
    ] {
        let mut groups = groups.clone();
        let (above, key) = place.rsplit_once('/').unwrap();
        groups.pointer_mut(above).unwrap()[key] = wrong;
        let told = beyond_limits(groups.as_array().unwrap());
        assert!(told.len() == 1 && told[0].contains(said), "{place}: {told:?}");
    }
}
