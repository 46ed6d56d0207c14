//! Stage three: what is seen of a handshake, whether it ends well or not, and that nothing is said to a peer that did not
//! prove its name.

use cachewatch::{
    clock::Stopwatch,
    model::{Cache, Leg, Timeouts},
};
use testlab::{
    cache::{AMPLE, PasswordFile, SLACK, SOON, at, ending, only_leg, tls, walk},
    peer::{OpensslServer, Peer, Replies, Step, alert, openssl, reply},
    pki::{Authority, Leaf},
    redis::RedisServer,
};

const NAME: &str = "orders.test";

/// The one leg of a walk over TLS, to a peer that must prove [`NAME`] before this authority.
fn leg(authority: &Authority, address: std::net::SocketAddr, timeouts: Timeouts) -> Leg {
    let report = walk(&Cache { tls: Some(tls(authority, NAME)), timeouts, ..at(address) });
    only_leg(&report).clone()
}

/// The session in one line: version, cipher, whether it verified, and the subjects of the chain.
fn session(leg: &Leg) -> String {
    let Some(session) = &leg.tls else { return "none".to_owned() };
    let verdict = if session.verified { "verified" } else { "not verified" };
    let subjects: Vec<_> = session.chain.iter().map(|certificate| certificate.subject.as_str()).collect();
    format!("{} {} {verdict}: {}", session.version, session.cipher, subjects.join(" < "))
}

fn words(leg: &Leg) -> &str {
    leg.fault.as_ref().map_or("", |fault| fault.detail.as_str())
}

#[test]
fn both_versions_are_spoken_and_described() {
    let authority = Authority::new();
    let below = authority.intermediate();
    let leaf = below.leaf(&[NAME, "10.20.1.4"]);
    let chain = "verified: CN=orders.test < CN=cachewatch test intermediate";
    let cases = [
        ("TLSv1.3", "-tls1_3", format!("TLSv1.3 TLS_AES_256_GCM_SHA384 {chain}")),
        ("TLSv1.2", "-tls1_2", format!("TLSv1.2 TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 {chain}")),
    ];
    for (version, argument, expected) in cases {
        let redis = RedisServer::builder().tls(&leaf).directive(&format!("tls-protocols {version}")).start();
        let leg = leg(&authority, redis.address(), AMPLE);
        assert_eq!((ending(&leg), session(&leg)), ("serves".to_owned(), expected.clone()));
        let session_seen = leg.tls.unwrap();
        let names: Vec<_> = session_seen.chain[0].names.iter().map(ToString::to_string).collect();
        assert_eq!((names, session_seen.server_name), (vec![NAME.to_owned(), "10.20.1.4".to_owned()], NAME.to_owned()));

        // OpenSSL's own server shows the leaf alone, takes PING for a line of text and says nothing to it.
        let plain_leaf = authority.leaf(&[NAME]);
        let server = OpensslServer::start(&plain_leaf, &[argument]);
        let leg = self::leg(&authority, server.address(), Timeouts { command: SOON, ..AMPLE });
        let expected = expected.replace(" < CN=cachewatch test intermediate", "");
        assert_eq!((ending(&leg), session(&leg)), ("ping timeout".to_owned(), expected));
    }
}

#[test]
fn a_peer_that_does_not_prove_its_name_is_described_and_told_nothing() {
    let authority = Authority::new();
    let below = authority.intermediate().leaf(&[NAME]);
    let password = PasswordFile::new("correct-horse");
    let cases = [
        ("serves", authority.leaf(&[NAME]), NAME),
        ("tls certificate_expired", authority.expired(&[NAME]), NAME),
        ("tls certificate_not_yet_valid", authority.not_yet_valid(&[NAME]), NAME),
        ("tls name_mismatch", authority.leaf(&["other.test"]), "other.test"),
        ("tls untrusted_issuer", Leaf::self_signed(&[NAME]), NAME),
        ("tls untrusted_issuer", Authority::new().leaf(&[NAME]), NAME),
        ("tls untrusted_issuer", below.without_intermediates(), NAME),
    ];
    for (expected, leaf, subject) in cases {
        let peer = Peer::tls(leaf.server(), [Step::Serve(Replies::redis())]);
        let cache = Cache { tls: Some(tls(&authority, NAME)), auth: password.alone(), ..at(peer.address()) };
        let report = walk(&cache);
        let leg = only_leg(&report);
        let proved = expected == "serves";
        let verdict = if proved { "verified" } else { "not verified" };
        assert_eq!(
            (ending(leg), session(leg)),
            (expected.to_owned(), format!("TLSv1.3 TLS_AES_256_GCM_SHA384 {verdict}: CN={subject}"))
        );
        let heard: Vec<_> = peer.commands().iter().map(|command| command.join(" ")).collect();
        let all = ["AUTH correct-horse", "PING", "INFO", "TIME"];
        assert_eq!(heard, if proved { &all[..] } else { &[] }, "{expected}");
        assert_eq!(peer.connections(), 1);
    }
}

#[test]
fn a_name_mismatch_tells_both_names() {
    let authority = Authority::new();
    let peer = Peer::tls(authority.leaf(&["other.test"]).server(), [Step::Hold]);
    let leg = leg(&authority, peer.address(), AMPLE);
    assert!(words(&leg).contains(NAME) && words(&leg).contains("other.test"), "{}", words(&leg));
}

#[test]
fn what_openssl_will_not_agree_on_has_its_name() {
    let authority = Authority::new();
    let leaf = authority.leaf(&[NAME]);
    let ca = authority.ca_file();
    let verifying = ["-Verify", "1", "-verify_return_error", "-CAfile", ca.to_str().unwrap()];
    let mutual = |version| [&[version][..], &verifying].concat();
    let cases = [
        (openssl::TLS_1_1.to_vec(), "tls tls_version", false),
        (openssl::CBC.to_vec(), "tls no_common_cipher", false),
        (mutual("-tls1_2"), "tls client_certificate_required", true),
        (mutual("-tls1_3"), "tls client_certificate_required", true),
    ];
    for (arguments, expected, shows_chain) in cases {
        let server = OpensslServer::start(&leaf, &arguments);
        let leg = leg(&authority, server.address(), AMPLE);
        assert_eq!((ending(&leg).as_str(), leg.tls.is_some()), (expected, shows_chain), "{arguments:?}: {leg:#?}");
    }
}

#[test]
fn a_redis_that_wants_a_client_certificate_is_told_from_one_without_a_cipher() {
    let authority = Authority::new();
    let leaf = authority.leaf(&[NAME]);
    for version in ["TLSv1.2", "TLSv1.3"] {
        let protocols = format!("tls-protocols {version}");
        let redis = RedisServer::builder().tls(&leaf).directive(&protocols).directive("tls-auth-clients yes").start();
        let leg = leg(&authority, redis.address(), AMPLE);
        assert_eq!(ending(&leg), "tls client_certificate_required", "{version}: {leg:#?}");
    }
    let peer = Peer::tls(leaf.server_wanting_client_from(&authority), [Step::Serve(Replies::redis())]);
    assert_eq!(ending(&leg(&authority, peer.address(), AMPLE)), "tls client_certificate_required");
    assert_eq!(peer.commands(), Vec::<Vec<String>>::new());
}

#[test]
fn what_breaks_a_handshake_has_its_name() {
    let authority = Authority::new();
    let http = "HTTP/1.1 400 Bad Request\r\n\r\n";
    let cases = [
        ("closes at once", vec![], "tls closed", "closed by the peer inside the handshake"),
        ("closes when spoken to", vec![Step::Hear], "tls closed", "closed by the peer inside the handshake"),
        (
            "resets when spoken to",
            vec![Step::Hear, Step::Reset],
            "tls closed",
            "Connection reset by peer (os error 104)",
        ),
        (
            "speaks HTTP",
            vec![Step::Hear, Step::say(http)],
            "tls not_tls",
            r#"the peer answered "HTTP/1.1 400 Bad Request""#,
        ),
        (
            "speaks Redis first",
            vec![Step::say(reply::MAX_CLIENTS)],
            "tls not_tls",
            r#"the peer answered "-ERR max number of clients reached""#,
        ),
        (
            "answers as a scripted Redis",
            vec![Step::Serve(Replies::redis())],
            "tls not_tls",
            r#"the peer answered "-ERR unknown command"#,
        ),
        (
            "finds no cipher",
            vec![Step::Hear, Step::say(alert::HANDSHAKE_FAILURE)],
            "tls no_common_cipher",
            "received fatal alert: HandshakeFailure",
        ),
        (
            "finds no version",
            vec![Step::Hear, Step::say(alert::PROTOCOL_VERSION)],
            "tls tls_version",
            "received fatal alert: ProtocolVersion",
        ),
    ];
    for (case, steps, expected, detail) in cases {
        let peer = Peer::plain(steps);
        let leg = leg(&authority, peer.address(), AMPLE);
        assert_eq!((ending(&leg).as_str(), leg.tls.is_some()), (expected, false), "{case}: {leg:#?}");
        assert!(words(&leg).starts_with(detail), "{case}: {}", words(&leg));
    }
}

#[test]
fn a_peer_silent_towards_tls_and_plain_text_ends_at_the_limit() {
    let authority = Authority::new();
    let peer = Peer::plain([Step::Hold]);
    let watch = Stopwatch::start();
    let leg = leg(&authority, peer.address(), Timeouts { tls: SOON, ..AMPLE });
    assert!(watch.elapsed() < SOON + SLACK, "{:?}", watch.elapsed());
    assert_eq!((ending(&leg).as_str(), words(&leg)), ("tls timeout", "the handshake did not end within 1s"));
}

/// Redis waits for the line end of what it takes for a command, so towards TLS its plain port is silent.
#[test]
fn the_plain_port_of_a_real_redis_is_known_for_what_it_is() {
    let authority = Authority::new();
    let password = PasswordFile::new("correct-horse");
    let open = RedisServer::builder().start();
    let locked = RedisServer::builder().password("correct-horse").start();
    let cases = [
        (&open, r#"no answer to TLS within 2s; to PING in plain text the peer answered "+PONG""#),
        (
            &locked,
            r#"no answer to TLS within 2s; to PING in plain text the peer answered "-NOAUTH Authentication required.""#,
        ),
    ];
    for (server, detail) in cases {
        let timeouts = Timeouts { tls: std::time::Duration::from_secs(2), ..AMPLE };
        let cache =
            Cache { tls: Some(tls(&authority, NAME)), auth: password.alone(), timeouts, ..at(server.address()) };
        let watch = Stopwatch::start();
        let report = walk(&cache);
        assert!(watch.elapsed() < timeouts.tls + SLACK, "{:?}", watch.elapsed());
        let leg = only_leg(&report);
        assert_eq!((ending(leg).as_str(), words(leg)), ("tls not_tls", detail));
    }
}

#[test]
fn roots_that_cannot_be_read_are_no_verdict_on_the_peer() {
    let authority = Authority::new();
    let peer = Peer::tls(authority.leaf(&[NAME]).server(), [Step::Serve(Replies::redis())]);
    let cache = Cache { tls: Some(tls(&authority, NAME)), ..at(peer.address()) };
    let fault = |bytes: Option<&str>| {
        match bytes {
            Some(bytes) => std::fs::write(authority.ca_file(), bytes).unwrap(),
            None => std::fs::remove_file(authority.ca_file()).unwrap(),
        }
        ending(only_leg(&walk(&cache)))
    };
    assert_eq!(fault(Some("not a certificate")), "tls trust_unreadable");
    assert_eq!(fault(None), "tls trust_unreadable");
}
