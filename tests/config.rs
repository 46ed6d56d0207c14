//! The configuration from outside: what is accepted and what it means, what is refused and in which words.

#![expect(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cachewatch::config::{Config, Inputs, LogFormat, Target, load, resolver, show};
use cachewatch::model::{Auth, Cache, Exposure, Isolation, Password, Protocol, Resolver};
use proptest::prelude::*;

const ORDERS: &str = "[[caches]]\nname = \"orders\"\nhost = \"orders.redis.cache.windows.net\"\n";

fn from_file(path: impl Into<PathBuf>) -> Inputs {
    Inputs { files: vec![path.into()], ..Inputs::default() }
}

/// Loads `text` as the one file, with these variables; problems come as their text, the file named `f.toml`.
fn load_text(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("f.toml");
    fs::write(&file, text).unwrap();
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let inputs = Inputs { environment, ..from_file(&file) };
    load(&inputs).map_err(|problems| problems.to_string().replace(&format!("{}/", directory.path().display()), ""))
}

fn load_targets(targets: Vec<Target>) -> Result<Config, String> {
    load(&Inputs { targets, ..Inputs::default() }).map_err(|problems| problems.to_string())
}

fn names(config: &Config) -> Vec<&str> {
    config.caches.iter().map(|cache| cache.name.as_str()).collect()
}

fn cache<'a>(config: &'a Config, name: &str) -> &'a Cache {
    config.caches.iter().find(|cache| cache.name.as_str() == name).unwrap()
}

/// Every `bad/*.toml` breaks one rule and has the exact words of its refusal beside it.
///
/// `CACHEWATCH_BLESS=1 cargo test --test config` writes the words down anew; read the difference before committing it.
#[test]
fn every_bad_file_is_refused_in_the_words_written_beside_it() {
    let directory = Path::new("tests/config/bad");
    let with = |extension: &str| -> BTreeSet<PathBuf> {
        let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|own| own == extension)).collect()
    };
    let bless = std::env::var_os("CACHEWATCH_BLESS").is_some();
    let mut wrong = Vec::new();
    for file in with("toml") {
        let words = match load(&from_file(&file)) {
            Ok(_) => "(accepted)\n".to_owned(),
            Err(problems) => format!("{problems}\n"),
        };
        assert!(!words.contains("hunter2") && !words.contains("24681357"), "{words}");
        let expected = file.with_extension("txt");
        if bless {
            fs::write(&expected, &words).unwrap();
        }
        let expected = fs::read_to_string(&expected).unwrap_or_else(|_| "(no .txt beside it)\n".to_owned());
        if words != expected || words == "(accepted)\n" {
            wrong.push(format!("{}\n--- expected\n{expected}--- said\n{words}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let without_file: Vec<_> = with("txt").into_iter().filter(|text| !text.with_extension("toml").exists()).collect();
    assert_eq!(without_file, Vec::<PathBuf>::new(), "a .txt without its .toml");
}

#[test]
fn without_files_everything_is_at_its_default() {
    let config = load(&Inputs::default()).unwrap();
    assert_eq!(config.server.listen, SocketAddr::from(([127, 0, 0, 1], 9847)));
    assert_eq!((config.probe.max_in_flight, config.defaults.interval), (64, Duration::from_secs(30)));
    assert_eq!((config.log.level.as_str(), config.log.format), ("info", LogFormat::Text));
    let bare = load_targets(vec![Target::parse("orders.redis.cache.windows.net").unwrap()]).unwrap();
    assert_eq!(bare.caches[0].follow_ttl, Some(Duration::from_secs(5)));
    assert_eq!((config.caches.len(), config.files.len(), config.notices.len()), (0, 0, 0));
    assert_eq!(
        load_text(cachewatch::config::example(), &[]).map(|config| Config { files: Vec::new(), ..config }),
        Ok(config)
    );
}

#[test]
fn a_full_file_means_what_it_says() {
    let config = load(&from_file("tests/config/good/full.toml")).unwrap();
    assert_eq!(names(&config), ["orders", "sessions", "old"]);
    assert_eq!((config.log.format, config.probe.jitter), (LogFormat::Json, 0.0));
    assert_eq!(config.files, [PathBuf::from("tests/config/good/full.toml"), PathBuf::from("tests/config/good/conf.d")]);

    let orders = cache(&config, "orders");
    assert_eq!((orders.host.as_str(), orders.port), ("orders.redis.cache.windows.net", 6380));
    assert_eq!(orders.expectation.isolation, Some(Isolation::PrivateEndpoint));
    assert_eq!(orders.expectation.addresses, ["10.20.1.0/24".parse().unwrap(), "10.20.2.4/32".parse().unwrap()]);
    let hub = Resolver::server("hub", "10.0.0.4:53".parse().unwrap(), Protocol::Udp);
    assert_eq!(orders.resolvers, [hub, Resolver::System]);
    assert_eq!(orders.tier, Some(("P1".to_owned(), 7_500)));
    assert_eq!((orders.interval, orders.timeouts.total), (Duration::from_secs(20), Duration::from_secs(2)));
    assert_eq!(orders.timeouts.connect, Duration::from_secs(2), "no stage has longer than the whole");
    let password = Password::File("/run/secrets/no-such-file".into());
    assert_eq!(orders.auth, Auth::AccessKey { username: Some("app".to_owned()), password });
    assert_eq!((orders.rules.open_after, orders.rules.clear_after), (3, 2));
    assert_eq!((orders.follow_ttl, config.defaults.lookup_floor), (None, Duration::from_mins(1)));

    let world = Resolver::server("world", "9.9.9.9:53".parse().unwrap(), Protocol::Udp);
    let interval = Duration::from_mins(5);
    let all =
        Exposure { public_resolver: Some(world), send_credentials: true, plain_port: true, legacy_tls: true, interval };
    assert_eq!(orders.exposure, all);

    let sessions = cache(&config, "sessions");
    assert_eq!(sessions.exposure, Exposure::default(), "nothing is tested unless it is asked for");
    assert_eq!((sessions.port, sessions.server_name()), (10000, "sessions.example.com"));
    assert_eq!((sessions.interval, sessions.timeouts.total), (Duration::from_mins(1), Duration::from_secs(4)));
    let password = Password::Environment("SESSIONS_KEY".to_owned());
    assert_eq!(sessions.auth, Auth::AccessKey { username: None, password });
    assert_eq!(sessions.max_clients, Some(100));

    let old = cache(&config, "old");
    assert_eq!((old.port, &old.tls, &old.auth), (6379, &None, &Auth::Withheld));

    assert_eq!(
        config.notices,
        [
            "cache sessions: tier P1 belongs to Azure Cache for Redis, but sessions.westeurope.redis.azure.net is a name \
             of Azure Managed Redis",
            "resolver spoke is declared but no cache uses it",
        ]
    );
}

#[test]
fn what_is_shown_loads_to_the_same() {
    let mut bare = Target::parse("[fd00::9]:7000").unwrap();
    let asked =
        ["10.0.0.4:53", "[fd00::4]:5353", "system-2", "tls://1.1.1.1#one.test", "tls://1.1.1.1", "https://[fd00::4]/q"];
    bare.resolvers = asked.map(|text| resolver(text).unwrap()).to_vec();
    let inputs = Inputs { targets: vec![bare], ..from_file("tests/config/good/full.toml") };
    let config = load(&inputs).unwrap();
    let again = load_text(&show(&config), &[]).unwrap();
    let settled = |config: &Config| Config { files: Vec::new(), notices: Vec::new(), ..config.clone() };
    assert_eq!(settled(&again), settled(&config));
}

#[test]
fn later_layers_win() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    };
    let first = write("a/main.toml", &format!("[probe]\nmax_in_flight = 1\njitter = 0.1\nopen_after = 5\n\n{ORDERS}"));
    let late = ORDERS.replace("orders", "late");
    write("a/conf.d/20.toml", &format!("[probe]\nmax_in_flight = 3\n\n{late}"));
    write("a/conf.d/10.toml", "[probe]\nmax_in_flight = 2\njitter = 0.2\n");
    write("a/conf.d/.hidden.toml", "not TOML");
    write("a/conf.d/notes.txt", "not TOML");
    let second = write("b/main.toml", "[probe]\njitter = 0.3\nclear_after = 7\n");
    let inputs = |environment: &[(&str, &str)]| Inputs {
        files: vec![first.clone(), second.clone()],
        environment: environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        ..Inputs::default()
    };

    let config = load(&inputs(&[])).unwrap();
    assert_eq!((config.probe.max_in_flight, config.probe.jitter), (3, 0.3));
    assert_eq!((config.defaults.rules.open_after, config.defaults.rules.clear_after), (5, 7));
    assert_eq!(names(&config), ["orders", "late"]);
    let beside = |file: &Path| file.with_file_name("conf.d");
    assert_eq!(config.files, [first.clone(), beside(&first), second.clone(), beside(&second)]);

    let config =
        load(&inputs(&[("CACHEWATCH__PROBE__JITTER", "0.4"), ("CACHEWATCH__CACHES__LATE__PORT", "7000")])).unwrap();
    assert_eq!((config.probe.jitter, cache(&config, "late").port, cache(&config, "orders").port), (0.4, 7000, 6380));
}

#[test]
fn a_name_that_two_files_use_is_refused_with_both_places() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("main.toml");
    fs::create_dir(directory.path().join("conf.d")).unwrap();
    fs::write(&file, ORDERS).unwrap();
    fs::write(directory.path().join("conf.d/more.toml"), format!("\n{ORDERS}")).unwrap();
    let said =
        load(&from_file(&file)).unwrap_err().to_string().replace(&format!("{}/", directory.path().display()), "");
    assert_eq!(
        said,
        "conf.d/more.toml:2: caches[0].name: \"orders\" is already the name of caches[0] in main.toml:1; names must be \
         unique: rename one"
    );
}

#[test]
fn every_file_is_read_before_any_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("main.toml");
    fs::create_dir(directory.path().join("conf.d")).unwrap();
    fs::write(&file, "[probe]\nintervall = \"30s\"\n").unwrap();
    fs::write(directory.path().join("conf.d/broken.toml"), "[probe\n").unwrap();
    let missing = directory.path().join("missing.toml");
    let inputs = Inputs {
        files: vec![file, missing],
        environment: vec![("CACHEWATCH__PROBE__JITTER".to_owned(), "much".to_owned())],
        ..Inputs::default()
    };
    let said = load(&inputs).unwrap_err().to_string().replace(&format!("{}/", directory.path().display()), "");
    assert_eq!(
        said,
        "main.toml:2: probe.intervall: unknown key; did you mean `interval`?\n\
         missing.toml: cannot be read: No such file or directory (os error 2)\n\
         conf.d/broken.toml:1: not TOML: unclosed table, expected `]`\n\
         environment CACHEWATCH__PROBE__JITTER: probe.jitter: \"much\" is not a number"
    );
}

#[test]
fn the_environment_is_read_by_the_kind_of_its_key() {
    let text = format!("[[resolvers]]\nname = \"hub-1\"\naddress = \"10.0.0.4\"\n\n{ORDERS}");
    let config = load_text(
        &text,
        &[
            ("CACHEWATCH__SERVER__LISTEN", "0.0.0.0:8080"),
            ("CACHEWATCH__PROBE__INTERVAL", "1m"),
            ("CACHEWATCH__CACHES__ORDERS__EXPECTED_ADDRESSES", "10.20.1.0/24, 10.20.2.4"),
            ("CACHEWATCH__CACHES__ORDERS__RESOLVERS", "system,hub-1"),
            ("CACHEWATCH__CACHES__ORDERS__TLS__ENABLED", "false"),
            ("CACHEWATCH__RESOLVERS__HUB_1__PROTOCOL", "tcp"),
            ("CACHEWATCH_TARGETS", "ignored"),
            ("CACHEWATCH_PASSWORD", "ignored"),
        ],
    )
    .unwrap();
    let orders = cache(&config, "orders");
    assert_eq!((config.server.listen.port(), orders.interval.as_secs(), orders.port), (8080, 60, 6379));
    assert_eq!((orders.expectation.addresses.len(), orders.resolvers.len()), (2, 2));
    assert!(matches!(orders.resolvers[1], Resolver::Server { protocol: Protocol::Tcp, .. }));
}

#[test]
fn a_password_in_the_environment_goes_by_the_name_of_its_variable() {
    const VARIABLE: &str = "CACHEWATCH__CACHES__ORDERS__AUTH__PASSWORD";
    let text = format!("{ORDERS}[caches.auth]\npassword_file = \"/run/secrets/orders\"\n");
    let config = load_text(&text, &[(VARIABLE, "hunter2")]).unwrap();
    let password = Password::Environment(VARIABLE.to_owned());
    assert_eq!(cache(&config, "orders").auth, Auth::AccessKey { username: None, password });
    assert!(!format!("{config:?}{}", show(&config)).contains("hunter2"));
    let inputs = Inputs { environment: vec![(VARIABLE.to_owned(), "hunter2".to_owned())], ..Inputs::default() };
    assert!(!format!("{inputs:?}{}", load(&inputs).unwrap_err()).contains("hunter2"));
}

#[test]
fn a_variable_that_leads_nowhere_is_named_with_the_nearest_that_does() {
    let text = format!("{ORDERS}\n{}", ORDERS.replace("\"orders\"", "\"orders-eu\""));
    let check = |variable: &str, value: &str, expected: &str| {
        let said = load_text(&text, &[(variable, value)]).unwrap_err();
        assert_eq!(said, format!("environment {variable}: {expected}"));
    };
    check("CACHEWATCH__PROBE__INTERVALL", "1m", "unknown key; did you mean `interval`?");
    check("CACHEWATCH__PROBE.INTERVAL", "1m", "unknown section; did you mean `CACHEWATCH__PROBE__…`?");
    check("CACHEWATCH__CACHES[]__HOST", "a", "unknown section; did you mean `CACHEWATCH__CACHES__…`?");
    check("CACHEWATCH__PROB__INTERVAL", "1m", "unknown section; did you mean `CACHEWATCH__PROBE__…`?");
    check(
        "CACHEWATCH__CACHES__ORDRES__PORT",
        "1",
        "no table of [[caches]] has the name \"ordres\"; did you mean `CACHEWATCH__CACHES__ORDERS__…`?",
    );
    check(
        "CACHEWATCH__CACHES__BILLING__HOST",
        "a",
        "no table of [[caches]] has the name \"billing\"; the environment can change an entry of a file, but cannot add one",
    );
    check("CACHEWATCH__CACHES__ORDERS__NAME", "a", "the environment cannot change a name; change it in its file");
    check("CACHEWATCH__CACHES__ORDERS_EU__PORT", "70000", "caches.orders-eu.port: 70000 is not a port (1 to 65535)");
    check(
        "CACHEWATCH__CACHES__ORDERS__AUTH",
        "x",
        "names a table, not a key; keys there: METHOD, USERNAME, PASSWORD_FILE, PASSWORD_ENV, PASSWORD",
    );
    check(
        "CACHEWATCH__PROBE__TIMEOUT",
        "40s",
        "probe.timeout: \"40s\" is not shorter than the interval, 30s; one probe must end before the next begins: raise the interval or lower the timeout",
    );
}

#[test]
fn names_that_look_alike_in_a_variable_are_told_apart_or_refused() {
    let named = |name: &str| ORDERS.replace("\"orders\"", &format!("\"{name}\""));
    let port = ("CACHEWATCH__CACHES__A_B__C__PORT", "7000");
    let config = load_text(&(named("a.b") + &named("a_b__c")), &[port]).unwrap();
    assert_eq!((cache(&config, "a.b").port, cache(&config, "a_b__c").port), (6380, 7000));
    assert_eq!(
        load_text(&(named("a.b") + &named("a-b")), &[("CACHEWATCH__CACHES__A_B__PORT", "7000")]).unwrap_err(),
        "environment CACHEWATCH__CACHES__A_B__PORT: matches both \"a.b\" and \"a-b\"; rename one of them"
    );
}

#[test]
fn a_target_becomes_a_cache_after_those_of_the_files() {
    let mut target = Target::parse("sessions.redis.azure.net").unwrap();
    target.expect = vec!["private".to_owned(), "10.20.1.0/24".to_owned()];
    target.resolvers = vec![resolver("10.0.0.4:53").unwrap()];
    target.tier = Some("B10".to_owned());
    target.timeout = Some(Duration::from_mins(1));
    target.username = Some("app".to_owned());
    target.password = Some(Password::Environment("CACHEWATCH_PASSWORD".to_owned()));
    let config = load(&Inputs { targets: vec![target], ..from_file("tests/config/good/full.toml") }).unwrap();
    assert_eq!(names(&config), ["orders", "sessions", "old", "sessions.redis.azure.net"]);
    let cache = cache(&config, "sessions.redis.azure.net");
    assert_eq!((cache.port, cache.expectation.isolation), (10000, Some(Isolation::PrivateEndpoint)));
    assert_eq!(cache.resolvers[0].name().as_str(), "10.0.0.4");
    assert!(cache.interval > cache.timeouts.total, "the interval makes room for a long deadline");
    assert_eq!(cache.tier, Some(("B10".to_owned(), 30_000)));
    assert_eq!(cache.rules.open_after, 3, "the rest is as the file says");
}

#[test]
fn every_target_gets_a_name_of_its_own() {
    let targets = ["a.example:1", "a.example:2", "fd00::4", "b.example", "b.example"];
    let config = load_targets(targets.map(|text| Target::parse(text).unwrap()).to_vec()).unwrap();
    assert_eq!(names(&config), ["a.example-1", "a.example-2", "fd00--4", "b.example"]);
    assert_eq!(config.notices, ["target b.example is given twice; it is watched once"]);

    let long = |first: char| Target::parse(&format!("{first}{}.{}", "a".repeat(60), "b".repeat(60))).unwrap();
    let mut other = long('x');
    other.tls = false;
    let config = load_targets(vec![long('x'), other]).unwrap();
    assert_eq!(names(&config), [format!("x{}.b", "a".repeat(60)), format!("x{}-2", "a".repeat(60))]);
}

#[test]
fn the_options_of_a_target_are_checked_as_keys_are() {
    let mut target = Target::parse("a.example").unwrap();
    target.expect = vec!["private".into(), "public".into(), "10.0.0.1/8".into(), "x".into()];
    target.tier = Some("P6".into());
    target.username = Some("app".into());
    target.connect_to = vec!["x".into()];
    target.ca_file = Some("no-such-file.pem".into());
    target.timeout = Some(Duration::ZERO);
    assert_eq!(
        load_targets(vec![target]).unwrap_err().lines().collect::<Vec<_>>(),
        [
            "target a.example: --expect: private and public exclude each other; keep one",
            "target a.example: --expect: \"10.0.0.1/8\" has bits set beyond its prefix; the network is \"10.0.0.0/8\", \
             the address alone is \"10.0.0.1\"",
            "target a.example: --expect: \"x\" is neither a network nor an address; write private, public, \
             \"10.20.1.0/24\" or \"10.20.1.4\"",
            "target a.example: --connect-to: \"x\" is not a pair of an address and the address to dial instead; write \
             ADDRESS[:PORT]=ADDRESS:PORT: \"10.20.1.4=127.0.0.1:6390\"",
            "target a.example: --tier: \"P6\" is not a tier with a known client limit; nearest: C6, P1, P2; or remove \
             it and set max_clients",
            "target a.example: --ca-file: \"no-such-file.pem\" cannot be read: No such file or directory (os error 2)",
            "target a.example: --username: a user needs a password, and none is given; add --password-file, or set \
             CACHEWATCH_PASSWORD",
            "target a.example: --timeout: the timeout is zero; write \"10s\"",
        ]
    );
}

/// One line of something like a configuration: known names and odd ones, right values and wrong ones.
fn line() -> impl Strategy<Value = String> {
    let names = "(server|probe|log|journal|thresholds|resolvers|caches|auth|tls|name|host|port|interval|timeout|password|listen|x\\.y|\"\")";
    let value = prop_oneof![
        Just("\"30s\"".to_owned()),
        Just("\"system\"".to_owned()),
        Just("[\"10.0.0.0/8\", [1]]".to_owned()),
        Just("{ name = \"a\", host = 5 }".to_owned()),
        Just("0x7fffffffffffffffffff".to_owned()),
        Just("-inf".to_owned()),
        "[0-9]{1,4}",
        "\\PC{0,12}",
        "\"[a-z?:/@.\\[\\]]{0,12}\"",
    ];
    prop_oneof![
        (names, value).prop_map(|(name, value)| format!("{name} = {value}")),
        names.prop_map(|name| format!("[{name}]")),
        names.prop_map(|name| format!("[[{name}]]")),
        names.prop_map(|name| format!("[caches.{name}]")),
        "\\PC{0,20}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_loading_panic(lines in prop::collection::vec(line(), 0..12), variable in "[A-Z_]{0,20}", value in "\\PC{0,9}") {
        let variable = format!("CACHEWATCH__{variable}");
        let _ = load_text(&lines.join("\n"), &[(&variable, &value.replace('\0', ""))]);
    }

    #[test]
    fn no_target_makes_parsing_or_loading_panic(text in "[a-z0-9.:/@\\[\\] é%-]{0,24}") {
        if let Ok(target) = Target::parse(&text) {
            let _ = load_targets(vec![target]);
        }
    }
}

/// What tests and users of the library start from is what an operator gets who writes nothing else.
#[test]
fn a_cache_of_the_library_is_one_of_the_configuration() {
    let config = load_text(ORDERS, &[]).unwrap();
    assert_eq!(*config.caches[0], Cache::new("orders", "orders.redis.cache.windows.net", 6380));
}
