//! `cachewatch check` and `cachewatch config` as a person or a script calls them.

#![expect(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use std::{
    fs,
    net::Ipv4Addr,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use testlab::{
    dns::{Answer, DnsServer},
    net::Namespace,
    peer::{Peer, Replies, Step},
    pki::{Authority, Leaf},
    program::{Call, DATELESS, Run, cachewatch, installed, program},
    redis::{Builder, RedisServer},
};

const HOST: &str = "orders.redis.cache.windows.net";
const ALIAS: &str = "orders.privatelink.redis.cache.windows.net";
const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 53);
const PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 20, 1, 4);
const PUBLIC: Ipv4Addr = Ipv4Addr::new(20, 50, 1, 10);
const PASSWORD: &str = "correct-horse-battery-staple";
const DAY: Duration = Duration::from_hours(24);

/// A network as a cache with a private endpoint has it: a name server that leads the cache's name to a private address,
/// and a server there and at a public address, on the port that applications dial.
struct Site {
    network: Namespace,
    names: DnsServer,
    server: RedisServer,
    authority: Authority,
    /// What the server shows; it reads the files again when it restarts.
    leaf: Leaf,
    files: TempDir,
}

impl Site {
    fn new() -> Self {
        Self::with(|builder| builder)
    }

    fn with(build: impl FnOnce(Builder<'_>) -> Builder<'_> + Send) -> Self {
        let network = Namespace::new();
        for address in [NAME_SERVER, PRIVATE, PUBLIC] {
            network.add_address(address);
        }
        let authority = Authority::new();
        let leaf = authority.leaf(&[HOST]);
        let names = network.run(|| DnsServer::start_at((NAME_SERVER, 53)));
        let builder = RedisServer::builder().tls(&leaf).bind(PRIVATE).bind(PUBLIC).port(6380).password(PASSWORD);
        let server = network.run(|| build(builder).start());
        let files = TempDir::new().unwrap();
        fs::write(files.path().join("resolv.conf"), format!("nameserver {NAME_SERVER}\n")).unwrap();
        fs::write(files.path().join("password"), format!("{PASSWORD}\n")).unwrap();
        let site = Self { network, names, server, authority, leaf, files };
        site.lead_to(Answer::new().address(PRIVATE, 10));
        site
    }

    /// Answers for the name behind the privatelink alias.
    fn lead_to(&self, answer: Answer) {
        self.names.set(HOST, answer.behind(ALIAS, 300));
    }

    fn file(&self, name: &str) -> String {
        self.files.path().join(name).to_string_lossy().into_owned()
    }

    fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.files.path().join(name), text).unwrap();
        self.file(name)
    }

    /// A call on this site's network, for what to do with it is the caller's.
    fn call(&self, arguments: &[&str]) -> Call {
        let environment = cachewatch(arguments).env("CACHEWATCH__PROBE__RESOLV_CONF", &self.file("resolv.conf"));
        let environment = environment.env("CACHEWATCH__PROBE__HOSTS_FILE", &self.file("hosts"));
        DATELESS.iter().fold(environment, |environment, (name, value)| environment.env(name, value))
    }

    fn run(&self, arguments: &[&str]) -> Run {
        self.network.run(|| self.call(arguments).run())
    }

    /// Checks the cache as a bare host, with the right password and roots, and these arguments more.
    fn check(&self, more: &[&str]) -> Run {
        let (ca, password) = (self.authority.ca_file(), self.file("password"));
        let ca = ca.to_string_lossy();
        self.run(&[&["check", HOST, "--ca-file", &ca, "--password-file", &password], more].concat())
    }

    /// A configuration with one cache of this site under each name.
    fn configuration(&self, names: &[&str]) -> String {
        let cache = |name: &&str| {
            format!(
                "[[caches]]\nname = \"{name}\"\nhost = \"{HOST}\"\nisolation = \"private_endpoint\"\n\
                 auth.password_file = \"{}\"\ntls.ca_file = \"{}\"\n",
                self.file("password"),
                self.authority.ca_file().display()
            )
        };
        self.write("config.toml", &names.iter().map(cache).collect::<String>())
    }
}

/// Without what differs from run to run: every time as `_`, blanks as one.
fn masked(text: &str) -> Vec<String> {
    let mask = |line: &str| {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        for at in 1..words.len() {
            if words[at].starts_with("ms") && words[at - 1].parse::<f64>().is_ok() {
                words[at - 1] = "_";
            }
        }
        words.join(" ")
    };
    text.lines().map(mask).collect()
}

/// The same for a document: every measured time, and what a server or a certificate is born with.
fn mask(document: &mut Value) {
    const BORN: [&str; 6] = ["at", "since", "serial", "run_id", "not_before", "not_after"];
    match document {
        Value::Object(fields) => {
            for (name, value) in fields {
                let measured = name == "took_seconds"
                    || (name == "uptime_seconds" && value.is_u64())
                    || (name == "clock_skew_seconds" && value.as_i64().is_some_and(|skew| skew.abs() <= 1));
                match value {
                    Value::Object(timings) if name == "timings_seconds" => {
                        timings.values_mut().for_each(|timing| *timing = json!(timing.is_f64()));
                    }
                    value if measured || BORN.contains(&name.as_str()) => *value = json!("_"),
                    value => mask(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        _ => {}
    }
}

/// The ids of the findings of the one cache checked, the deepest cause first.
fn findings(document: &Value) -> Vec<&str> {
    let findings = document["caches"][0]["findings"].as_array().unwrap();
    findings.iter().map(|finding| finding["id"].as_str().unwrap()).collect()
}

#[test]
fn every_stage_is_told_in_a_line_of_its_own() {
    let site = Site::new();
    let run = site.check(&["--expect", "private"]);
    assert_eq!(
        masked(&run.stdout),
        [
            "orders.redis.cache.windows.net:6380 Azure Cache for Redis · a private endpoint is expected",
            "resolve ok _ ms orders.redis.cache.windows.net → orders.privatelink.redis.cache.windows.net (TTL 300s) → \
             10.20.1.4 (private, TTL 10s)",
            "resolver system: 10.20.0.53:53 over udp; a private endpoint exists (privatelink alias); as expected",
            "connect ok _ ms 10.20.1.4:6380 (private)",
            "tls ok _ ms TLSv1.3, TLS_AES_256_GCM_SHA384; certificate for orders.redis.cache.windows.net from \
             \"CN=cachewatch test root\", 364 days left",
            "auth ok _ ms access key",
            "ping ok _ ms PONG",
            &format!(
                "inspect ok _ ms Redis {}, primary, standalone, 1 of 10000 clients (limit from the server)",
                version(&site)
            ),
            "",
            "HEALTHY: every address answered, in _ ms",
            "",
        ]
    );
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
}

/// The version of Redis on this machine.
fn version(site: &Site) -> String {
    let info = site.server.command(&["INFO", "server"]);
    info.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap().to_owned()
}

#[test]
fn a_cause_is_told_with_what_was_seen_and_what_to_run() {
    let mut site = Site::new();
    site.server.stop();
    let run = site.check(&[]);
    let lines = masked(&run.stdout);
    assert_eq!(
        lines[3..],
        [
            "connect FAILED _ ms 10.20.1.4:6380: Connection refused (os error 111)",
            "",
            "UNHEALTHY: applications here cannot rely on this cache; the root cause is listed first",
            "",
            "tcp-refused (severity 1, unavailable)",
            "orders.redis.cache.windows.net:6380 at 10.20.1.4 (private) refuses connections on port 6380",
            "seen: 10.20.1.4 (private): 10.20.1.4:6380: Connection refused (os error 111)",
            "note: the cache is restarting or being updated, or nothing listens on this port",
            "run: $ az redis show -n orders -g <resource-group> --query \"{state:provisioningState, port:sslPort, \
             plainPort:enableNonSslPort}\"",
            "run: $ nc -vz -w 5 orders.redis.cache.windows.net 6380",
            "",
        ],
        "{}",
        run.stdout
    );
    assert_eq!((run.code, run.stderr.as_str()), (Some(2), ""));
}

#[test]
fn the_document_holds_everything_that_was_seen() {
    let site = Site::new();
    let run = site.check(&["--format", "json"]);
    let mut document = run.json();
    mask(&mut document);
    let query = |name: &str, record_type: &str, outcome: &str| {
        json!({
            "server": "10.20.0.53:53", "transport": "udp", "name": name, "record_type": record_type, "outcome": outcome,
            "detail": "", "took_seconds": "_",
        })
    };
    let expected = json!({
        "schema_version": 1,
        "caches": [{
            "cache": HOST, "host": HOST, "port": 6380, "standing": "well", "findings": [], "connect_to": [],
            "clients": {"connected": 1, "limit": 10000, "limit_source": "server", "headroom_ratio": 0.9999},
            "report": {
                "cache": HOST, "at": "_", "took_seconds": "_", "fault": null, "control_reached": null,
                "exposure": null,
                "resolutions": [{
                    "resolver": "system", "source": "dns", "name": HOST, "searched": false, "took_seconds": "_",
                    "chain": [{"owner": HOST, "target": ALIAS, "ttl_seconds": 300}],
                    "addresses": [{"address": "10.20.1.4", "class": "private", "ttl_seconds": 10}],
                    "addresses_dropped": 0, "fault": null, "overridden": null,
                    "application": {"libc": "glibc", "success": true, "took_seconds": "_", "waits": []},
                    "queries": [query(HOST, "A", "noerror"), query(HOST, "AAAA", "noerror")],
                }],
                "legs": [{
                    "address": "10.20.1.4", "class": "private", "dialled": "10.20.1.4:6380", "fault": null, "notes": [],
                    "wants_key": false,
                    "timings_seconds": {"connect": true, "tls": true, "auth": true, "ping": true, "inspect": true},
                    "tls": {
                        "version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384", "server_name": HOST, "verified": true,
                        "chain": [{
                            "subject": format!("CN={HOST}"), "issuer": "CN=cachewatch test root", "names": [HOST],
                            "serial": "_", "not_before": "_", "not_after": "_",
                        }],
                    },
                    "server": {
                        "version": version(&site), "role": "primary", "mode": "standalone", "run_id": "_",
                        "uptime_seconds": "_", "connected_clients": 1, "max_clients": 10000,
                        "rejected_connections": 0, "connected_replicas": 0, "clock_skew_seconds": "_",
                    },
                }],
            },
        }],
    });
    assert_eq!(document, expected, "{}", run.stdout);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_finding_in_the_document_has_the_shape_of_the_contract() {
    let site = Site::new();
    site.names.set(HOST, Answer::new().nxdomain());
    let mut document = site.check(&["--format", "json"]).json();
    mask(&mut document);
    let asked = |record_type: &str| format!("{HOST} {record_type} at 10.20.0.53:53 over udp: nxdomain");
    let entry = &document["caches"][0];
    assert_eq!(entry["standing"], "ill");
    assert_eq!(
        entry["findings"],
        json!([{
            "id": "dns-name-not-found", "severity": 1, "cache": HOST, "stage": "resolve", "since": "_",
            "summary": "orders.redis.cache.windows.net does not exist",
            "evidence": [entry["report"]["resolutions"][0]["fault"]["detail"], asked("A"), asked("AAAA")],
            "remedy": [
                "az redis list --query \"[?name=='orders'].{name:name, host:hostName, group:resourceGroup}\" -o table",
                "# where it is not listed, the cache was deleted or its name is misspelt; compare with the host above",
                "nslookup orders.redis.cache.windows.net 10.20.0.53",
            ],
        }])
    );
}

/// The control target tells a machine that is cut off from a cache that is.
#[test]
fn a_machine_that_is_cut_off_blames_no_cache() {
    let verdict = |closed: &[&str]| {
        let site = Site::new();
        for rule in closed {
            site.network.filter(rule);
        }
        let run = site.network.run(|| {
            let call =
                site.call(&["check", "orders", "--config", &site.configuration(&["orders"]), "--format", "json"]);
            let call = call.env("CACHEWATCH__PROBE__CONTROL", &format!("{NAME_SERVER}:53"));
            call.env("CACHEWATCH__PROBE__CONNECT_TIMEOUT", "400ms").run()
        });
        let ids: Vec<_> = findings(&run.json()).into_iter().map(str::to_owned).collect();
        (ids.join(" "), run.code)
    };
    assert_eq!(verdict(&[]), (String::new(), Some(0)));
    assert_eq!(verdict(&["tcp dport 6380 drop"]), ("tcp-filtered".to_owned(), Some(2)));
    assert_eq!(verdict(&["tcp dport { 53, 6380 } drop"]), ("monitor-offline".to_owned(), Some(2)));
}

/// One way a cache can be ill: what to do to a healthy site, the options of the check, its verdict.
struct Case {
    name: &'static str,
    harm: fn(&mut Site),
    options: &'static [&'static str],
    findings: &'static [&'static str],
    stage: &'static str,
    code: i32,
}

impl Site {
    /// Shows another leaf from the next connection on.
    fn show(&mut self, leaf: Leaf) {
        self.server.show(&leaf);
        self.leaf = leaf;
    }
}

const CASES: &[Case] = &[
    Case { name: "healthy", harm: |_| {}, options: &["--expect", "private"], findings: &[], stage: "", code: 0 },
    Case {
        name: "server stopped",
        harm: |site| site.server.stop(),
        options: &[],
        findings: &["tcp-refused"],
        stage: "connect",
        code: 2,
    },
    Case {
        name: "packets dropped on the way",
        harm: |site| site.network.filter("ip daddr 10.20.1.4 tcp dport 6380 drop"),
        options: &["--timeout", "1s"],
        findings: &["tcp-filtered"],
        stage: "connect",
        code: 2,
    },
    Case {
        name: "server frozen",
        harm: |site| site.server.pause(),
        options: &["--timeout", "1s"],
        findings: &["tls-timeout"],
        stage: "tls",
        code: 2,
    },
    Case {
        name: "certificate expired",
        harm: |site| site.show(site.authority.expired(&[HOST])),
        options: &[],
        findings: &["tls-expired"],
        stage: "tls",
        code: 2,
    },
    Case {
        name: "certificate not valid yet",
        harm: |site| site.show(site.authority.not_yet_valid(&[HOST])),
        options: &[],
        findings: &["tls-not-yet-valid"],
        stage: "tls",
        code: 2,
    },
    Case {
        name: "certificate of another name",
        harm: |site| site.show(site.authority.leaf(&["carts.redis.cache.windows.net"])),
        options: &[],
        findings: &["tls-name-mismatch"],
        stage: "tls",
        code: 2,
    },
    Case {
        name: "certificate of nobody's",
        harm: |site| site.show(Leaf::self_signed(&[HOST])),
        options: &[],
        findings: &["tls-untrusted"],
        stage: "tls",
        code: 2,
    },
    Case {
        name: "certificate ends in 20 days",
        harm: |site| site.show(site.authority.valid_for(&[HOST], 20 * DAY)),
        options: &[],
        findings: &["tls-expires-soon"],
        stage: "tls",
        code: 1,
    },
    Case {
        name: "certificate ends in 3 days",
        harm: |site| site.show(site.authority.valid_for(&[HOST], 3 * DAY)),
        options: &[],
        findings: &["tls-expires-soon"],
        stage: "tls",
        code: 2,
    },
    Case {
        name: "wrong key",
        harm: |site| drop(site.write("password", "hunter2\n")),
        options: &[],
        findings: &["auth-rejected"],
        stage: "auth",
        code: 2,
    },
    Case {
        name: "password file gone",
        harm: |site| fs::remove_file(site.file("password")).unwrap(),
        options: &[],
        findings: &["credential-unreadable"],
        stage: "auth",
        code: 2,
    },
    Case {
        name: "NXDOMAIN",
        harm: |site| site.names.set(HOST, Answer::new().nxdomain()),
        options: &[],
        findings: &["dns-name-not-found"],
        stage: "resolve",
        code: 2,
    },
    Case {
        name: "NODATA behind the privatelink alias",
        harm: |site| site.lead_to(Answer::new()),
        options: &["--expect", "private"],
        findings: &["dns-record-missing"],
        stage: "resolve",
        code: 2,
    },
    Case {
        name: "NXDOMAIN behind the privatelink alias",
        harm: |site| site.lead_to(Answer::new().nxdomain()),
        options: &["--expect", "private"],
        findings: &["dns-record-missing"],
        stage: "resolve",
        code: 2,
    },
    Case {
        name: "SERVFAIL",
        harm: |site| site.names.set(HOST, Answer::new().servfail()),
        options: &[],
        findings: &["dns-server-failure"],
        stage: "resolve",
        code: 2,
    },
    Case {
        name: "a silent name server",
        harm: |site| site.names.set(HOST, Answer::new().silent()),
        options: &["--timeout", "1s"],
        findings: &["dns-timeout"],
        stage: "resolve",
        code: 2,
    },
    Case {
        name: "no name server there",
        harm: |site| drop(site.write("resolv.conf", "nameserver 10.20.1.4\n")),
        options: &["--timeout", "1s"],
        findings: &["dns-unreachable"],
        stage: "resolve",
        code: 2,
    },
    Case {
        name: "public behind the privatelink alias where private is expected",
        harm: |site| site.lead_to(Answer::new().address(PUBLIC, 10)),
        options: &["--expect", "private"],
        findings: &["dns-zone-not-linked"],
        stage: "resolve",
        code: 2,
    },
    Case {
        name: "public without an alias where private is expected",
        harm: |site| site.names.set(HOST, Answer::new().address(PUBLIC, 10)),
        options: &["--expect", "private"],
        findings: &["dns-no-private-endpoint"],
        stage: "resolve",
        code: 2,
    },
    Case {
        name: "private where public is expected",
        harm: |_| {},
        options: &["--expect", "public"],
        findings: &["dns-private-when-public-expected"],
        stage: "resolve",
        code: 1,
    },
    Case {
        name: "private, and not in the network expected",
        harm: |_| {},
        options: &["--expect", "10.20.2.0/24"],
        findings: &["dns-unexpected-private"],
        stage: "resolve",
        code: 2,
    },
    Case {
        name: "private and public at once",
        harm: |site| site.lead_to(Answer::new().address(PRIVATE, 10).address(PUBLIC, 10)),
        options: &[],
        findings: &["dns-mixed-answer"],
        stage: "resolve",
        code: 2,
    },
    Case {
        name: "one of two addresses closed",
        harm: |site| {
            site.network.add_address([10, 20, 1, 5]);
            site.lead_to(Answer::new().address(PRIVATE, 10).address([10, 20, 1, 5], 10));
        },
        options: &["--expect", "private"],
        findings: &["tcp-partial"],
        stage: "connect",
        code: 2,
    },
    Case {
        name: "an answer kept for a day",
        harm: |site| site.names.set(HOST, Answer::new().address(PRIVATE, 86_400)),
        options: &[],
        findings: &["dns-ttl-long"],
        stage: "resolve",
        code: 1,
    },
    Case {
        name: "clients near the limit",
        harm: |site| assert_eq!(site.server.command(&["CONFIG", "SET", "maxclients", "1"]), "+OK\r\n"),
        options: &[],
        findings: &["clients-headroom-low"],
        stage: "inspect",
        code: 2,
    },
];

#[test]
fn each_illness_has_its_verdict() {
    let mut wrong = Vec::new();
    for case in CASES {
        let mut site = Site::new();
        (case.harm)(&mut site);
        let run = site.check(&[case.options, &["--format", "json"]].concat());
        let document = run.json();
        let stage = document["caches"][0]["findings"][0]["stage"].as_str().unwrap_or_default();
        let verdict = (findings(&document), stage, run.code, run.stderr.as_str());
        let expected = (case.findings.to_vec(), case.stage, Some(case.code), "");
        if verdict != expected {
            wrong.push(format!("{}:\n  {verdict:?}\n, not\n  {expected:?}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_server_that_wants_a_password_is_told_from_one_that_wants_none() {
    let site = Site::new();
    let ca = site.authority.ca_file();
    let bare = ["check", HOST, "--format", "json", "--ca-file", &ca.to_string_lossy()];
    let run = site.run(&bare);
    assert_eq!((findings(&run.json()), run.code), (vec!["auth-required"], Some(2)));
    assert_eq!(site.server.command(&["CONFIG", "SET", "requirepass", ""]), "+OK\r\n");
    let run = site.run(&bare);
    assert_eq!((findings(&run.json()), run.code), (vec![], Some(0)));
    let run = site.check(&["--format", "json"]);
    assert_eq!((findings(&run.json()), run.code), (vec!["auth-not-configured"], Some(2)));
}

#[test]
fn without_any_resolver_nothing_can_be_told() {
    let site = Site::new();
    for (conf, words) in [("# empty\n", "it names no name server"), ("", "No such file or directory")] {
        match conf {
            "" => fs::remove_file(site.file("resolv.conf")).unwrap(),
            conf => drop(site.write("resolv.conf", conf)),
        }
        let run = site.check(&[]);
        assert_eq!(run.code, Some(3), "{run:?}");
        assert!(run.stdout.contains("UNKNOWN: the health of this cache could not be determined"), "{run:?}");
        assert!(run.stdout.contains(words), "{words}: {run:?}");
    }
    // A name server that is named needs no resolv.conf.
    let run = site.check(&["--resolver", "10.20.0.53"]);
    assert_eq!(run.code, Some(0), "{run:?}");
}

#[test]
fn targets_are_bare_hosts_configured_names_or_everything() {
    let site = Site::new();
    let config = site.configuration(&["orders", "carts"]);
    let checked = |arguments: &[&str]| {
        let run = site.run(&[&["check", "--format", "json"], arguments].concat());
        let document = run.json();
        let caches = document["caches"].as_array().unwrap().iter();
        let caches: Vec<_> =
            caches.map(|cache| format!("{} {} {}", cache["cache"], cache["port"], cache["standing"])).collect();
        (caches.join("; ").replace('"', ""), run.code, run.stderr)
    };
    let told = |caches: &str, code, stderr: &str| (caches.to_owned(), Some(code), stderr.to_owned());
    assert_eq!(checked(&["--config", &config]), told("orders 6380 well; carts 6380 well", 0, ""));
    assert_eq!(checked(&["orders", "--config", &config]), told("orders 6380 well", 0, ""));
    let ca = site.authority.ca_file();
    let ca = ca.to_string_lossy();
    let password = site.file("password");
    let access = ["--ca-file", &ca, "--password-file", &password];
    let port = format!("{HOST}:6380");
    assert_eq!(checked(&[&[port.as_str()][..], &access].concat()), told(&format!("{HOST} 6380 well"), 0, ""));
    // The worst decides: a bare host beside a configured one, refused on another port.
    let other = format!("{HOST}:6379");
    let mixed = [&["orders", &other, "--config", &config][..], &access].concat();
    assert_eq!(checked(&mixed), told(&format!("orders 6380 well; {HOST} 6379 ill"), 2, ""));
    // A host that is an address needs no resolver; no certificate covers it, and that is a finding of its own.
    let run =
        site.run(&[&["check", "10.20.1.4:6380", "--format", "json", "--server-name", HOST][..], &access].concat());
    assert_eq!((findings(&run.json()), run.code), (vec!["config-ip-address"], Some(1)));
    // A word without a dot and a port is a misspelt name, and nobody's outage.
    let run = site.run(&["check", "ordres", "--config", &config]);
    let words = format!(
        "no cache named ordres is configured in {config} (configured: orders, carts; did you mean orders?), and \
         `ordres` is not a host name with a domain; give HOST.DOMAIN or HOST:PORT\n"
    );
    assert_eq!((run.code, run.stdout.as_str(), run.stderr), (Some(3), "", words));
}

/// `method = "none"`, written down, is no lack of a key but a wish: what answers is well, and says what it wants.
#[test]
fn a_key_that_is_not_given_on_purpose_is_no_finding() {
    let site = Site::new();
    let config = site.configuration(&["orders"]);
    let withheld = fs::read_to_string(&config).unwrap();
    let key = withheld.lines().find(|line| line.starts_with("auth.")).unwrap();
    let config = site.write("config.toml", &withheld.replace(key, "auth.method = \"none\""));
    let run = site.run(&["check", "--config", &config]);
    let ping = masked(&run.stdout).into_iter().find(|line| line.starts_with("ping "));
    assert_eq!(ping.as_deref(), Some("ping ok _ ms answers; it requires a key, and none is given here"), "{run:?}");
    assert!(run.code == Some(0) && !run.stdout.contains("inspect") && !run.stdout.contains("auth "), "{run:?}");
    let run = site.run(&["check", "--config", &config, "--format", "json"]);
    let cache = &run.json()["caches"][0];
    let leg = &cache["report"]["legs"][0];
    assert_eq!((&cache["standing"], &cache["findings"], &cache["clients"]), (&json!("well"), &json!([]), &Value::Null));
    assert_eq!((&leg["wants_key"], &leg["server"], &leg["fault"]), (&json!(true), &Value::Null, &Value::Null));
    let stages: Vec<_> = leg["timings_seconds"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(stages, ["connect", "ping", "tls"]);
    // What is shown means the same when it is read again.
    let shown = site.run(&["config", "show", "--config", &config]).stdout;
    assert!(shown.contains("[caches.auth]\nmethod = \"none\"\n"), "{shown}");

    // Where nobody said so, the key is missing; and there are words for both ways out.
    let config = site.write("config.toml", &withheld.replace(key, ""));
    assert!(!site.run(&["config", "show", "--config", &config]).stdout.contains("method"));
    let run = site.run(&["check", "--config", &config, "--format", "json"]);
    let finding = &run.json()["caches"][0]["findings"][0];
    assert_eq!((finding["id"].as_str(), run.code), (Some("auth-required"), Some(2)));
    let remedy = finding["remedy"].to_string();
    for words in ["password_file under [caches.auth]", "--password-file", "method = \\\"none\\\""] {
        assert!(remedy.contains(words), "{words}: {remedy}");
    }
}

/// As the package leaves it: nobody says where the configuration is.
#[test]
fn the_installed_configuration_is_read_where_none_is_named() {
    let site = Site::new();
    let config = site.configuration(&["orders", "carts"]);
    let installed = |arguments: &[&str], environment: &[(&str, &str)]| {
        let mut call = installed(config.as_ref(), arguments);
        for (name, file) in
            [("CACHEWATCH__PROBE__RESOLV_CONF", "resolv.conf"), ("CACHEWATCH__PROBE__HOSTS_FILE", "hosts")]
        {
            call = call.env(name, &site.file(file));
        }
        for (name, value) in DATELESS.iter().chain(environment) {
            call = call.env(name, value);
        }
        site.network.run(|| call.run())
    };
    let checked = |arguments: &[&str]| {
        let run = installed(&[&["check", "--format", "json"][..], arguments].concat(), &[]);
        let document = run.json();
        let names =
            document["caches"].as_array().unwrap().iter().map(|cache| cache["cache"].as_str().unwrap().to_owned());
        (names.collect::<Vec<_>>(), run.code)
    };
    assert_eq!(checked(&[]), (vec!["orders".to_owned(), "carts".to_owned()], Some(0)));
    assert_eq!(checked(&["orders"]), (vec!["orders".to_owned()], Some(0)));
    assert_eq!(installed(&["config", "check"], &[]).stdout, "the configuration is valid: 2 caches\n");
    let run = installed(&["check", "ordres"], &[]);
    let words = "configured in /etc/cachewatch/cachewatch.toml (configured: orders, carts; did you mean orders?)";
    assert!(run.code == Some(3) && run.stderr.contains(words), "{run:?}");
    // The daemon is looked for where that file says it listens.
    let listen = ("CACHEWATCH__SERVER__LISTEN", "127.0.0.1:9");
    for arguments in [&["health"][..], &["events"], &["baseline", "accept", "orders"]] {
        let run = installed(arguments, &[listen]);
        assert!(run.code == Some(3) && run.stderr.contains("http://127.0.0.1:9"), "{arguments:?}: {run:?}");
    }

    // A file of one's own wins, in either way.
    let own = site.write("own.toml", "[server]\nlisten = \"127.0.0.1:1\"\n");
    for (arguments, environment) in
        [(&["health", "--config", &own][..], vec![]), (&["health"], vec![("CACHEWATCH_CONFIG", &*own)])]
    {
        let run = installed(arguments, &environment);
        assert!(run.stderr.contains("http://127.0.0.1:1/"), "{run:?}");
    }

    // What names no cache says where one is named; what is broken keeps no host from being checked.
    site.write("config.toml", "");
    for (command, words) in [("check", "nothing to check: "), ("run", "nothing to watch: ")] {
        let run = installed(&[command], &[]);
        let words = format!("{words}add a cache to /etc/cachewatch/cachewatch.toml ([[caches]])");
        assert!(run.code == Some(3) && run.stderr.starts_with(&words), "{run:?}");
    }
    site.write("config.toml", "[[caches]");
    let (ca, password) = (site.authority.ca_file(), site.file("password"));
    let run = installed(&["check", HOST, "--ca-file", &ca.to_string_lossy(), "--password-file", &password], &[]);
    assert!(
        run.code == Some(0) && run.stderr.starts_with("note: /etc/cachewatch/cachewatch.toml cannot be used"),
        "{run:?}"
    );
    // A sidecar does without, whatever the machine's own service watches.
    let run = installed(&["run", "192.0.2.1:6380"], &[("CACHEWATCH__SERVER__LISTEN", "192.0.2.1:1")]);
    assert!(run.stderr.contains("cannot listen on 192.0.2.1:1"), "{run:?}");
}

#[test]
fn plain_redis_is_spoken_where_it_is_asked_for() {
    let server = RedisServer::builder().password(PASSWORD).start();
    let names = DnsServer::start();
    names.set("plain.test", Answer::new().address(Ipv4Addr::LOCALHOST, 10));
    let (host, resolver) = (format!("plain.test:{}", server.port()), names.address().to_string());
    let arguments = ["check", &host, "--no-tls", "--resolver", &resolver];
    let run = cachewatch(&arguments).env("CACHEWATCH_PASSWORD", PASSWORD).run();
    let stages: Vec<_> = masked(&run.stdout)
        .iter()
        .filter_map(|line| line.split_once(" ok _ ms").map(|(stage, _)| stage.to_owned()))
        .collect();
    assert_eq!(stages, ["resolve", "connect", "auth", "ping", "inspect"], "{run:?}");
    assert_eq!(run.code, Some(0));
}

#[test]
fn what_cannot_be_understood_ends_with_three_and_words() {
    for (arguments, words) in [
        (&["check"][..], "nothing to check: give HOST[:PORT], or --config FILE with [[caches]] in it\n"),
        (
            &["run"],
            "nothing to watch: give HOST[:PORT], set CACHEWATCH_TARGETS, or give --config FILE with [[caches]] in it\n",
        ),
        (&[], "Usage: cachewatch <COMMAND>"),
        (&["chekc"], "unrecognized subcommand 'chekc'"),
        (&["check", "--exepct", "private"], "unexpected argument '--exepct' found"),
        (&["check", "orders.test", "--password", "hunter2"], "unexpected argument '--password' found"),
        (&["check", "orders.test", "--format", "yaml"], "[possible values: text, json]"),
        (&["check", "orders.test", "--timeout", "soon"], "invalid value 'soon' for '--timeout <DURATION>'"),
        (
            &["check", "orders.test", "--resolver", "hub"],
            "\"hub\" is not the address of a name server; write an IP address",
        ),
        (&["check", "orders.test", "--expect", "privat"], "write private, public, \"10.20.1.0/24\" or \"10.20.1.4\""),
        (
            &["check", "rediss://orders.test:6380"],
            "target rediss://orders.test:6380: a URL is not a target; write orders.test:6380\n",
        ),
        (&["check", "--expect", "private"], "options such as --expect and --password-file apply to a bare HOST[:PORT]"),
        (&["check", "--config", "/no/such/file.toml"], "/no/such/file.toml"),
        (&["config", "check", "--config", "/dev/zero"], "not a regular file"),
        (&["check", "orders.test", "--ca-file", "/dev/zero"], "not a regular file"),
        (&["run", "--config", "/dev/null"], "not a regular file"),
        (&["check", "orders.test:6380,password=hunter2,ssl=True"], "this is a connection string"),
        (&["check", "--", "-rf.redis.cache.windows.net"], "begins or ends with a dash"),
        (&["config", "show", "--config", "tests/config/bad/many_at_once.toml"], "tests/config/bad/many_at_once.toml:"),
    ] {
        let run = cachewatch(arguments).run();
        assert_eq!((run.code, run.stdout.as_str()), (Some(3), ""), "{arguments:?}: {run:?}");
        assert!(run.stderr.contains(words) && !run.stderr.contains("hunter2"), "{arguments:?}: {words}: {run:?}");
    }
}

/// Templates of containers leave empty variables behind.
#[test]
fn an_empty_variable_is_not_set() {
    let server = RedisServer::builder().start();
    let target = server.address().to_string();
    let names = [
        "CONFIG",
        "PASSWORD_FILE",
        "USERNAME",
        "CA_FILE",
        "SERVER_NAME",
        "NO_TLS",
        "EXPECT",
        "RESOLVER",
        "TIER",
        "TIMEOUT",
    ];
    let call = names
        .iter()
        .fold(cachewatch(&["check", &target, "--no-tls"]), |call, name| call.env(&format!("CACHEWATCH_{name}"), ""));
    let run = call.run();
    assert_eq!(
        (run.code, run.stderr.as_str()),
        (Some(1), ""),
        "a configured address is a risk, and that is all: {run:?}"
    );
}

#[test]
fn every_problem_of_a_configuration_is_told_at_once() {
    let file = "tests/config/bad/many_at_once.toml";
    let words = fs::read_to_string("tests/config/bad/many_at_once.txt").unwrap();
    for command in [&["check"][..], &["run"], &["config", "check"], &["config", "show"]] {
        let run = cachewatch(&[command, &["--config", file]].concat()).run();
        assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (Some(3), "", words.as_str()), "{command:?}");
    }
}

#[test]
fn every_command_has_help_with_an_example() {
    let [asked, told] = [["check", "--help"], ["help", "check"]].map(|words| cachewatch(&words).run());
    assert_eq!((told.code, &told.stdout), (Some(0), &asked.stdout), "{told:?}");
    let whole = cachewatch(&["help"]).run().stdout;
    let files = "every command reads /etc/cachewatch/cachewatch.toml and conf.d/*.toml beside it";
    assert!(whole.split_whitespace().collect::<Vec<_>>().join(" ").contains(files), "{whole}");
    for command in [&["check"][..], &["run"], &["config", "check"], &["config", "show"]] {
        let run = cachewatch(&[command, &["--help"]].concat()).run();
        let example = format!("cachewatch {}", command.join(" "));
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{command:?}");
        let (_, examples) = run.stdout.split_once("Example").unwrap_or_else(|| panic!("{command:?}: {run:?}"));
        assert!(examples.contains(&example), "{command:?}: {run:?}");
    }
    let version = cachewatch(&["--version"]).run();
    assert_eq!((version.code, version.stdout), (Some(0), format!("cachewatch {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let names = DnsServer::start();
    let resolver = names.address().to_string();
    let check = ["check", "nowhere.test", "--resolver", &resolver];
    for (arguments, code) in [
        (&check[..], 2),
        (&[&check[..], &["--format", "json"]].concat(), 2),
        (&["config", "show", "--config", "config.example.toml"], 0),
        (&["config", "check", "--config", "config.example.toml"], 0),
        (&["--help"], 0),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let words = [&program()[..], arguments].concat();
        let mut command = Command::new(words[0]);
        let output = command.args(&words[1..]).env_clear().stdout(writer).stdin(Stdio::null()).output().unwrap();
        let told = (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned());
        assert_eq!(told, (Some(code), String::new()), "{arguments:?}");
    }
}

#[test]
fn colour_is_for_terminals_that_want_it() {
    let names = DnsServer::start();
    let program = env!("CARGO_BIN_EXE_cachewatch");
    let line = format!("{program} check nowhere.test --resolver {}", names.address());
    let on_a_terminal = |environment: &[(&str, &str)]| {
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env("TERM", "xterm");
        for switch in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI"] {
            script.env_remove(switch);
        }
        let output = script.envs(environment.iter().copied()).stdin(Stdio::null()).output();
        let output = output.expect("script gives a terminal: apt-get install -y bsdutils");
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let coloured = on_a_terminal(&[]);
    assert!(coloured.contains("\u{1b}[1m\u{1b}[31mFAILED\u{1b}[0m"), "{coloured}");
    for refusal in [("NO_COLOR", "1"), ("TERM", "dumb"), ("CLICOLOR", "0")] {
        let plain = on_a_terminal(&[refusal]);
        assert!(plain.contains("FAILED") && !plain.contains('\u{1b}'), "{refusal:?}: {plain:?}");
    }
    let resolver = names.address().to_string();
    let piped = || cachewatch(&["check", "nowhere.test", "--resolver", &resolver]).env("TERM", "xterm");
    let plain = piped().run();
    assert!(plain.stdout.contains("FAILED") && !plain.stdout.contains('\u{1b}'), "{plain:?}");
    let forced = piped().env("CLICOLOR_FORCE", "1").run();
    assert!(forced.stdout.contains("\u{1b}[1m\u{1b}[31mFAILED\u{1b}[0m"), "{forced:?}");
}

/// Escape codes in every word a stranger can put before us: alias, certificate, error reply, INFO, and an argument.
#[test]
fn words_of_strangers_give_a_terminal_no_orders() {
    let authority = Authority::new();
    let names = DnsServer::start();
    names.set("alias.test", Answer::new().alias("\u{1b}[2Jevil.test", 10));
    for host in ["certificate.test", "error.test", "info.test", "garbage.test"] {
        names.set(host, Answer::new().address(Ipv4Addr::LOCALHOST, 10));
    }
    let evil = "\u{1b}[2J\u{1b}]0;owned\u{7}\r\u{9b}1A\u{202e}";
    let leaf = authority.leaf(&["info.test", "error.test", "garbage.test"]);
    let info = format!("redis_version:{evil}\r\nrole:{evil}\r\nredis_mode:{evil}\r\nrun_id:{evil}\r\n");
    let info = format!("${}\r\n{info}\r\n", info.len());
    let error = Replies::redis().on("PING", format!("-ERR {evil}\r\n"));
    let peers = [
        ("certificate.test", Peer::tls(authority.leaf(&["\u{1b}[2Jevil.test"]).server(), [Step::Hold])),
        ("error.test", Peer::tls(leaf.server(), [Step::Serve(error)])),
        ("info.test", Peer::tls(leaf.server(), [Step::Serve(Replies::redis().on("INFO", info))])),
        ("garbage.test", Peer::tls(leaf.server(), [Step::Hear, Step::say(evil)])),
    ];
    let mut targets: Vec<_> = peers.iter().map(|(host, peer)| format!("{host}:{}", peer.address().port())).collect();
    targets.push("alias.test".to_owned());
    let (resolver, ca) = (names.address().to_string(), authority.ca_file().to_string_lossy().into_owned());
    let mut arguments: Vec<_> = ["check", "--resolver", &resolver, "--ca-file", &ca].to_vec();
    arguments.extend(targets.iter().map(String::as_str));
    let run = cachewatch(&arguments).run();
    assert_eq!(run.code, Some(2), "{run:?}");
    for (target, own_words) in
        targets.iter().zip(["\\u{1b}[2Jevil.test", "ERR \\u{1b}[2J", "Redis \\u{1b}[2J", "\\u{1b}[2J", "[2jevil.test"])
    {
        assert!(run.stdout.contains(own_words), "{target} was not heard at all: {}", run.stdout);
    }
    let document = cachewatch(&[&arguments[..], &["--format", "json"]].concat()).run();
    let argument = cachewatch(&["check", evil]).run();
    assert_eq!(argument.code, Some(3));
    for said in [run.stdout, run.stderr, document.stdout, document.stderr, argument.stdout, argument.stderr] {
        let orders: String =
            said.chars().filter(|letter| letter.is_control() && *letter != '\n' || *letter == '\u{202e}').collect();
        assert_eq!(orders, "", "{said:?}");
    }
}

/// Whatever happens to a password, nobody gets to read it: not even where the server sends it back.
#[test]
fn a_password_is_never_shown() {
    let rejecting = Site::new();
    rejecting.write("password", &format!("{PASSWORD}-of-yesterday"));
    // Redis repeats the arguments of a command it does not know.
    let repeating = Site::with(|builder| builder.without_command("AUTH"));
    for site in [Site::new(), rejecting, repeating] {
        let config = site.configuration(&["orders"]);
        for arguments in [
            &["check", "--config", &config][..],
            &["check", "--config", &config, "--format", "json"],
            &["config", "check", "--config", &config],
            &["config", "show", "--config", &config],
        ] {
            let by_file = site.run(arguments);
            let by_variable = site.network.run(|| {
                let call = site.call(arguments).env("CACHEWATCH__CACHES__ORDERS__AUTH__PASSWORD", PASSWORD);
                call.env("RUST_LOG", "trace").run()
            });
            for run in [by_file, by_variable] {
                let said = format!("{}{}", run.stdout, run.stderr);
                assert!(!said.is_empty() && !said.contains(&PASSWORD[..8]), "{arguments:?}: {said}");
            }
        }
    }
}
