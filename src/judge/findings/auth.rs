//! Causes in authentication.

use std::path::Path;

use super::case::{Case, Draft, words};
use super::commands::quoted;
use super::coverage::Coverage;
use super::rule::{Rule, azure, note, run};
use crate::model::{Auth, Credential, Fault, FaultKind, FindingId, Leg, Password, Severity, Stage};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: FindingId::CredentialUnreadable,
        stage: Stage::Auth,
        denied_by: Coverage::Session,
        severity: "1",
        title: "the password cannot be read on this machine",
        means: "The file or variable that holds the key is missing, empty or not readable for the user cachewatch runs as. \
                Nothing was sent.",
        told_apart: "It fails here, before AUTH.",
        on_the_wire: "TCP and TLS complete; no command follows.",
        steps: |c| {
            vec![
                run(format!("ls -l {}", c.blank("FILE", "<password-file>"))),
                note("in a pod, whose image has no shell: the keys of its Secret, without their values"),
                run(format!("kubectl -n {} describe secret cachewatch-keys", c.blank("NAMESPACE", "<namespace>"))),
            ]
        },
    },
    Rule {
        id: FindingId::AuthRequired,
        stage: Stage::Auth,
        denied_by: Coverage::Session,
        severity: "1",
        title: "the server wants a password and none was sent",
        means: "The configuration has no credentials for a cache that needs them, and does not declare that this is intended.",
        told_apart: "NOAUTH. With method = \"none\" written under [caches.auth] it proves that the path is open up to Redis, and is \
                     no finding.",
        on_the_wire: "PING answered with -NOAUTH Authentication required.",
        steps: |_| {
            vec![
                note(
                    "in a configuration: password_file or password_env under [caches.auth]; for a bare host: --password-file",
                ),
                note("where the key may not be given here: method = \"none\" under [caches.auth]"),
            ]
        },
    },
    Rule {
        id: FindingId::AuthRejected,
        stage: Stage::Auth,
        denied_by: Coverage::Session,
        severity: "1",
        title: "the server does not accept the password",
        means: "The key was rotated, access keys are disabled, the user is disabled, or the name leads to another cache.",
        told_apart: "WRONGPASS (ERR invalid password from old servers).",
        on_the_wire: "AUTH answered with -WRONGPASS.",
        steps: |c| {
            vec![
                azure(c.accepts_keys()),
                azure(c.keys()),
                note(
                    "a password file is read again by itself; below /run/credentials change what LoadCredential= names, and then:",
                ),
                run("sudo systemctl restart cachewatch"),
            ]
        },
    },
    Rule {
        id: FindingId::AuthNotConfigured,
        stage: Stage::Auth,
        denied_by: Coverage::Session,
        severity: "1",
        title: "a password was sent where none is set",
        means: "The server has no password: it is not the server you expect, or it is open to every client.",
        told_apart: "ERR AUTH <password> called without any password configured.",
        on_the_wire: "AUTH answered with -ERR.",
        steps: |c| vec![run(c.nslookup(None))],
    },
    Rule {
        id: FindingId::AuthNotPermitted,
        stage: Stage::Ping,
        denied_by: Coverage::Login,
        severity: "3",
        title: "a command that the probe needs is denied",
        means: "The cache serves, but the user of the probe may not run PING or INFO: what they would report stays unknown.",
        told_apart: "NOPERM, or an unknown command.",
        on_the_wire: "PING or INFO answered with -NOPERM.",
        steps: |_| vec![note("give the user +ping +info")],
    },
];

/// What it is that a leg failed in this way; `None` where that is about no credentials.
pub(super) fn failure(
    case: &Case<'_>,
    stage: Stage,
    kind: FaultKind,
    severity: Severity,
    group: &[(&Leg, &Fault)],
) -> Option<Draft> {
    let endpoint = case.cache.endpoint();
    let draft = |id, summary| case.finding(id, severity, stage, summary);
    let draft = match kind {
        FaultKind::CredentialUnreadable => unreadable(
            case,
            draft(
                FindingId::CredentialUnreadable,
                format!("the password for {endpoint} cannot be read on this machine{}", words(group)),
            ),
        ),
        FaultKind::AuthRequired => draft(
            FindingId::AuthRequired,
            format!("{endpoint} wants a password, and none was sent"),
        )
        .note("give it the password: in a configuration password_file under [caches.auth], for a bare host --password-file")
        .azure(case.commands.keys())
        .note("if the key must not be given here, set method = \"none\" under [caches.auth]: the cache then counts as healthy"),
        FaultKind::AuthRejected => rejected(case, severity),
        FaultKind::AuthNotConfigured => draft(
            FindingId::AuthNotConfigured,
            format!("{endpoint} has no password, and one was sent: this may not be the server you expect"),
        )
        .run(case.commands.nslookup(None))
        .note("if the server is meant to be open, leave the password out, under [caches.auth] or with --password-file"),
        FaultKind::NotPermitted => not_permitted(case, severity),
        _ => return None,
    };
    Some(draft)
}

fn unreadable(case: &Case<'_>, draft: Draft) -> Draft {
    match &case.cache.auth {
        Auth::AccessKey { password: Password::File(path), .. } => draft
            .run(format!("ls -l -- {}", quoted(path)))
            .note("in a pod, whose image has no shell: the keys of its Secret, without their values")
            .run("kubectl -n <namespace> describe secret <secret>"),
        Auth::AccessKey { password: Password::Environment(name), .. } => {
            draft.note(format!("is {name} set for this process?"))
        }
        Auth::None | Auth::Withheld => draft.note("no password is configured"),
    }
    .note("the file must exist, hold the key, and be readable by the user that runs cachewatch")
}

fn rejected(case: &Case<'_>, severity: Severity) -> Draft {
    let user = match &case.cache.auth {
        Auth::AccessKey { username: Some(user), .. } => format!(" for user {user}"),
        _ => String::new(),
    };
    let summary = format!("{} does not accept the password{user}", case.cache.endpoint());
    let draft = case
        .finding(FindingId::AuthRejected, severity, Stage::Auth, summary)
        .note("the key was rotated, access keys are disabled, or the name leads to another cache")
        .azure(case.commands.accepts_keys())
        .azure(case.commands.keys());
    match &case.cache.auth {
        Auth::AccessKey { password: Password::File(path), .. } => match Credential::of(path) {
            // systemd hands a copy to the service when it starts.
            Some(Credential { unit, name }) => draft
                .note(format!(
                    "compare with what the application uses; write the new key where LoadCredential={name}: of {unit} takes it from, then:"
                ))
                .run(format!("sudo systemctl restart {}", quoted(Path::new(unit)))),
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
        format!("{} denies a command that this probe needs: what it would report stays unknown", case.cache.endpoint());
    case.finding(FindingId::AuthNotPermitted, severity, Stage::Ping, summary)
        .note("a user for monitoring needs PING and INFO: +ping +info")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Watch;
    use crate::judge::tests::{PRIVATELINK, cache, failed, leg, report, resolution, verdict};
    use crate::model::{Cache, Rules};

    #[test]
    fn a_new_key_is_taken_up_the_way_the_old_one_came() {
        let remedy = |kind, auth: &Auth| {
            let cache = Cache { auth: auth.clone(), rules: Rules { open_after: 1, clear_after: 1 }, ..cache() };
            let legs = vec![failed("10.20.1.4", Stage::Auth, kind)];
            let mut watch = Watch::default();
            let _ = watch.probed(&cache, &report(resolution(&[PRIVATELINK], &["10.20.1.4"]), legs), false);
            watch.open().remove(0)
        };
        let of = |password| Auth::AccessKey { username: None, password };
        let file = |path: &str| of(Password::File(path.into()));
        let rejected = |auth: &Auth| remedy(FaultKind::AuthRejected, auth).remedy_lines().join("\n");
        let by_itself = rejected(&file("/etc/cachewatch/keys/orders"));
        assert!(by_itself.contains("read again by itself") && !by_itself.contains("restart"), "{by_itself}");
        let credential = rejected(&file("/run/credentials/cachewatch.service/orders"));
        let words = "LoadCredential=orders: of cachewatch.service takes it from, then:\nsudo systemctl restart cachewatch.service";
        assert!(credential.ends_with(words) && !credential.contains("by itself"), "{credential}");
        let variable = rejected(&of(Password::Environment("ORDERS_KEY".to_owned())));
        assert!(variable.ends_with("set ORDERS_KEY anew, and start cachewatch again"), "{variable}");

        let unreadable = remedy(FaultKind::CredentialUnreadable, &file("/nope"));
        let detail = failed("10.20.1.4", Stage::Auth, FaultKind::CredentialUnreadable).fault.unwrap().detail;
        let end = format!("cannot be read on this machine: {detail}");
        assert!(unreadable.summary.as_str().ends_with(&end), "{}", unreadable.summary);
    }

    #[test]
    fn a_denied_info_is_a_risk_and_not_an_outage() {
        let mut denied = leg("10.20.1.4");
        denied.server = None;
        denied.notes.push(Fault::new(Stage::Inspect, FaultKind::NotPermitted, "NOPERM"));
        let denied = report(resolution(&[PRIVATELINK], &["10.20.1.4"]), vec![denied]);
        assert!(denied.succeeded());
        assert_eq!(verdict(&cache(), &denied), ["auth-not-permitted 3"]);
    }
}
