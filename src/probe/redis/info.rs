//! Reads INFO: of Redis 4 to 8, of Valkey, and of services that leave fields out.

use crate::model::{Mode, Role, ServerFacts, Timestamp, WireText};

/// What the server says of itself. A field that is missing, repeated or nonsense is left out or overwritten, never an
/// error: a monitor must read every server.
pub(super) fn parse(text: &str) -> ServerFacts {
    let mut facts = ServerFacts::default();
    let mut valkey = None;
    for line in text.lines() {
        let Some((field, value)) = line.split_once(':') else { continue };
        let value = value.trim_end();
        match field {
            "redis_version" => facts.version = text_of(value),
            "valkey_version" => valkey = text_of(value),
            "redis_mode" | "server_mode" => facts.mode = Some(mode(value)),
            "run_id" => facts.run_id = text_of(value),
            "uptime_in_seconds" => facts.uptime_seconds = value.parse().ok(),
            "connected_clients" => facts.connected_clients = value.parse().ok(),
            "maxclients" => facts.max_clients = value.parse().ok(),
            "rejected_connections" => facts.rejected_connections = value.parse().ok(),
            "role" => facts.role = Some(role(value)),
            "connected_slaves" => facts.connected_replicas = value.parse().ok(),
            _ => {}
        }
    }
    // Valkey keeps `redis_version` at 7.2.4 for old clients and says its own beside it.
    if valkey.is_some() {
        facts.version = valkey;
    }
    facts
}

/// The time the server says it is.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    let value = text.lines().find_map(|line| line.strip_prefix("server_time_usec:"))?;
    let microseconds: i64 = value.trim_end().parse().ok()?;
    Some(Timestamp::from_unix_seconds(microseconds / 1_000_000))
}

fn text_of(value: &str) -> Option<WireText> {
    (!value.is_empty()).then(|| WireText::new(value))
}

fn role(value: &str) -> Role {
    match value {
        "master" => Role::Primary,
        "slave" | "replica" => Role::Replica,
        _ => Role::Other,
    }
}

fn mode(value: &str) -> Mode {
    match value {
        "standalone" => Mode::Standalone,
        "cluster" => Mode::Cluster,
        "sentinel" => Mode::Sentinel,
        _ => Mode::Other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn redis_6_says_no_maxclients_and_valkey_says_its_own_version() {
        let redis = parse(
            "# Server\r\nredis_version:6.0.16\r\nredis_mode:standalone\r\nrun_id:abc\r\n\r\n# Clients\r\n\
             connected_clients:17\r\n# Stats\r\nrejected_connections:0\r\n# Replication\r\nrole:master\r\n\
             connected_slaves:1\r\n",
        );
        assert_eq!(redis.version.unwrap().as_str(), "6.0.16");
        assert_eq!((redis.connected_clients, redis.max_clients), (Some(17), None));
        assert_eq!((redis.role, redis.connected_replicas), (Some(Role::Primary), Some(1)));

        let valkey = parse("redis_version:7.2.4\nserver_name:valkey\nvalkey_version:8.1.3\nmaxclients:10000\n");
        assert_eq!(valkey.version.unwrap().as_str(), "8.1.3");
        assert_eq!(valkey.max_clients, Some(10_000));
    }

    #[test]
    fn nonsense_is_left_out() {
        let facts =
            parse("connected_clients:-4\r\nmaxclients:18446744073709551616\r\nrole:\r\nredis_version:\r\n:\r\n::\r\n");
        assert_eq!((facts.connected_clients, facts.max_clients, facts.version), (None, None, None));
        assert_eq!(facts.role, Some(Role::Other));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(?s).{0,2000}") {
            let _ = parse(&text);
        }

        #[test]
        fn what_is_written_is_read(connected in any::<u64>(), limit in any::<u64>()) {
            let facts = parse(&format!("connected_clients:{connected}\r\nmaxclients:{limit}\r\n"));
            prop_assert_eq!((facts.connected_clients, facts.max_clients), (Some(connected), Some(limit)));
        }
    }
}
