//! The status page in a real browser: what a person on call does with it, by hand, by keyboard, by ear, without scripts.

#![expect(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use std::{env, net::IpAddr, path::Path};

use serde_json::json;

use crate::support::{
    browser::{Browser, Look, axe},
    cachewatch::Daemon,
    dns::Answer,
    lab::{Lab, PRIVATE, PUBLIC, alias, host},
};

/// A name as long as a configuration takes it.
const LONG: &str = "catalogue-search-suggestions-and-more-westeurope-production-042";

/// A healthy cache, and one of every kind of trouble.
fn troubled() -> (Lab, Daemon) {
    let lab = Lab::new();
    let mut text = lab.configuration(&["sessions", "profiles"]);
    lab.lead("orders", PUBLIC);
    text += &lab.cache("orders", "isolation = \"private_endpoint\"\nexpected_addresses = [\"10.20.1.0/24\"]");
    lab.names.set(&host("carts"), Answer::new().alias(&alias("carts"), 300).nxdomain());
    text += &lab.cache("carts", "isolation = \"private_endpoint\"");
    lab.lead("limits", PRIVATE);
    text += &lab.cache("limits", "isolation = \"private_endpoint\"\nmax_clients = 1\n");
    lab.lead("billing", PRIVATE);
    text += &lab.cache("billing", "isolation = \"private_endpoint\"").replace(&format!("{}", lab.server.address()), "127.0.0.1:1");
    // Failed once, and not asked again for an hour: nobody knows.
    lab.names.set(&host("reports"), Answer::new().servfail());
    text += &lab.cache("reports", "interval = \"1h\"");
    let addresses: Vec<IpAddr> =
        (1..=14).map(|last| IpAddr::from([10, 20, 2, last])).chain(["fd00:1234:5678:9abc:def0:1234:5678:9abc".parse().unwrap(), "fd00::2".parse().unwrap()]).collect();
    let answer = addresses.iter().fold(Answer::new().alias(&alias(LONG), 300), |answer, address| answer.address(*address, 10));
    lab.names.set(&host("wide"), answer.clone());
    lab.names.set(&alias(LONG), answer);
    let overrides: Vec<_> = addresses.iter().map(|address| format!("\"{address}={}\"", lab.server.address())).collect();
    let wide = lab.cache(LONG, "isolation = \"private_endpoint\"").replace(&host(LONG), &host("wide"));
    text += &wide.lines().map(|line| if line.starts_with("connect_to") { format!("connect_to = [{}]", overrides.join(", ")) } else { line.to_owned() } + "\n").collect::<String>();
    let daemon = Daemon::start(&text);
    for cache in ["orders", "carts", "billing", "limits"] {
        daemon.wait_until(&format!("a finding of {cache}"), |daemon| {
            let findings = daemon.get(&format!("/api/v1/caches/{cache}")).json()["findings"].clone();
            (!findings.as_array()?.is_empty()).then_some(())
        });
    }
    (lab, daemon)
}

#[test]
fn both_pages_are_within_reach_of_everybody() {
    let (_lab, daemon) = troubled();
    let browser = Browser::start();
    let pictures = env::var_os("CACHEWATCH_PICTURES");
    let axe = axe();
    for (path, name) in [
        ("/".to_owned(), "overview"),
        ("/caches/orders".to_owned(), "orders"),
        ("/caches/sessions".to_owned(), "sessions"),
        (format!("/caches/{LONG}"), "wide"),
    ] {
        for width in [375, 768, 1440] {
            for dark in [false, true] {
                let page = browser.page(Look { width, dark, scripts: true });
                page.open(&format!("http://{}{path}", daemon.address()));
                if let Some(folder) = &pictures {
                    page.picture(&Path::new(folder).join(format!("{name}-{width}-{}.png", if dark { "dark" } else { "light" })));
                }
                let overflow = page.eval("document.documentElement.scrollWidth - innerWidth");
                page.eval(&axe);
                let violations = page.eval("axe.run().then((result) => result.violations.map((one) => [one.id, one.help, one.nodes.map((node) => [node.html, node.failureSummary])]))");
                let seen = (&violations, overflow.as_i64() <= Some(0), page.complaints());
                assert_eq!(seen, (&json!([]), true, vec![]), "{name} at {width}, dark: {dark}, overflow {overflow}");
            }
        }
    }
}
