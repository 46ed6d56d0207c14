//! Stage one: the name becomes addresses.
//!
//! One name server is asked at a time and nothing of its answer is edited: the alias chain, the TTLs, the response code
//! and who answered are what this stage is for. Nothing is cached: a monitor that reads a cache measures the cache.

mod chain;
mod cname;
mod connections;
mod exchange;
mod failure;
mod message;
mod query;
mod system;
mod tasks;
mod upstream;

mod https;
mod tls;

use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::proto::rr::Name;

pub(super) use system::System;

use self::cname::follow_cnames;
use self::tls::DnsTls;
use self::upstream::{NameServers, Transport};
use crate::clock::Stopwatch;
use crate::model::{
    AddressClass, Answer, Fault, FaultKind, Resolution, Resolver, ResolverName, Source, Stage, WireText,
};
use crate::net::deadline::Deadline;
use crate::net::trust::Trust;

/// Asks one resolver for the addresses of `host`. It always gives a resolution; failure is part of it.
pub(super) async fn resolve(
    host: &str,
    resolver: &Resolver,
    (system, trust): (&System, &Trust),
    limit: Duration,
    deadline: Deadline,
) -> Resolution {
    // Reading roots is this machine's affair: it is not part of the time a lookup takes.
    let servers = servers(resolver, system, trust);
    let watch = Stopwatch::start();
    let mut resolution = unanswered(host, resolver.name());
    if let Ok(address) = host.parse::<IpAddr>() {
        resolution.source = Source::Literal;
        resolution.addresses.push(Answer::new(address, None));
        return resolution;
    }
    let deadline = deadline.or_within(limit);
    match absolute(host) {
        Ok(name) => match servers {
            Ok(None) => system.resolve(host, deadline, &mut resolution).await,
            Ok(Some(servers)) => follow_cnames(&name, &servers, deadline).await.write(&mut resolution),
            Err(fault) => resolution.fault = Some(fault),
        },
        Err(words) => {
            resolution.fault = Some(Fault::new(Stage::Resolve, FaultKind::NameNotFound, words));
        }
    }
    resolution.took = watch.elapsed();
    resolution
}

/// The one name server that a resolver stands for; `None` where it is what an application would ask.
fn servers(resolver: &Resolver, system: &System, trust: &Trust) -> Result<Option<NameServers>, Fault> {
    match resolver {
        Resolver::System => Ok(None),
        Resolver::Listed(position) => Ok(Some(NameServers::single(system.listed(*position)?, Transport::Udp))),
        Resolver::Server { address, protocol, tls, path, .. } => {
            let transport = Transport::new(*protocol, path, || DnsTls::new(tls, *address, *protocol, trust))?;
            Ok(Some(NameServers::single(*address, transport)))
        }
    }
}

/// What the name servers say of a name that the hosts file pins; `None` where it pins none, or a name of this machine.
pub(super) async fn overridden(
    resolution: &Resolution,
    system: &System,
    limit: Duration,
    deadline: Deadline,
) -> Option<Box<Resolution>> {
    if resolution.source != Source::HostsFile
        || resolution.addresses.iter().all(|answer| answer.class == AddressClass::Loopback)
    {
        return None;
    }
    let host = resolution.name.as_str();
    let watch = Stopwatch::start();
    let mut beneath = unanswered(host, resolution.resolver.clone());
    system.ask_servers(host, deadline.or_within(limit), &mut beneath).await;
    beneath.took = watch.elapsed();
    Some(Box::new(beneath))
}

/// A resolution before its first question.
fn unanswered(host: &str, resolver: ResolverName) -> Resolution {
    Resolution {
        resolver,
        source: Source::Dns,
        name: WireText::new(host),
        searched: false,
        chain: Vec::new(),
        addresses: Vec::new(),
        addresses_dropped: 0,
        queries: Vec::new(),
        took: Duration::ZERO,
        fault: None,
        application: None,
        overridden: None,
    }
}

/// The name as it stands, without any search list.
fn absolute(host: &str) -> Result<Name, String> {
    let mut name = Name::from_ascii(host).map_err(|error| format!("{host} is not a host name: {error}"))?;
    name.set_fqdn(true);
    Ok(name)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, UdpSocket};

    use super::*;
    use crate::model::Outcome;

    /// What stands behind the question: any bytes, or records that can be read and hold any bytes.
    fn tail() -> impl Strategy<Value = Vec<u8>> {
        let kind = prop::sample::select(vec![1_u16, 2, 5, 6, 16, 28, 39, 41, 65]);
        let class = prop::sample::select(vec![1_u16, 1, 1, 3, 255, 0x8001]);
        let text = prop::collection::vec(any::<u8>(), 0..20).prop_map(|mut label| {
            label.insert(0, u8::try_from(label.len()).unwrap());
            [label, vec![0]].concat()
        });
        let data =
            prop_oneof![text, prop::collection::vec(any::<u8>(), 0..40), Just(vec![0xc0, 12]), Just(vec![10, 0, 0, 4])];
        let record = (kind, class, any::<u32>(), data).prop_map(|(kind, class, ttl, data)| {
            let length = u16::try_from(data.len()).unwrap();
            [
                &[0xc0, 12][..],
                &kind.to_be_bytes(),
                &class.to_be_bytes(),
                &ttl.to_be_bytes(),
                &length.to_be_bytes(),
                &data,
            ]
            .concat()
        });
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            prop::collection::vec(record, 0..6).prop_map(|records| records.concat()),
        ]
    }

    /// A reply to `question` with these bits and counts in its head.
    fn reply(question: &[u8], flags: u16, [answers, authorities]: [u8; 2], tail: &[u8]) -> Vec<u8> {
        // A reply, as the highest bit says, to a standard query.
        let flags = (flags & 0x87ff | 0x8000).to_be_bytes();
        let counts = [0, 1, 0, answers, 0, authorities, 0, 0];
        [&question[..2], &flags, &counts, &question[12..], tail].concat()
    }

    fn assert_safe(text: &WireText) -> Result<(), TestCaseError> {
        for character in text.as_str().chars() {
            let alone = format!("a{character}a");
            prop_assert!(WireText::new(&alone).as_str() == alone, "{:?} in {}", character, text);
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        /// Whatever a name server answers over UDP and TCP, the lookup ends with words that are safe to show. Over TLS and
        /// HTTPS the same bytes take the same way from `decode` on.
        #[test]
        fn any_answer_is_told_in_safe_words(
            flags in any::<u16>(),
            counts in [0u8..6, 0u8..3],
            tail in tail(),
            is_tcp in any::<bool>(),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let found = runtime.block_on(async {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
                let address: SocketAddr = listener.local_addr().unwrap();
                // Where the port is taken over UDP, the questions go over TCP.
                let socket = UdpSocket::bind(address).await.ok();
                let transport = if is_tcp || socket.is_none() { Transport::Tcp } else { Transport::Udp };
                let over_udp = async {
                    let Some(socket) = socket else { return std::future::pending().await };
                    let mut question = [0; 512];
                    while let Ok((length, from)) = socket.recv_from(&mut question).await {
                        let _ = socket.send_to(&reply(&question[..length], flags, counts, &tail), from).await;
                    }
                };
                let over_tcp = async {
                    // Both questions of a lookup share a connection; after an answer nobody can read there is another one.
                    loop {
                        let (mut stream, _) = listener.accept().await.unwrap();
                        while let Ok(length) = stream.read_u16().await {
                            let mut question = vec![0; usize::from(length)];
                            if stream.read_exact(&mut question).await.is_err() {
                                break;
                            }
                            let answer = reply(&question, flags, counts, &tail);
                            let framed = [&u16::try_from(answer.len()).unwrap().to_be_bytes()[..], &answer].concat();
                            if stream.write_all(&framed).await.is_err() {
                                break;
                            }
                        }
                    }
                };
                let servers = NameServers::single(address, transport);
                let name = absolute("orders.test").unwrap();
                tokio::select! {
                    found = follow_cnames(&name, &servers, Deadline::after(Duration::from_secs(20))) => found,
                    () = over_udp => unreachable!("a socket that is bound stays"),
                    () = over_tcp => unreachable!("a listener that is bound stays"),
                }
            });
            prop_assert!(found.outcome != Outcome::Timeout, "{:?}", found);
            let fault = found.fault();
            prop_assert_eq!(fault.is_none(), !found.addresses.is_empty());
            let mut texts: Vec<WireText> = fault.into_iter().map(|fault| fault.detail).chain([found.detail]).collect();
            texts.extend(found.chain.into_iter().flat_map(|alias| [alias.owner, alias.target]));
            texts.extend(found.queries.into_iter().flat_map(|query| [query.name, query.detail]));
            for text in &texts {
                assert_safe(text)?;
            }
        }
    }
}
