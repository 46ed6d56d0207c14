use std::collections::BTreeSet;
use std::sync::Arc;

use super::families::catalogue;
use super::per_cache::{LONGEST_VERSION, MOST_ADDRESSES, version_label};
use super::*;
use crate::model::{
    EventKind, Fault, FaultKind, Observation, Passage, Resolver, ResolverName, Severity, Stage, WireText,
};
use crate::sink::fixture;

/// The samples of this program, without those of the process and without the buckets of histograms.
fn samples(metrics: &Metrics) -> Vec<String> {
    let text = metrics.encode().unwrap();
    let is_wanted = |line: &&str| line.starts_with("cachewatch_") && !line.contains("_bucket{");
    text.lines().filter(is_wanted).map(str::to_owned).collect()
}

/// The samples that carry a cache's label.
fn of_caches(metrics: &Metrics) -> Vec<String> {
    samples(metrics).into_iter().filter(|line| line.contains("cache=")).collect()
}

#[track_caller]
fn check(metrics: &Metrics, expected: &str) {
    let expected: Vec<_> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(of_caches(metrics).join("\n"), expected.join("\n"));
}

fn watching(cache: &Cache) -> Metrics {
    let metrics = Metrics::new("1.2.3", "abc");
    metrics.add_cache(cache);
    metrics
}

/// What a probe saw is told while it is true, and no longer.
#[tokio::test(start_paused = true)]
async fn what_is_too_old_to_be_true_is_not_told() {
    const LIMIT: Duration = Duration::from_secs(15);
    let cache = fixture::cache("orders");
    let (metrics, pulse) = (watching(&cache), Pulse::new());
    let told = |now| {
        metrics.before_scrape(&pulse, LIMIT, now);
        let names = ["cachewatch_probe_success{", "cachewatch_dns_addresses{", "cachewatch_tls_info{"];
        let samples = of_caches(&metrics);
        names.map(|name| samples.iter().any(|line| line.starts_with(name)))
    };
    let up = |which: &str| {
        let line = format!("cachewatch_loop_up{{loop=\"{which}\"}} 1");
        samples(&metrics).contains(&line)
    };
    let round = fixture::healthy(&cache);
    let last = round.seen.at().plus(cache.report_lasts());
    metrics.observe(&round);
    assert_eq!(told(last), [true; 3]);
    assert_eq!(told(last.plus(Duration::from_millis(1))), [false; 3], "three intervals have passed");
    assert!(of_caches(&metrics).iter().any(|line| line.starts_with("cachewatch_probes_total")), "what counts stays");

    metrics.observe(&round);
    assert_eq!((told(last), up("dispatch")), ([true; 3], true));
    tokio::time::advance(LIMIT + Duration::from_millis(1)).await;
    Loop::ALL.iter().filter(|which| **which != Loop::Dispatch).for_each(|which| pulse.turned(*which));
    assert_eq!((told(last), up("dispatch"), up("schedule")), ([false; 3], false, true), "the judge stands still");
    pulse.turned(Loop::Dispatch);
    metrics.observe(&round);
    assert_eq!((told(last), up("dispatch")), ([true; 3], true));

    // A journal that hangs says nothing of the caches.
    metrics.journal_up(true);
    tokio::time::advance(LIMIT + Duration::from_millis(1)).await;
    Loop::ALL.iter().filter(|which| **which != Loop::Journal).for_each(|which| pulse.turned(*which));
    assert_eq!((told(last), up("journal")), ([true; 3], false));
    assert!(samples(&metrics).contains(&"cachewatch_journal_up 0".to_owned()));
}

#[test]
fn series_exist_from_the_start() {
    let metrics = Metrics::new("1.2.3", "abc");
    let expected = [
        r#"cachewatch_build_info{revision="abc",version="1.2.3"} 1"#,
        "cachewatch_config_caches 0",
        "cachewatch_config_last_reload_successful 0",
        "cachewatch_http_auth_failures_total 0",
        "cachewatch_http_connections_refused_total 0",
        "cachewatch_http_files_last_reload_successful 1",
        "cachewatch_http_tls_handshake_failures_total 0",
        r#"cachewatch_journal_events_total{sink="journal"} 0"#,
        "cachewatch_probe_lateness_seconds_sum 0",
        "cachewatch_probe_lateness_seconds_count 0",
        "cachewatch_probe_panics_total 0",
        "cachewatch_probes_in_flight 0",
        "cachewatch_probes_skipped_total 0",
        r#"cachewatch_sink_failures_total{sink="journal"} 0"#,
        r#"cachewatch_sink_failures_total{sink="log"} 0"#,
        "cachewatch_unrecognised_errors_total 0",
    ];
    assert_eq!(samples(&metrics), expected);

    metrics.add_cache(&fixture::cache("orders"));
    check(&metrics, START);
}

const START: &str = r#"
    cachewatch_cache_info{cache="orders",cloud="public",host="orders.redis.cache.windows.net",isolation="private_endpoint",port="6380",product="azure_cache_for_redis",tier="P1"} 1
    cachewatch_dns_changes_total{cache="orders",resolver="system"} 0
    cachewatch_dns_lookup_duration_seconds_sum{cache="orders",resolver="system"} 0
    cachewatch_dns_lookup_duration_seconds_count{cache="orders",resolver="system"} 0
    cachewatch_lookups_total{cache="orders"} 0
    cachewatch_probe_duration_seconds_sum{cache="orders"} 0
    cachewatch_probe_duration_seconds_count{cache="orders"} 0
    cachewatch_probes_total{cache="orders"} 0
    cachewatch_retirement_timestamp_seconds{cache="orders"} 1853971200
"#;

#[test]
fn a_failed_lookup_leaves_no_gauge_of_what_it_did_not_reach() {
    let cache = fixture::cache("orders");
    let metrics = watching(&cache);
    metrics.observe(&fixture::healthy(&cache));
    check(
        &metrics,
        r#"
        cachewatch_address_reachable{cache="orders",state="reachable"} 1
        cachewatch_address_reachable{cache="orders",state="unreachable"} 0
        cachewatch_cache_info{cache="orders",cloud="public",host="orders.redis.cache.windows.net",isolation="private_endpoint",port="6380",product="azure_cache_for_redis",tier="P1"} 1
        cachewatch_clients_connected{cache="orders",node="endpoint"} 750
        cachewatch_clients_headroom_ratio{cache="orders",node="endpoint"} 0.9
        cachewatch_clients_limit{cache="orders",node="endpoint",source="server"} 7500
        cachewatch_dns_address_info{address="10.20.1.4",cache="orders",class="private",resolver="system"} 1
        cachewatch_dns_addresses{cache="orders",class="link_local",resolver="system"} 0
        cachewatch_dns_addresses{cache="orders",class="loopback",resolver="system"} 0
        cachewatch_dns_addresses{cache="orders",class="other",resolver="system"} 0
        cachewatch_dns_addresses{cache="orders",class="private",resolver="system"} 1
        cachewatch_dns_addresses{cache="orders",class="public",resolver="system"} 0
        cachewatch_dns_addresses{cache="orders",class="shared",resolver="system"} 0
        cachewatch_dns_as_expected{cache="orders",resolver="system"} 1
        cachewatch_dns_changes_total{cache="orders",resolver="system"} 0
        cachewatch_dns_lookup_duration_seconds_sum{cache="orders",resolver="system"} 0.002
        cachewatch_dns_lookup_duration_seconds_count{cache="orders",resolver="system"} 1
        cachewatch_dns_privatelink_alias{cache="orders",resolver="system"} 1
        cachewatch_dns_ttl_seconds{cache="orders",resolver="system"} 10
        cachewatch_last_probe_timestamp_seconds{cache="orders"} 1700000000
        cachewatch_lookups_total{cache="orders"} 0
        cachewatch_probe_duration_seconds_sum{cache="orders"} 0.25
        cachewatch_probe_duration_seconds_count{cache="orders"} 1
        cachewatch_probe_success{cache="orders"} 1
        cachewatch_probes_total{cache="orders"} 1
        cachewatch_rejected_connections_total{cache="orders",node="endpoint"} 3
        cachewatch_retirement_timestamp_seconds{cache="orders"} 1853971200
        cachewatch_server_info{cache="orders",mode="standalone",redis_version="6.0.14",role="primary"} 1
        cachewatch_stage_duration_seconds_sum{cache="orders",stage="connect"} 0.004
        cachewatch_stage_duration_seconds_count{cache="orders",stage="connect"} 1
        cachewatch_stage_duration_seconds_sum{cache="orders",stage="ping"} 0.016
        cachewatch_stage_duration_seconds_count{cache="orders",stage="ping"} 1
        cachewatch_stage_duration_seconds_sum{cache="orders",stage="resolve"} 0.002
        cachewatch_stage_duration_seconds_count{cache="orders",stage="resolve"} 1
        cachewatch_stage_duration_seconds_sum{cache="orders",stage="tls"} 0.008
        cachewatch_stage_duration_seconds_count{cache="orders",stage="tls"} 1
        cachewatch_tls_certificate_not_after_timestamp_seconds{cache="orders",position="chain"} 1750000000
        cachewatch_tls_certificate_not_after_timestamp_seconds{cache="orders",position="leaf"} 1760000000
        cachewatch_tls_chain_verified{cache="orders"} 1
        cachewatch_tls_info{cache="orders",cipher="TLS13_AES_256_GCM_SHA384",version="TLSv1.3"} 1
        "#,
    );

    metrics.observe(&fixture::name_not_found(&cache));
    check(
        &metrics,
        r#"
        cachewatch_cache_info{cache="orders",cloud="public",host="orders.redis.cache.windows.net",isolation="private_endpoint",port="6380",product="azure_cache_for_redis",tier="P1"} 1
        cachewatch_dns_changes_total{cache="orders",resolver="system"} 0
        cachewatch_dns_lookup_duration_seconds_sum{cache="orders",resolver="system"} 0.004
        cachewatch_dns_lookup_duration_seconds_count{cache="orders",resolver="system"} 2
        cachewatch_dns_lookup_failures_total{cache="orders",reason="name_not_found",resolver="system"} 1
        cachewatch_finding_open{cache="orders",finding="dns-name-not-found",severity="1"} 1
        cachewatch_findings_total{cache="orders",finding="dns-name-not-found",severity="1"} 1
        cachewatch_last_probe_timestamp_seconds{cache="orders"} 1700000030
        cachewatch_lookups_total{cache="orders"} 0
        cachewatch_probe_duration_seconds_sum{cache="orders"} 0.252
        cachewatch_probe_duration_seconds_count{cache="orders"} 2
        cachewatch_probe_failures_total{cache="orders",reason="name_not_found",stage="resolve"} 1
        cachewatch_probe_success{cache="orders"} 0
        cachewatch_probes_total{cache="orders"} 2
        cachewatch_rejected_connections_total{cache="orders",node="endpoint"} 3
        cachewatch_retirement_timestamp_seconds{cache="orders"} 1853971200
        cachewatch_stage_duration_seconds_sum{cache="orders",stage="connect"} 0.004
        cachewatch_stage_duration_seconds_count{cache="orders",stage="connect"} 1
        cachewatch_stage_duration_seconds_sum{cache="orders",stage="ping"} 0.016
        cachewatch_stage_duration_seconds_count{cache="orders",stage="ping"} 1
        cachewatch_stage_duration_seconds_sum{cache="orders",stage="resolve"} 0.004
        cachewatch_stage_duration_seconds_count{cache="orders",stage="resolve"} 2
        cachewatch_stage_duration_seconds_sum{cache="orders",stage="tls"} 0.008
        cachewatch_stage_duration_seconds_count{cache="orders",stage="tls"} 1
        "#,
    );

    metrics.remove_cache(&cache.name);
    check(&metrics, "");
    metrics.observe(&fixture::healthy(&cache));
    check(&metrics, "");
}

#[test]
fn a_cache_configured_anew_keeps_its_counters_and_loses_the_resolvers_it_no_longer_asks() {
    let mut cache = fixture::cache("orders");
    let metrics = watching(&cache);
    metrics.observe(&fixture::healthy(&cache));
    metrics.observe(&fixture::name_not_found(&cache));

    let resolver = Resolver::server("hub", "10.0.0.4:53".parse().unwrap(), crate::model::Protocol::Udp);
    cache.resolvers = vec![resolver];
    cache.tier = None;
    metrics.add_cache(&cache);
    let of_dns: Vec<_> = of_caches(&metrics).into_iter().filter(|line| line.contains("resolver=")).collect();
    assert_eq!(
        of_dns,
        [
            r#"cachewatch_dns_changes_total{cache="orders",resolver="hub"} 0"#,
            r#"cachewatch_dns_lookup_duration_seconds_sum{cache="orders",resolver="hub"} 0"#,
            r#"cachewatch_dns_lookup_duration_seconds_count{cache="orders",resolver="hub"} 0"#,
        ]
    );
    let kept: Vec<_> = of_caches(&metrics)
        .into_iter()
        .filter(|line| line.contains("cache_info") || line.contains("probes_total"))
        .collect();
    assert_eq!(
        kept,
        [
            r#"cachewatch_cache_info{cache="orders",cloud="public",host="orders.redis.cache.windows.net",isolation="private_endpoint",port="6380",product="azure_cache_for_redis",tier=""} 1"#,
            r#"cachewatch_probes_total{cache="orders"} 2"#,
        ]
    );
}

#[test]
fn a_change_of_addresses_is_counted_for_the_resolver_whose_answer_changed() {
    let mut cache = fixture::cache("orders");
    cache.resolvers.push(Resolver::Listed(2));
    let metrics = watching(&cache);
    let change = |resolver: Option<&str>, seconds: i64| {
        let event = Event::new(Timestamp::from_unix_seconds(seconds), None, EventKind::AddressesChanged);
        Event { resolver: resolver.map(ResolverName::new), ..event }
    };
    let mut round = fixture::healthy(&cache);
    round.events = vec![
        change(None, 1_700_000_001),
        change(Some("system-2"), 1_700_000_002),
        change(Some("system-2"), 1_700_000_003),
    ];
    metrics.observe(&round);
    metrics.observe(&fixture::healthy(&cache));
    let expected = [r#",resolver="system"} 1"#, r#",resolver="system-2"} 2"#];
    assert_eq!(values(&metrics, "dns_changes_total"), expected);
    let expected = [r#",resolver="system"} 1700000001"#, r#",resolver="system-2"} 1700000003"#];
    assert_eq!(values(&metrics, "dns_last_change_timestamp_seconds"), expected);
}

#[test]
fn every_resolver_is_measured_and_not_only_the_one_followed() {
    let mut cache = fixture::cache("orders");
    cache.resolvers = vec![Resolver::System, Resolver::Listed(2)];
    let metrics = watching(&cache);
    let with_resolver = || {
        let lines = of_caches(&metrics).into_iter().filter(|line| line.contains("dns_"));
        let of = |name: &str| lines.clone().filter(|line| line.contains(&format!("resolver=\"{name}\""))).count();
        (of("system"), of("system-2"))
    };
    assert_eq!(with_resolver(), (3, 3), "the changes, and two of the duration");
    let mut round = fixture::healthy(&cache);
    let mut second = fixture::report(&mut round).lookup.resolutions[0].clone();
    second.resolver = ResolverName::new("system-2");
    fixture::report(&mut round).lookup.resolutions.push(second);
    metrics.observe(&round);
    assert_eq!(with_resolver(), (13, 13), "six classes, the address, the alias, the expectation and the TTL as well");

    let failed = &mut fixture::report(&mut round).lookup.resolutions[1];
    failed.fault = Some(Fault::new(Stage::Resolve, FaultKind::ResolverUntrusted, "expired"));
    (failed.chain, failed.addresses) = (Vec::new(), Vec::new());
    metrics.observe(&round);
    assert_eq!(with_resolver(), (13, 4), "what it did not say is gone, and its failure is counted");
    let failures = values(&metrics, "dns_lookup_failures_total");
    assert_eq!(failures, [r#",reason="resolver_untrusted",resolver="system-2"} 1"#]);
}

/// The values of one metric, with the labels after the cache's.
fn values(metrics: &Metrics, name: &str) -> Vec<String> {
    let prefix = format!("cachewatch_{name}{{cache=\"orders\"");
    let lines = of_caches(metrics);
    lines.iter().filter_map(|line| line.strip_prefix(&prefix)).map(str::to_owned).collect()
}

#[test]
fn one_bad_address_of_two_shows_in_every_metric_that_speaks_of_all() {
    let cache = fixture::cache("orders");
    let metrics = watching(&cache);
    let mut round = fixture::leading_to(&cache, &["10.20.1.4", "10.20.1.5"]);
    let leg = &mut fixture::report(&mut round).legs[1];
    leg.fault = Some(Fault::new(Stage::Tls, FaultKind::CertificateExpired, "expired"));
    leg.server = None;
    let session = leg.tls.as_mut().unwrap();
    session.verified = false;
    session.chain.iter_mut().for_each(|link| link.not_after = Timestamp::from_unix_seconds(1_699_999_999));
    metrics.observe(&round);
    assert_eq!(values(&metrics, "probe_success"), ["} 0"]);
    let failures = values(&metrics, "probe_failures_total");
    assert_eq!(failures, [r#",reason="certificate_expired",stage="tls"} 1"#]);
    let reachable = values(&metrics, "address_reachable");
    assert_eq!(reachable, [r#",state="reachable"} 2"#, r#",state="unreachable"} 0"#], "TCP was accepted by both");
    assert_eq!(values(&metrics, "tls_chain_verified"), ["} 0"]);
    let expiry = values(&metrics, "tls_certificate_not_after_timestamp_seconds");
    assert_eq!(expiry, [r#",position="chain"} 1699999999"#, r#",position="leaf"} 1699999999"#]);
    assert_eq!(values(&metrics, "clients_connected"), [r#",node="endpoint"} 750"#]);

    let leg = &mut fixture::report(&mut round).legs[1];
    leg.fault = Some(Fault::new(Stage::Connect, FaultKind::Filtered, "no answer"));
    leg.tls = None;
    metrics.observe(&round);
    let reachable = values(&metrics, "address_reachable");
    assert_eq!(reachable, [r#",state="reachable"} 1"#, r#",state="unreachable"} 1"#]);
}

#[test]
fn a_lookup_beside_the_probes_moves_what_is_told_of_names_and_of_findings_alone() {
    let cache = fixture::cache("orders");
    let metrics = watching(&cache);
    metrics.observe(&fixture::healthy(&cache));
    let told = || of_caches(&metrics).into_iter().collect::<BTreeSet<_>>();
    let probed = told();
    let mut round = fixture::looked_up(&cache, &["20.50.1.2"]);
    let opened = fixture::name_not_found(&cache);
    (round.verdict, round.events) = (opened.verdict, opened.events);
    round.events.push(Event::new(round.seen.at(), Some(cache.name.clone()), EventKind::AddressesChanged));
    metrics.observe(&round);
    let looked_up = told();
    let changed = |one: &BTreeSet<String>, other: &BTreeSet<String>| {
        let lines = one.difference(other).map(|line| line.trim_start_matches("cachewatch_").to_owned());
        lines.map(|line| line.replace("cache=\"orders\",", "")).collect::<Vec<_>>()
    };
    assert_eq!(
        changed(&looked_up, &probed),
        [
            r#"dns_address_info{address="20.50.1.2",class="public",resolver="system"} 1"#,
            r#"dns_addresses{class="private",resolver="system"} 0"#,
            r#"dns_addresses{class="public",resolver="system"} 1"#,
            r#"dns_as_expected{resolver="system"} 0"#,
            r#"dns_changes_total{resolver="system"} 1"#,
            r#"dns_last_change_timestamp_seconds{resolver="system"} 1700000010"#,
            r#"dns_lookup_duration_seconds_count{resolver="system"} 2"#,
            r#"dns_lookup_duration_seconds_sum{resolver="system"} 0.004"#,
            r#"finding_open{finding="dns-name-not-found",severity="1"} 1"#,
            r#"findings_total{finding="dns-name-not-found",severity="1"} 1"#,
            r#"lookups_total{cache="orders"} 1"#,
        ]
    );
    // Of the gauges that went, each is one of names: what the probe saw beyond them stands.
    let gone = changed(&probed, &looked_up);
    assert_eq!(
        gone.iter().filter(|line| !line.starts_with("dns_")).collect::<Vec<_>>(),
        [r#"lookups_total{cache="orders"} 0"#]
    );

    let failed = fixture::name_not_found(&cache);
    let lookup = Observation::Lookup(Arc::new(failed.seen.lookup().unwrap().clone()));
    metrics.observe(&Round { seen: lookup, ..failed.clone() });
    assert_eq!(values(&metrics, "dns_addresses"), Vec::<String>::new(), "a failed lookup leaves no answer behind");
    let failures = values(&metrics, "dns_lookup_failures_total");
    assert_eq!(failures, [r#",reason="name_not_found",resolver="system"} 1"#]);
    let of_probes = ["probe_success", "probes_total", "last_probe_timestamp_seconds", "clients_connected"];
    let kept = of_probes.map(|name| values(&metrics, name).concat());
    assert_eq!(kept, ["} 1", "} 1", "} 1700000000", r#",node="endpoint"} 750"#]);

    metrics.observe(&failed);
    assert_eq!(values(&metrics, "clients_connected"), Vec::<String>::new(), "a probe sweeps what lookups have left");
    assert_eq!(values(&metrics, "lookups_total"), ["} 2"]);
}

#[test]
fn an_alias_that_leads_to_no_record_is_still_an_alias() {
    let cache = fixture::cache("orders");
    let metrics = watching(&cache);
    let mut round = fixture::name_not_found(&cache);
    let chain = fixture::healthy(&cache).seen.lookup().unwrap().resolutions[0].chain.clone();
    fixture::report(&mut round).lookup.resolutions[0].chain = chain;
    metrics.observe(&round);
    assert_eq!(values(&metrics, "dns_privatelink_alias"), [r#",resolver="system"} 1"#]);
    assert_eq!(values(&metrics, "dns_as_expected"), Vec::<String>::new());
    assert_eq!(values(&metrics, "dns_ttl_seconds"), Vec::<String>::new());
}

#[test]
fn expectation_is_judged_only_where_there_is_one() {
    let mut cache = fixture::cache("orders");
    let metrics = watching(&cache);
    metrics.observe(&fixture::leading_to(&cache, &["10.20.1.4", "20.50.1.2"]));
    assert_eq!(values(&metrics, "dns_as_expected"), [r#",resolver="system"} 0"#]);
    cache.expectation = crate::model::Expectation::default();
    metrics.observe(&fixture::leading_to(&cache, &["20.50.1.2"]));
    assert_eq!(values(&metrics, "dns_as_expected"), Vec::<String>::new());
}

#[test]
fn what_a_test_showed_stays_until_the_next() {
    let mut cache = fixture::cache("orders");
    cache.exposure.plain_port = true;
    let metrics = watching(&cache);
    let after = |passage: Option<Passage>| {
        let mut round = fixture::healthy(&cache);
        fixture::report(&mut round).exposure = passage.map(fixture::plain_port);
        metrics.observe(&round);
        values(&metrics, "exposure_open")
    };
    let plain = |value: u8| vec![format!(r#",kind="plain_port"}} {value}"#)];
    assert_eq!(after(None), [""; 0], "not tested yet");
    assert_eq!(after(Some(Passage::Open)), plain(1));
    assert_eq!(after(None), plain(1), "a round without a test says nothing");
    assert_eq!(after(Some(Passage::Closed)), plain(0));
    assert_eq!(after(Some(Passage::Unclear)), [""; 0], "the last test could not tell");
    assert_eq!(after(Some(Passage::Open)), plain(1));
    metrics.add_cache(&fixture::cache("orders"));
    assert_eq!(values(&metrics, "exposure_open"), [""; 0], "tested no longer");
}

#[test]
fn addresses_are_bounded_over_all_resolvers_of_a_cache() {
    let cache = fixture::cache("orders");
    let metrics = watching(&cache);
    let many: Vec<_> = (0..12).map(|last| format!("10.20.1.{last}")).collect();
    let mut round = fixture::leading_to(&cache, &many.iter().map(String::as_str).collect::<Vec<_>>());
    let report = fixture::report(&mut round);
    let resolutions = &mut report.lookup.resolutions;
    let mut second = resolutions[0].clone();
    second.resolver = ResolverName::new("hub");
    resolutions.push(second);
    metrics.observe(&round);
    let shown = of_caches(&metrics).into_iter().filter(|line| line.contains("dns_address_info")).count();
    assert_eq!(shown, MOST_ADDRESSES);
}

#[test]
fn rejected_connections_follow_one_server_through_its_restart() {
    let cache = fixture::cache("orders");
    let metrics = watching(&cache);
    let shown = |counts: &[Option<u64>]| {
        let mut round = fixture::leading_to(&cache, &["10.20.1.4", "10.20.1.5"][..counts.len()]);
        for (leg, count) in fixture::report(&mut round).legs.iter_mut().zip(counts) {
            leg.server.as_mut().unwrap().rejected_connections = *count;
        }
        metrics.observe(&round);
        let line = of_caches(&metrics).into_iter().find(|line| line.contains("rejected_connections"));
        line.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
    };
    assert_eq!(shown(&[None, None]), None);
    assert_eq!(shown(&[Some(3), Some(100)]), Some(3));
    assert_eq!(shown(&[Some(5), Some(100)]), Some(5));
    assert_eq!(shown(&[None, Some(100)]), Some(5), "the other server is not mistaken for a jump");
    assert_eq!(shown(&[Some(1), Some(100)]), Some(1), "a restart starts from the server's own count");
}

#[test]
fn a_finding_leaves_a_zero_behind_for_each_severity_it_had() {
    let cache = fixture::cache("orders");
    let metrics = watching(&cache);
    let open = |round: &Round| {
        metrics.observe(round);
        of_caches(&metrics).into_iter().filter(|line| line.contains("finding_open")).collect::<Vec<_>>()
    };
    let mut round = fixture::name_not_found(&cache);
    let line = |severity: u8, value: u8| {
        format!(
            r#"cachewatch_finding_open{{cache="orders",finding="dns-name-not-found",severity="{severity}"}} {value}"#
        )
    };
    assert_eq!(open(&round), [line(1, 1)]);
    round.verdict.open[0].severity = Severity::Degraded;
    assert_eq!(open(&round), [line(1, 0), line(2, 1)]);
    assert_eq!(open(&fixture::healthy(&cache)), [line(1, 0), line(2, 0)]);
}

#[test]
fn errors_without_a_word_are_counted() {
    let cache = fixture::cache("orders");
    let metrics = watching(&cache);
    let mut round = fixture::healthy(&cache);
    let note = Fault::new(Stage::Inspect, FaultKind::Unrecognised, "-XYZZY");
    fixture::report(&mut round).legs[0].notes.push(note);
    round.events.push(Event::new(round.seen.at(), None, EventKind::AddressesChanged));
    metrics.observe(&round);
    assert!(samples(&metrics).contains(&"cachewatch_unrecognised_errors_total 1".to_owned()));
}

#[test]
fn the_version_of_a_server_is_bounded() {
    let label = |text: &str| version_label(Some(&WireText::new(text)));
    assert_eq!(label("7.2.4-rc1+b"), "7.2.4-rc1+b");
    assert_eq!(label("7.2\"} 1\nfake{\u{1b}"), "7.2___1_nfake__u_1b_");
    assert_eq!(label(&"9".repeat(100)).len(), LONGEST_VERSION);
    assert_eq!(version_label(None), "");
}

#[test]
fn the_configuration_and_the_daemon_itself_are_measured() {
    let metrics = Metrics::new("1", "r");
    metrics.config_reloaded(true, Timestamp::from_unix_seconds(1_700_000_000), 2);
    metrics.config_reloaded(false, Timestamp::from_unix_seconds(1_700_000_060), 2);
    metrics.probe_late(Duration::from_millis(500));
    metrics.probes_in_flight(3);
    metrics.probe_panicked();
    metrics.auth_failed();
    metrics.auth_failed();
    metrics.connection_refused();
    metrics.tls_handshake_failed();
    metrics.guard_reloaded(false);
    let expected = [
        r#"cachewatch_build_info{revision="r",version="1"} 1"#,
        "cachewatch_config_caches 2",
        "cachewatch_config_last_reload_success_timestamp_seconds 1700000000",
        "cachewatch_config_last_reload_successful 0",
        "cachewatch_http_auth_failures_total 2",
        "cachewatch_http_connections_refused_total 1",
        "cachewatch_http_files_last_reload_successful 0",
        "cachewatch_http_tls_handshake_failures_total 1",
        r#"cachewatch_journal_events_total{sink="journal"} 0"#,
        "cachewatch_probe_lateness_seconds_sum 0.5",
        "cachewatch_probe_lateness_seconds_count 1",
        "cachewatch_probe_panics_total 1",
        "cachewatch_probes_in_flight 3",
        "cachewatch_probes_skipped_total 0",
        r#"cachewatch_sink_failures_total{sink="journal"} 0"#,
        r#"cachewatch_sink_failures_total{sink="log"} 0"#,
        "cachewatch_unrecognised_errors_total 0",
    ];
    assert_eq!(samples(&metrics), expected);
}

#[test]
fn names_keep_the_rules() {
    for (name, kind, labels) in catalogue() {
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
        assert!(name.starts_with("cachewatch_"), "{name}");
        let is_of_the_daemon = [&["version", "revision"][..], &["name"], &["sink"], &["loop"]].contains(&&*labels);
        assert!(labels.first().is_none_or(|first| *first == "cache") || is_of_the_daemon, "{name}");
        let is_a_unit_too_small = ["_ms", "_millis", "_percent"].iter().any(|unit| name.ends_with(unit));
        assert!(!is_a_unit_too_small, "{name}");
    }
    let metrics = watching(&fixture::cache("orders"));
    for family in metrics.registries.values().flat_map(Registry::gather) {
        assert!(family.help().len() > 10, "{}", family.name());
    }
}

/// The tables of `docs/metrics.md` list exactly these metrics, with these types and labels.
#[test]
fn the_document_lists_exactly_these_metrics() {
    let document = include_str!("../../../docs/metrics.md");
    let mut listed: Vec<_> = document
        .lines()
        .filter(|line| line.starts_with("| `cachewatch_"))
        .map(|line| line.split('|').skip(1).take(3).map(|cell| cell.trim().replace('`', "")).collect::<Vec<_>>())
        .map(|cells| cells.join(" | "))
        .collect();
    let mut known: Vec<_> =
        catalogue().iter().map(|(name, kind, labels)| format!("{name} | {kind} | {}", labels.join(", "))).collect();
    listed.sort_unstable();
    known.sort_unstable();
    assert_eq!(listed.join("\n"), known.join("\n"));
}
