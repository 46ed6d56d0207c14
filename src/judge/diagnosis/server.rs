//! Causes in authentication and in the server itself.

use std::path::Path;
use std::time::Duration;

use super::{Case, Diagnosis, Draft, commands, narrate, observations};
use crate::judge::memory::Memory;
use crate::model::{Auth, Clients, Credential, Fault, FaultKind, FindingId, Leg, Password, Severity, Stage};

pub(super) fn diagnose(case: &Case<'_>, memory: &Memory, diagnosis: &mut Diagnosis) {
    for stage in [Stage::Auth, Stage::Ping, Stage::Inspect] {
        for (kind, group) in Case::by_kind(case.failed_at(stage)) {
            let severity = case.severity_of(group.len());
            let draft = failure(case, stage, kind, severity, &group);
            diagnosis.findings.push(draft.evidences(observations(case.cache, &group)).done());
        }
    }
    notes(case, diagnosis);
    slow(case, diagnosis);
    headroom(case, memory, diagnosis);
    rejected(case, memory, diagnosis);
    limit_mismatch(case, diagnosis);
    clock_skew(case, diagnosis);
}

fn failure(case: &Case<'_>, stage: Stage, kind: FaultKind, severity: Severity, group: &[(&Leg, &Fault)]) -> Draft {
    let endpoint = case.cache.endpoint();
    let draft = |id, severity, summary| case.finding(id, severity, stage, summary);
    match kind {
        FaultKind::CredentialUnreadable => {
            let draft = draft(
                FindingId::CredentialUnreadable,
                severity,
                format!("the password for {endpoint} cannot be read on this machine{}", words(group)),
            );
            match &case.cache.auth {
                Auth::AccessKey { password: Password::File(path), .. } => draft
                    .run(format!("ls -l -- {}", commands::quoted(path)))
                    .note("in a pod, whose image has no shell: the keys of its Secret, without their values")
                    .run("kubectl -n <namespace> describe secret <secret>"),
                Auth::AccessKey { password: Password::Environment(name), .. } => {
                    draft.note(format!("is {name} set for this process?"))
                }
                Auth::None | Auth::Withheld => draft.note("no password is configured"),
            }
            .note("the file must exist, hold the key, and be readable by the user that runs cachewatch")
        }
        FaultKind::AuthRequired => draft(
            FindingId::AuthRequired,
            severity,
            format!("{endpoint} wants a password, and none was sent"),
        )
        .note("give it the password: in a configuration password_file under [caches.auth], for a bare host --password-file")
        .azure(case.keys())
        .note("where the key may not be given here, method = \"none\" under [caches.auth] says so, and this is well"),
        FaultKind::AuthRejected => auth_rejected(case, severity),
        FaultKind::AuthNotConfigured => draft(
            FindingId::AuthNotConfigured,
            severity,
            format!("{endpoint} has no password, and one was sent: this may be another server than you think"),
        )
        .run(case.nslookup(None))
        .note("if the server is meant to be open, leave the password out, under [caches.auth] or with --password-file"),
        FaultKind::NotPermitted => not_permitted(case, severity),
        FaultKind::ClientLimit => draft(
            FindingId::RedisClientLimitReached,
            severity,
            format!("{endpoint} takes no more clients: the limit is reached"),
        )
        .note("find the client that opens too many connections; restart it, then share one connection per process")
        .azure(case.metric("connectedclients"))
        .run(case.clients_by_address()),
        FaultKind::Loading => draft(
            FindingId::RedisLoading,
            severity,
            format!("{endpoint} is loading its data set and serves nobody until it has"),
        )
        .note("it restarted; wait, and look for the reason")
        .azure(case.activity()),
        FaultKind::Busy => draft(
            FindingId::RedisBusy,
            severity,
            format!("{endpoint} is busy with a script and serves nobody until it ends"),
        )
        .note("a Lua script runs for too long; SCRIPT KILL ends one that has not written")
        .run(case.redis_cli("SCRIPT KILL")),
        FaultKind::MasterDown => {
            draft(FindingId::RedisMasterDown, severity, format!("{endpoint} is a replica that has lost its primary"))
                .note("a failover is under way, or failed")
        }
        FaultKind::ClusterDown => {
            draft(FindingId::RedisClusterDown, severity, format!("the cluster behind {endpoint} does not serve"))
                .note("slots are not covered: a shard is down")
                .run(case.redis_cli("CLUSTER INFO"))
        }
        FaultKind::ReadOnly => {
            draft(FindingId::RedisReadOnly, severity, format!("{endpoint} refuses to write: it is a replica"))
                .note("a failover is under way, or the application dials a replica")
        }
        FaultKind::Timeout => {
            draft(FindingId::RedisTimeout, severity, format!("{endpoint} is connected and does not answer in time"))
                .note("the server is overloaded, blocked by a slow command, or a proxy in between has lost it")
                .azure(case.metric("serverLoad"))
        }
        FaultKind::OutOfStep => out_of_step(case, stage, severity),
        FaultKind::NotRedis | FaultKind::ReplyTooLarge => {
            draft(FindingId::RedisProtocol, severity, format!("what answers at {endpoint} does not speak Redis"))
                .note("the name or the port leads to another service")
                .run(case.nslookup(None))
        }
        _ => {
            let summary = format!("{endpoint} failed at {stage}{}", words(group));
            let draft = draft(FindingId::RedisFailed, severity, summary);
            let speaks_plain = case.cache.tls.is_none() && kind == FaultKind::Closed;
            let draft = if speaks_plain {
                draft.note("this port may want TLS: what hangs up on plain text often does")
            } else {
                draft
            };
            draft.azure(case.show("provisioningState")).run(case.redis_cli("PING"))
        }
    }
}

fn out_of_step(case: &Case<'_>, stage: Stage, severity: Severity) -> Draft {
    let summary = format!("what answers at {} gives answers that belong to other questions", case.cache.endpoint());
    case.finding(FindingId::RedisOutOfStep, severity, stage, summary)
        .note("a proxy or another program stands between, and mixes the replies of several clients or speaks first")
        .note("a client that believes such answers reads the data of others: find out what it is before you go on")
        .run(case.nslookup(None))
        .run(case.redis_cli("PING"))
}

/// What went wrong, behind a colon.
fn words(group: &[(&Leg, &Fault)]) -> String {
    group.first().map_or_else(String::new, |(_, fault)| format!(": {}", fault.detail))
}

fn auth_rejected(case: &Case<'_>, severity: Severity) -> Draft {
    let user = match &case.cache.auth {
        Auth::AccessKey { username: Some(user), .. } => format!(" for user {user}"),
        _ => String::new(),
    };
    let summary = format!("{} does not accept the password{user}", case.cache.endpoint());
    let draft = case
        .finding(FindingId::AuthRejected, severity, Stage::Auth, summary)
        .note("the key was rotated, access keys are disabled, or the name leads to another cache")
        .azure(case.accepts_keys())
        .azure(case.keys());
    match &case.cache.auth {
        Auth::AccessKey { password: Password::File(path), .. } => match Credential::of(path) {
            // systemd hands a copy to the service when it starts.
            Some(Credential { unit, name }) => draft
                .note(format!(
                    "compare with what the application uses; write the new key where LoadCredential={name}: of {unit} takes it from, then:"
                ))
                .run(format!("sudo systemctl restart {}", commands::quoted(Path::new(unit)))),
            None => draft.note(
                "compare with what the application uses; write the new key to the password file, which is read again by itself",
            ),
        },
        Auth::AccessKey { password: Password::Environment(name), .. } => {
            draft.note(format!("compare with what the application uses; set {name} anew, and start cachewatch again"))
        }
        Auth::None | Auth::Withheld => draft,
    }
}

fn not_permitted(case: &Case<'_>, severity: Severity) -> Draft {
    let summary =
        format!("{} denies a command that this probe needs: what it would tell stays unknown", case.cache.endpoint());
    case.finding(FindingId::AuthNotPermitted, severity, Stage::Ping, summary)
        .note("a user for monitoring needs PING and INFO: +ping +info")
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
                super::place(leg, case.cache.port),
                milliseconds(took)
            ))
            .note("if the connection is as slow, the path is long or lossy; if only PING is, the server is busy")
            .run(case.redis_cli("SLOWLOG GET 10"))
            .done(),
    );
}

fn headroom(case: &Case<'_>, memory: &Memory, diagnosis: &mut Diagnosis) {
    let Some((leg, _, Some(clients))) = case.busiest() else { return };
    let Some(free) = clients.headroom() else { return };
    let used = 1.0 - free;
    let thresholds = &case.cache.thresholds;
    let (severity, threshold) = if used >= thresholds.headroom_critical {
        (Severity::Degraded, thresholds.headroom_critical)
    } else if used >= thresholds.headroom_warning {
        (Severity::Risk, thresholds.headroom_warning)
    } else {
        return;
    };
    let summary = format!(
        "{} has {}: {} in use, the threshold is {}",
        case.cache.endpoint(),
        narrate::clients(clients),
        narrate::percent(used),
        narrate::percent(threshold)
    );
    let finding = case.finding(FindingId::ClientsHeadroomLow, severity, Stage::Inspect, summary);
    diagnosis.findings.push(
        finding
            .evidence(format!("{}: {}", super::place(leg, case.cache.port), narrate::clients(clients)))
            .evidences(forecast(clients, memory))
            .note("find the client that holds too many connections, or scale to a tier with a higher limit")
            .run(case.clients_by_address())
            .azure(case.metric("connectedclients"))
            .done(),
    );
}

/// When the limit is reached if the number of clients goes on rising as it has.
fn forecast(clients: Clients, memory: &Memory) -> Option<String> {
    let (limit, _) = clients.limit?;
    let left = memory.forecast.exhaustion(limit)?;
    let left = Duration::from_mins(left.as_secs() / 60);
    let when =
        if left.is_zero() { "within a minute".to_owned() } else { format!("in {}", humantime::format_duration(left)) };
    Some(format!("at the present rate the limit is reached {when}"))
}

/// The server turned connections away since the last round.
fn rejected(case: &Case<'_>, memory: &Memory, diagnosis: &mut Diagnosis) {
    let Some((leg, server, _)) = case.busiest() else { return };
    let (Some(now), Some((process, before))) = (server.rejected_connections, &memory.kept.rejected) else { return };
    if server.run_id != *process || now <= *before {
        return;
    }
    let summary = format!("{} has rejected {} connections since the last round", case.cache.endpoint(), now - before);
    let finding = case.finding(FindingId::ConnectionsRejected, Severity::Degraded, Stage::Inspect, summary);
    diagnosis.findings.push(
        finding
            .evidence(format!(
                "{}: rejected_connections went from {before} to {now}",
                super::place(leg, case.cache.port)
            ))
            .note("the client limit was hit in between: see the clients' metric for the peak")
            .azure(case.metric("connectedclients"))
            .done(),
    );
}

/// The tier says one limit and the server another.
fn limit_mismatch(case: &Case<'_>, diagnosis: &mut Diagnosis) {
    let Some((leg, server, _)) = case.busiest() else { return };
    let (Some((tier, expected)), Some(reported)) = (&case.cache.tier, server.max_clients) else { return };
    if *expected == reported {
        return;
    }
    let summary = format!(
        "{} is configured as tier {tier}, which admits {expected} clients, and the server says {reported}",
        case.cache.endpoint()
    );
    let finding = case.finding(FindingId::ClientsLimitMismatch, Severity::Advice, Stage::Inspect, summary);
    diagnosis.findings.push(
        finding
            .evidence(format!("{}: maxclients of INFO is {reported}", super::place(leg, case.cache.port)))
            .note("the tier in the configuration is out of date, or the limit was changed: correct caches.tier, or set max_clients")
            .azure(case.show("\"{sku:sku, maxclients:redisConfiguration.maxclients}\""))
            .done(),
    );
}

/// The clock here and the server's are apart.
fn clock_skew(case: &Case<'_>, diagnosis: &mut Diagnosis) {
    /// Seconds that tell a wrong clock from a slow answer.
    const TELLING: u64 = 30;
    let told = case.used_legs().filter_map(|leg| Some((leg, leg.server.as_ref()?.clock_skew_seconds?)));
    let Some((leg, skew)) = told.max_by_key(|(_, skew)| skew.unsigned_abs()) else { return };
    if skew.unsigned_abs() <= TELLING {
        return;
    }
    let direction = if skew > 0 { "behind" } else { "ahead of" };
    let summary = format!(
        "the clock of this machine is {} seconds {direction} that of {}: certificates and tokens are judged by it",
        skew.unsigned_abs(),
        case.cache.endpoint()
    );
    let finding = case.finding(FindingId::ClockSkew, Severity::Risk, Stage::Inspect, summary);
    diagnosis.findings.push(
        finding
            .evidence(format!("{}: its time less ours is {skew} s", super::place(leg, case.cache.port)))
            .run("timedatectl status")
            .note("Azure keeps its clocks; make sure that time synchronisation runs here (chrony, systemd-timesyncd)")
            .done(),
    );
}
