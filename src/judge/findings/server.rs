//! Causes in the server: it does not serve, or slowly.

use super::auth;
use super::case::{Case, Diagnosis, Draft, observations, place, words};
use super::commands::{quoted, shell};
use super::coverage::Coverage;
use super::rule::{Rule, azure, run};
use crate::model::{Auth, Fault, FaultKind, FindingId, Leg, Severity, Stage};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: FindingId::RedisClientLimitReached,
        stage: Stage::Ping,
        denied_by: Coverage::Login,
        severity: "1",
        title: "the server takes no more clients",
        means: "Every new connection is refused; existing ones continue. Usually one application leaks connections.",
        told_apart: "ERR max number of clients reached. A server with native TLS closes the connection instead; where the clients \
                     were within 5 % of the limit in the ten minutes before, that counts as this finding, else as tls-closed.",
        on_the_wire: "The first reply is -ERR max number of clients reached, then FIN.",
        steps: |c| vec![run(c.redis_cli("CLIENT LIST")), azure(c.metric("connectedclients"))],
    },
    Rule {
        id: FindingId::RedisLoading,
        stage: Stage::Ping,
        denied_by: Coverage::Login,
        severity: "1",
        title: "the server is loading its data set",
        means: "It restarted and serves no client until the data is in memory.",
        told_apart: "LOADING.",
        on_the_wire: "PING answered with -LOADING.",
        steps: |c| vec![azure(c.activity_of_group())],
    },
    Rule {
        id: FindingId::RedisBusy,
        stage: Stage::Ping,
        denied_by: Coverage::Login,
        severity: "1",
        title: "the server is busy with a script",
        means: "A Lua script or function runs for so long that no other client is served.",
        told_apart: "BUSY.",
        on_the_wire: "PING answered with -BUSY.",
        steps: |c| vec![run(c.redis_cli("SCRIPT KILL"))],
    },
    Rule {
        id: FindingId::RedisMasterDown,
        stage: Stage::Ping,
        denied_by: Coverage::Login,
        severity: "1",
        title: "the server is a replica that lost its primary",
        means: "A failover is under way, or failed.",
        told_apart: "MASTERDOWN.",
        on_the_wire: "A command answered with -MASTERDOWN.",
        steps: |c| vec![azure(c.activity_of_group())],
    },
    Rule {
        id: FindingId::RedisClusterDown,
        stage: Stage::Ping,
        denied_by: Coverage::Login,
        severity: "1",
        title: "the cluster does not serve",
        means: "Slots are not covered: a shard is down.",
        told_apart: "CLUSTERDOWN.",
        on_the_wire: "A command answered with -CLUSTERDOWN.",
        steps: |c| vec![run(c.redis_cli("CLUSTER INFO"))],
    },
    Rule {
        id: FindingId::RedisReadOnly,
        stage: Stage::Ping,
        denied_by: Coverage::Login,
        severity: "1",
        title: "the server refuses to write",
        means: "It is a replica: a failover is under way, or a replica is dialled.",
        told_apart: "READONLY.",
        on_the_wire: "A command answered with -READONLY.",
        steps: |c| vec![run(c.redis_cli("ROLE"))],
    },
    Rule {
        id: FindingId::RedisTimeout,
        stage: Stage::Ping,
        denied_by: Coverage::Login,
        severity: "1; 3 where only INFO is late",
        title: "connected, and no reply in time",
        means: "The server is overloaded or blocked by a slow command, or a proxy in between has lost it.",
        told_apart: "TCP and TLS stand; the reply to a command does not come.",
        on_the_wire: "A command, acknowledged; then nothing.",
        steps: |c| vec![azure(c.metric("serverLoad"))],
    },
    Rule {
        id: FindingId::RedisSlow,
        stage: Stage::Ping,
        denied_by: Coverage::Login,
        severity: "3",
        title: "PING takes longer than its threshold",
        means: "Every command of an application takes at least as long.",
        told_apart: "If the TCP connection was as slow, the path is long or lossy; if only PING is, the server is busy.",
        on_the_wire: "A reply, late.",
        steps: |c| vec![run(c.redis_cli("SLOWLOG GET 10"))],
    },
    Rule {
        id: FindingId::RedisOutOfStep,
        stage: Stage::Ping,
        denied_by: Coverage::Login,
        severity: "1",
        title: "replies that do not match the commands",
        means: "The peer sent a reply before any command, more than one reply, or the reply to another command. A \
                proxy that mixes the replies of several clients does so, and so may a peer that tries to obtain a key. \
                A client that accepts such replies reads wrong data.",
        told_apart: "One command at a time is sent, so a reply without a command matches nothing. An error that comes \
                     first, such as that of a full server, is read as the reply it is.",
        on_the_wire: "A reply before the first command, two replies to one command, or an error that names another command. \
                      Credentials are removed from everything that is shown.",
        steps: |c| vec![run(c.nslookup(None)), run(c.redis_cli("PING"))],
    },
    Rule {
        id: FindingId::RedisProtocol,
        stage: Stage::Ping,
        denied_by: Coverage::Login,
        severity: "1",
        title: "not Redis at the other end",
        means: "The name or the port leads to another service, or the reply is larger than any server would send.",
        told_apart: "The first bytes are no reply that the command can have; they are shown as evidence.",
        on_the_wire: "A reply to PING or AUTH that is neither a line nor a short string, to INFO no text, or longer than \
                      128 KiB.",
        steps: |c| vec![run(c.nslookup(None))],
    },
    Rule {
        id: FindingId::RedisFailed,
        stage: Stage::Ping,
        denied_by: Coverage::Login,
        severity: "1; 3 where only INFO fails",
        title: "the server failed with an unclassified error",
        means: "It closed the connection between commands, or gave an error that is not known here. The raw words are the \
                evidence.",
        told_apart: "Every classified failure has its own finding.",
        on_the_wire: "See the evidence.",
        steps: |c| vec![run(c.redis_cli("PING"))],
    },
];

pub(super) fn diagnose(case: &Case<'_>, diagnosis: &mut Diagnosis) {
    for stage in [Stage::Auth, Stage::Ping, Stage::Inspect] {
        for (kind, group) in Case::by_kind(case.failed_at(stage)) {
            let severity = case.severity_of(group.len());
            let draft = failure(case, stage, kind, severity, &group);
            diagnosis.findings.push(draft.evidences(observations(case.cache, &group)).done());
        }
    }
    notes(case, diagnosis);
    slow(case, diagnosis);
}

fn failure(case: &Case<'_>, stage: Stage, kind: FaultKind, severity: Severity, group: &[(&Leg, &Fault)]) -> Draft {
    if let Some(draft) = auth::failure(case, stage, kind, severity, group) {
        return draft;
    }
    let endpoint = case.cache.endpoint();
    let draft = |id, summary| case.finding(id, severity, stage, summary);
    match kind {
        FaultKind::ClientLimit => draft(
            FindingId::RedisClientLimitReached,
            format!("{endpoint} takes no more clients: the limit is reached"),
        )
        .note("find the client that opens too many connections; restart it, then share one connection per process")
        .azure(case.commands.metric_by_minute("connectedclients"))
        .run(case.clients_by_address()),
        FaultKind::Loading => draft(
            FindingId::RedisLoading,
            format!(
                "{endpoint} is loading its data set and serves no client until that \
                                                    is done"
            ),
        )
        .note("it restarted; wait, and look for the reason")
        .azure(case.commands.activity()),
        FaultKind::Busy => {
            draft(FindingId::RedisBusy, format!("{endpoint} is busy with a script and serves no client until it ends"))
                .note("a Lua script runs for too long; SCRIPT KILL ends one that has not written")
                .run(case.redis_cli("SCRIPT KILL"))
        }
        FaultKind::MasterDown => {
            draft(FindingId::RedisMasterDown, format!("{endpoint} is a replica that has lost its primary"))
                .note("a failover is under way, or failed")
        }
        FaultKind::ClusterDown => {
            draft(FindingId::RedisClusterDown, format!("the cluster behind {endpoint} does not serve"))
                .note("slots are not covered: a shard is down")
                .run(case.redis_cli("CLUSTER INFO"))
        }
        FaultKind::ReadOnly => draft(FindingId::RedisReadOnly, format!("{endpoint} refuses to write: it is a replica"))
            .note("a failover is under way, or the application dials a replica"),
        FaultKind::Timeout => {
            draft(FindingId::RedisTimeout, format!("{endpoint} is connected and does not answer in time"))
                .note("the server is overloaded, blocked by a slow command, or a proxy in between has lost it")
                .azure(case.commands.metric_by_minute("serverLoad"))
        }
        FaultKind::OutOfStep => out_of_step(case, stage, severity),
        FaultKind::NotRedis | FaultKind::ReplyTooLarge => {
            draft(FindingId::RedisProtocol, format!("what answers at {endpoint} does not speak Redis"))
                .note("the name or the port leads to another service")
                .run(case.commands.nslookup(None))
        }
        _ => {
            let summary = format!("{endpoint} failed at {stage}{}", words(group));
            let draft = draft(FindingId::RedisFailed, summary);
            let speaks_plain = case.cache.tls.is_none() && kind == FaultKind::Closed;
            let draft = if speaks_plain {
                draft.note("this port may require TLS: servers that do often close plain-text connections")
            } else {
                draft
            };
            draft.azure(case.commands.show("provisioningState")).run(case.redis_cli("PING"))
        }
    }
}

fn out_of_step(case: &Case<'_>, stage: Stage, severity: Severity) -> Draft {
    let summary = format!("the peer at {} sends replies that do not match the commands", case.cache.endpoint());
    case.finding(FindingId::RedisOutOfStep, severity, stage, summary)
        .note("a proxy or another program in between mixes the replies of several clients, or sends before it is asked")
        .note("a client that accepts such replies reads the data of others: find out what it is before you go on")
        .run(case.commands.nslookup(None))
        .run(case.redis_cli("PING"))
}

/// What went wrong without making the cache unreachable.
fn notes(case: &Case<'_>, diagnosis: &mut Diagnosis) {
    let noted = case.used_legs().flat_map(|leg| leg.notes.iter().map(move |fault| (leg, fault)));
    for (kind, group) in Case::by_kind(noted.collect()) {
        let stage = group.first().map_or(Stage::Inspect, |(_, fault)| fault.stage);
        let draft = failure(case, stage, kind, Severity::Risk, &group).evidences(observations(case.cache, &group));
        diagnosis.findings.push(draft.done());
    }
}

fn slow(case: &Case<'_>, diagnosis: &mut Diagnosis) {
    let threshold = case.cache.thresholds.slow_ping;
    let answered = case.used_legs().filter(|leg| leg.fault.is_none());
    let slowest =
        answered.filter_map(|leg| leg.timings.of(Stage::Ping).map(|took| (took, leg))).max_by_key(|(took, _)| *took);
    let Some((took, leg)) = slowest.filter(|(took, _)| *took > threshold) else { return };
    let milliseconds = |time: std::time::Duration| time.as_millis();
    let summary = format!(
        "{} answers PING in {} ms, more than {} ms",
        case.cache.endpoint(),
        milliseconds(took),
        milliseconds(threshold)
    );
    let finding = case.finding(FindingId::RedisSlow, Severity::Risk, Stage::Ping, summary);
    let connect = leg.timings.of(Stage::Connect).map_or(0, milliseconds);
    diagnosis.findings.push(
        finding
            .evidence(format!(
                "{}: PING took {} ms, the TCP connection {connect} ms",
                place(leg, case.cache.port),
                milliseconds(took)
            ))
            .note("if the connection is as slow, the path is long or lossy; if only PING is, the server is busy")
            .run(case.redis_cli("SLOWLOG GET 10"))
            .done(),
    );
}

impl Case<'_> {
    /// A command to the server itself.
    pub(super) fn redis_cli(&self, command: &str) -> String {
        let cache = self.cache;
        let mut parts = vec![format!("redis-cli -h {} -p {}", cache.host, cache.port)];
        if let Some(tls) = &cache.tls {
            parts.push(format!("--tls --sni {}", cache.server_name()));
            parts.extend(tls.ca_file.as_ref().map(|file| format!("--cacert {}", quoted(file))));
        }
        if let Auth::AccessKey { username, .. } = &cache.auth {
            parts.extend(username.as_ref().map(|user| format!("--user {}", shell(user))));
            parts.push("--askpass".to_owned());
        }
        parts.push(command.to_owned());
        parts.join(" ")
    }

    /// Who is connected, the busiest address first.
    pub(super) fn clients_by_address(&self) -> String {
        self.redis_cli("CLIENT LIST | grep -o ' addr=[^:]*' | sort | uniq -c | sort -rn | head")
    }
}
