//! Every finding there is: what it means, how it is told apart, what it looks like on the wire, what to run.
//!
//! `cachewatch explain`, `docs/findings.md` and the API read this table; a test holds that it names every id once.

use serde::Serialize;

use crate::model::{FindingId, Stage};

/// One finding, explained. `NAME`, `HOST`, `PORT` and `GROUP` stand for the cache at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The stable id.
    pub id: FindingId,
    /// The stage that must have been reached to know that it does not hold.
    pub stage: Stage,
    /// How bad it is, and when it is worse or milder.
    pub severity: &'static str,
    /// What is wrong, in a few words.
    pub title: &'static str,
    /// What it means for an application.
    pub means: &'static str,
    /// How it is told from what looks alike.
    pub told_apart: &'static str,
    /// What is seen on the wire.
    pub on_the_wire: &'static str,
    /// What to run, in order; a line that starts with `#` is a remark.
    pub run: &'static [&'static str],
}

/// The entry of a finding.
///
/// # Panics
/// Never: a test holds that every id has one.
#[must_use]
pub fn explain(id: FindingId) -> &'static Entry {
    CATALOGUE.iter().find(|entry| entry.id == id).expect("a test holds that every id has an entry")
}

/// The ids most like `text`, the nearest first, at most three.
#[must_use]
pub fn nearest(text: &str) -> Vec<&'static str> {
    let wanted = text.trim().to_ascii_lowercase();
    let mut ids: Vec<_> = CATALOGUE
        .iter()
        .map(|entry| (strsim::damerau_levenshtein(&wanted, entry.id.as_str()), entry.id.as_str()))
        .collect();
    ids.sort_unstable();
    ids.into_iter().take(3).map(|(_, id)| id).collect()
}

/// Every finding, in the order of the path.
pub static CATALOGUE: &[Entry] = &[
    Entry {
        id: FindingId::ConfigPrivatelinkName,
        stage: Stage::Resolve,
        severity: "3; 1 where TLS fails on it",
        title: "the configured host is the privatelink name",
        means: "The name in the privatelink zone is an alias for DNS to use, not for an application to dial: the server's \
                certificate does not cover it, so TLS fails or has been weakened to make it work.",
        told_apart: "The host in the configuration has a label `privatelink`; nothing needs to be asked to know it.",
        on_the_wire: "Nothing: it is seen before the first packet. TLS then fails on the certificate's names, which is told as evidence.",
        run: &["# dial NAME.redis.cache.windows.net; DNS leads it to the private endpoint by itself"],
    },
    Entry {
        id: FindingId::ConfigIpAddress,
        stage: Stage::Resolve,
        severity: "3; 1 where TLS fails on it",
        title: "the configured host is an address",
        means: "No certificate of Azure covers an address, and the address can change when the cache is scaled, patched or \
                its private endpoint is made anew. DNS, which would follow such a move, is not asked.",
        told_apart: "The host in the configuration parses as an IPv4 or IPv6 address.",
        on_the_wire: "No DNS query at all. TLS then fails on the certificate's names, unless a server name is configured.",
        run: &["# dial the host name: az redis show -n NAME -g GROUP --query hostName"],
    },
    Entry {
        id: FindingId::ConfigPortProduct,
        stage: Stage::Resolve,
        severity: "3; 1 where nothing answers there",
        title: "the configured port is another product's",
        means: "Azure Cache for Redis listens on 6380 (6379 without TLS), Azure Managed Redis and Enterprise on 10000. An \
                application with the same setting cannot connect.",
        told_apart: "The suffix of the host tells the product, the product its port; nothing needs to be asked to know it.",
        on_the_wire: "Nothing yet. The connection is then refused or filtered.",
        run: &["# configure the product's port, here and in the application", "nc -vz -w 5 HOST PORT"],
    },
    Entry {
        id: FindingId::RetirementNear,
        stage: Stage::Resolve,
        severity: "4 within eighteen months (configurable), 3 within a year, 2 within 90 days",
        title: "the product comes to its end",
        means: "Microsoft has announced the day from which caches of this product are disabled: Enterprise and Enterprise Flash \
                from 2027-04-01, Basic, Standard and Premium from 2028-10-01.",
        told_apart: "The suffix of the host tells the product. After a migration the old name may lead to another product.",
        on_the_wire: "Nothing.",
        run: &["az redis list --query \"[].{name:name, sku:sku.name, group:resourceGroup}\" -o table"],
    },
    Entry {
        id: FindingId::DnsHostsOverride,
        stage: Stage::Resolve,
        severity: "3; 2 where the pin leads elsewhere than expected, 1 where nothing answers there",
        title: "the hosts file answers, and DNS says otherwise",
        means: "A line in the hosts file pins the name. It does not follow when the private endpoint or the cache moves, and \
                nobody remembers it is there.",
        told_apart: "The hosts file is read first, as an application's resolver does; then the name servers are asked as well, and \
                     their answer differs. A pin that agrees with DNS is no finding.",
        on_the_wire: "No query of an application; queries of the probe, whose answer is another address or NXDOMAIN.",
        run: &["grep -n HOST /etc/hosts", "nslookup HOST"],
    },
    Entry {
        id: FindingId::DnsSearchSuffixAnswer,
        stage: Stage::Resolve,
        severity: "3; 2 where the answer leads elsewhere than expected, 1 where nothing answers there",
        title: "the search list made another name of it",
        means: "The name was not looked up as it stands: a domain of the search list was appended, and something answered for \
                that. It may be a wildcard record, and it may be another server.",
        told_apart: "The name that answered is longer than the one that was asked for; ndots decides which is tried first.",
        on_the_wire: "A query for HOST.SEARCH.DOMAIN, answered with an address.",
        run: &["cat /etc/resolv.conf", "nslookup HOST.", "# in Kubernetes: lower ndots in dnsConfig.options"],
    },
    Entry {
        id: FindingId::DnsIpv6Only,
        stage: Stage::Resolve,
        severity: "2; 1 where nothing answers there either",
        title: "there are IPv6 addresses and no IPv4 address",
        means: "Private endpoints are reached over IPv4 only; a client without IPv6 finds nothing.",
        told_apart: "AAAA records, and no A record, in the same answer.",
        on_the_wire: "The A query answered without data, the AAAA query with an address.",
        run: &["nslookup -type=A HOST"],
    },
    Entry {
        id: FindingId::DnsNameNotFound,
        stage: Stage::Resolve,
        severity: "1",
        title: "the name does not exist",
        means: "Every new connection fails before it begins. The cache was deleted, its name is misspelt, or this machine's \
                resolver does not know the zone.",
        told_apart: "NXDOMAIN (or a name without any address), and no alias in the answer. With an alias into a privatelink \
                     zone it is dns-record-missing; a server that fails or refuses is dns-server-failure or dns-refused.",
        on_the_wire: "A and AAAA queries, both answered with response code 3 and an empty answer section.",
        run: &[
            "az redis list --query \"[?name=='NAME'].{name:name, host:hostName, group:resourceGroup}\" -o table",
            "nslookup HOST",
        ],
    },
    Entry {
        id: FindingId::DnsRecordMissing,
        stage: Stage::Resolve,
        severity: "1",
        title: "the private zone has no record for the cache",
        means: "A private endpoint exists or existed: the public name is an alias into the privatelink zone, and that zone, \
                which this network sees, holds no address for it. The endpoint was deleted, its DNS zone group is missing, or \
                two endpoints share a zone and the deletion of one took the record of the other.",
        told_apart: "The alias chain reaches a privatelink name and ends there in NXDOMAIN or without data. Were the zone not \
                     linked here, the public address would answer (dns-zone-not-linked).",
        on_the_wire: "An answer with CNAME NAME.privatelink.…, response code 3 (NXDOMAIN), or 0 without an address.",
        run: &[
            "az network private-dns record-set a list -g GROUP -z privatelink.redis.cache.windows.net -o table",
            "az network private-endpoint list --query \"[?contains(to_string(privateLinkServiceConnections), 'NAME')].name\"",
            "az network private-endpoint dns-zone-group list -g GROUP --endpoint-name ENDPOINT",
        ],
    },
    Entry {
        id: FindingId::DnsZoneNotLinked,
        stage: Stage::Resolve,
        severity: "2; 1 where the public address does not answer either",
        title: "a private endpoint exists, and this machine is led to the public address",
        means: "Traffic that should stay inside the network leaves it, or is dropped at the public door. Three causes give the \
                same answer: the private zone is not linked to this network; this machine asks a name server that does not \
                see the zone; the record is missing and the link falls back to the internet (NxDomainRedirect).",
        told_apart: "The chain has a privatelink alias, so an endpoint exists, and ends at a public address where a private one \
                     is expected. Which of the three it is cannot be seen in the answer: the commands decide.",
        on_the_wire: "CNAME NAME.privatelink.…, further aliases, then an A record with a public address.",
        run: &[
            "az network private-dns link vnet list -g GROUP -z privatelink.redis.cache.windows.net -o table",
            "nslookup HOST 168.63.129.16",
            "az network private-dns record-set a list -g GROUP -z privatelink.redis.cache.windows.net -o table",
        ],
    },
    Entry {
        id: FindingId::DnsNoPrivateEndpoint,
        stage: Stage::Resolve,
        severity: "2; 1 where the public address does not answer either",
        title: "a private address is expected, and nothing on the way speaks of a private endpoint",
        means: "The cache is reached over its public address although the configuration says it is private. The endpoint was \
                never made, is not approved yet, or was deleted.",
        told_apart: "No alias on the way lies in a privatelink zone. With one, the endpoint exists and DNS is at fault: \
                     dns-zone-not-linked.",
        on_the_wire: "A chain without any privatelink name that ends at a public address.",
        run: &[
            "az network private-endpoint list --query \"[?contains(to_string(privateLinkServiceConnections), 'NAME')]\" -o table",
            "az redis show -n NAME -g GROUP --query privateEndpointConnections",
        ],
    },
    Entry {
        id: FindingId::DnsMixedAnswer,
        stage: Stage::Resolve,
        severity: "2",
        title: "private and public addresses in one answer",
        means: "Connections go either way, by chance: some stay inside the network, some do not, and each failure looks random.",
        told_apart: "One answer holds an address of each class, and they are not all expected by configuration.",
        on_the_wire: "Several A records under one name, of both classes.",
        run: &[
            "az network private-dns record-set a list -g GROUP -z privatelink.redis.cache.windows.net -o table",
            "nslookup HOST",
        ],
    },
    Entry {
        id: FindingId::DnsUnexpectedPrivate,
        stage: Stage::Resolve,
        severity: "2",
        title: "an address inside a network, and not the expected one",
        means: "The name leads to a private (or loopback) address that the configuration does not name: a stale record, an \
                endpoint made anew, or another network's endpoint for the same cache.",
        told_apart: "The class is private, shared, loopback or link-local, and the address lies outside expected_addresses.",
        on_the_wire: "An A record outside the expected networks.",
        run: &[
            "nslookup HOST",
            "az network private-endpoint list --query \"[?contains(to_string(privateLinkServiceConnections), 'NAME')]\" -o jsonc",
        ],
    },
    Entry {
        id: FindingId::DnsUnexpectedPublic,
        stage: Stage::Resolve,
        severity: "2",
        title: "a public address, and not the expected one",
        means: "The name leads to a public address that the configuration does not name. Azure may move a public cache when it \
                is scaled or patched; where firewalls list addresses, they must follow.",
        told_apart: "No private address is expected, and the answer lies outside expected_addresses.",
        on_the_wire: "An A record outside the expected networks.",
        run: &["nslookup HOST", "# if the move is right, change expected_addresses and reload"],
    },
    Entry {
        id: FindingId::DnsPrivateWhenPublicExpected,
        stage: Stage::Resolve,
        severity: "3",
        title: "a private address where a public one is expected",
        means: "The path is more private than the configuration says. Mostly the configuration is out of date: a private \
                endpoint was added. It may also be a resolver that sees another network's zone.",
        told_apart: "isolation is public, and every address lies inside a network.",
        on_the_wire: "An A record with a private address.",
        run: &["nslookup HOST", "# if the endpoint is meant, set isolation = \"private_endpoint\""],
    },
    Entry {
        id: FindingId::DnsDrift,
        stage: Stage::Resolve,
        severity: "2 from private to public, at once; 3 otherwise",
        title: "the addresses left the ones that were accepted",
        means: "The name leads elsewhere than when it was last known to be right. From a private to a public address this is an \
                exposure or an outage in the making, and opens at the first sight of it.",
        told_apart: "The set of addresses holds one that the baseline (the first good answer, expected_addresses, or what a \
                     person accepted) does not. Another order, a part of the known addresses, a TTL that counts down and a \
                     public cache that moves are no drift. It ends when the old addresses return, when expected_addresses \
                     names the new ones, or when they are accepted.",
        on_the_wire: "Another A record than in the rounds before.",
        run: &[
            "nslookup HOST",
            "# if the move is right, accept it, or set expected_addresses and reload",
            "cachewatch baseline accept NAME",
        ],
    },
    Entry {
        id: FindingId::DnsResolversDisagree,
        stage: Stage::Resolve,
        severity: "2; at once where a resolver leaves a private address for a public one",
        title: "resolvers answer differently",
        means: "Which address an application gets depends on whom it asks: a forwarder keeps a record that is gone, a network is \
                not linked to the private zone, or a server knows nothing of it. What works here fails elsewhere.",
        told_apart: "Another resolver's set of addresses differs from the set of the one that is followed; no address is an answer \
                     too. Order and TTL do not count, and a part of the other's addresses agrees with it. A resolver that gives \
                     no answer does not disagree: it is dns-timeout, dns-server-failure, dns-refused or dns-unreachable. Where \
                     the hosts file or the search list bends the name, that is the cause. Answers that a person has accepted \
                     may differ.",
        on_the_wire: "The same question to two name servers, answered with different A records, or with NXDOMAIN by one of them.",
        run: &[
            "nslookup HOST RESOLVER-ADDRESS",
            "az network private-dns link vnet list -g GROUP -z privatelink.redis.cache.windows.net -o table",
            "# if each is meant to answer as it does",
            "cachewatch baseline accept NAME",
        ],
    },
    Entry {
        id: FindingId::DnsTimeout,
        stage: Stage::Resolve,
        severity: "1; 3 where only a resolver fails that the connection does not follow",
        title: "no name server answered in time",
        means: "Applications hang for seconds on each connection and then fail. The name server is down or overloaded, or \
                port 53 is dropped on the way.",
        told_apart: "Questions were sent and nothing came back. A closed port or a missing route answers at once and is \
                     dns-unreachable.",
        on_the_wire: "Queries without replies, each server twice.",
        run: &["nslookup HOST", "cat /etc/resolv.conf"],
    },
    Entry {
        id: FindingId::DnsServerFailure,
        stage: Stage::Resolve,
        severity: "1; 3 where only a resolver fails that the connection does not follow",
        title: "the name server failed (SERVFAIL)",
        means: "The server that was asked could not get an answer itself: a forwarder's upstream is gone, a conditional \
                forwarding rule leads nowhere, or validation failed.",
        told_apart: "Response code 2. The name may well exist.",
        on_the_wire: "A reply with response code 2, from every server that was asked.",
        run: &[
            "nslookup HOST",
            "nslookup HOST 168.63.129.16",
            "# compare: where Azure answers, the forwarder is at fault",
        ],
    },
    Entry {
        id: FindingId::DnsRefused,
        stage: Stage::Resolve,
        severity: "1; 3 where only a resolver fails that the connection does not follow",
        title: "the name server refuses to answer (REFUSED)",
        means: "The server does not serve this client or this zone: its access list leaves this network out.",
        told_apart: "Response code 5: the server is there, and says no.",
        on_the_wire: "A reply with response code 5.",
        run: &["nslookup HOST", "cat /etc/resolv.conf"],
    },
    Entry {
        id: FindingId::DnsUnreachable,
        stage: Stage::Resolve,
        severity: "1; 3 where only a resolver fails that the connection does not follow",
        title: "no name server can be reached",
        means: "Nothing can be looked up from here. The name server's port is closed, there is no route to it, or resolv.conf \
                is missing or names none.",
        told_apart: "The network says so at once (ICMP, RST, no route), or there is no one to ask. Silence is dns-timeout.",
        on_the_wire: "ICMP port unreachable in reply to the query; or no packet at all.",
        run: &["cat /etc/resolv.conf", "nslookup HOST"],
    },
    Entry {
        id: FindingId::DnsFailed,
        stage: Stage::Resolve,
        severity: "1; 3 where only a resolver fails that the connection does not follow",
        title: "the lookup failed in a way that has no name of its own",
        means: "An answer that cannot be read, aliases in a circle, an unusual response code. The raw words are the evidence.",
        told_apart: "Whatever has a name above is reported by that name.",
        on_the_wire: "See the evidence.",
        run: &["nslookup HOST"],
    },
    Entry {
        id: FindingId::DnsTtlLong,
        stage: Stage::Resolve,
        severity: "4",
        title: "the answer may be kept for very long",
        means: "After a failover or a migration, clients and caches in between keep the old address for that long.",
        told_apart: "The smallest TTL on the way exceeds thresholds.ttl_long.",
        on_the_wire: "The TTL of every record of the chain.",
        run: &["# lower the TTL of the record to 300 seconds or less, well before a migration"],
    },
    Entry {
        id: FindingId::TcpRefused,
        stage: Stage::Connect,
        severity: "1",
        title: "the connection was refused",
        means: "Something is at the address and nothing listens on the port: the wrong port for the product, the port without \
                TLS (off by default), or a cache that is restarting.",
        told_apart: "The answer to SYN is RST. Silence is tcp-filtered; no route is tcp-unreachable.",
        on_the_wire: "SYN, RST.",
        run: &[
            "az redis show -n NAME -g GROUP --query \"{state:provisioningState, port:sslPort}\"",
            "nc -vz -w 5 HOST PORT",
        ],
    },
    Entry {
        id: FindingId::TcpFiltered,
        stage: Stage::Connect,
        severity: "1",
        title: "no answer to SYN",
        means: "Packets are dropped on the way. At a private address that is the network between: a security group, a route \
                table, a missing peering, a NetworkPolicy. At a public address it is the cache's own door: public access \
                disabled, or a firewall rule that leaves this machine out.",
        told_apart: "SYN is repeated until the time is up, and nothing comes back. The class of the address tells where to look.",
        on_the_wire: "SYN, SYN, SYN.",
        run: &[
            "az network watcher test-connectivity -g GROUP --source-resource VM --dest-address HOST --dest-port PORT",
            "az redis show -n NAME -g GROUP --query publicNetworkAccess",
            "az redis firewall-rules list -n NAME -g GROUP -o table",
        ],
    },
    Entry {
        id: FindingId::TcpUnreachable,
        stage: Stage::Connect,
        severity: "1",
        title: "no route to the address",
        means: "This machine, or a router on the way, says that the address cannot be reached: a missing peering, a route that \
                sends it nowhere, an address of another network.",
        told_apart: "The kernel or an ICMP message says so at once.",
        on_the_wire: "No SYN, or SYN and ICMP host (or network, or administratively) unreachable.",
        run: &["ip route get ADDRESS", "az network nic show-effective-route-table -g GROUP -n NIC -o table"],
    },
    Entry {
        id: FindingId::TcpFailed,
        stage: Stage::Connect,
        severity: "1",
        title: "the connection failed in a way that has no name of its own",
        means: "The kernel gave an error that is not known here; its words are the evidence.",
        told_apart: "Whatever has a name above is reported by that name.",
        on_the_wire: "See the evidence.",
        run: &["nc -vz -w 5 ADDRESS PORT"],
    },
    Entry {
        id: FindingId::TcpPartial,
        stage: Stage::Connect,
        severity: "2",
        title: "some addresses connect, others do not",
        means: "Applications fail whenever they pick the wrong one: the failures look random.",
        told_apart: "Of several addresses of one answer, at least one accepts a connection and at least one does not.",
        on_the_wire: "Several connections from one probe, of which some are refused, dropped or unreachable.",
        run: &["nslookup HOST", "nc -vz -w 5 ADDRESS PORT"],
    },
    Entry {
        id: FindingId::PublicPathOpen,
        stage: Stage::Connect,
        severity: "2; 3 where the certificate is the cache's and no command was answered",
        title: "the public address answers, and the cache should be private",
        means: "An application here goes the private way, and the public one is open beside it: whoever has the key needs no \
                private network. It is tested only where exposure.public_resolver names a resolver for the public answer.",
        told_apart: "An address of the public answer that this machine's own answer does not have is dialled. Open is what shows \
                     the cache's own certificate and answers PING, be it with NOAUTH. A connection that is accepted and leads no \
                     further proves nothing: a front door accepts TCP for many caches, and is no finding. A network without a way \
                     to the internet sees every public path closed.",
        on_the_wire: "SYN to a public address, a TLS handshake with the cache's certificate, PING, a reply. The password is sent \
                      only with exposure.send_credentials, behind a certificate that verified.",
        run: &[
            "az network private-endpoint list --query \"[?contains(to_string(privateLinkServiceConnections), 'NAME')]\"",
            "az redis update -n NAME -g GROUP --set publicNetworkAccess=Disabled",
            "# Azure Managed Redis and Enterprise: az redisenterprise update -n NAME -g GROUP --public-network-access Disabled",
        ],
    },
    Entry {
        id: FindingId::PlainPortOpen,
        stage: Stage::Connect,
        severity: "3",
        title: "the port without TLS is open",
        means: "The cache is used with TLS, and answers without it as well: a client that is configured wrong sends its key in the \
                clear, and nobody notices. It is tested only with exposure.plain_port.",
        told_apart: "Port 6379 of an address answers PING in the manner of Redis, be it with NOAUTH. What accepts the connection and \
                     does not speak Redis is no finding: a proxy or a service mesh accepts for everyone.",
        on_the_wire: "PING in plain text on port 6379, a reply that begins with + or -. No password is ever sent there.",
        run: &[
            "az redis show -n NAME -g GROUP --query enableNonSslPort",
            "az redis update -n NAME -g GROUP --set enableNonSslPort=false",
        ],
    },
    Entry {
        id: FindingId::LocalExhaustion,
        stage: Stage::Connect,
        severity: "2 at a connection; 1 at a lookup",
        title: "this machine ran out of sockets, ports or memory",
        means: "The cache is not at fault: no new connection can be opened from here, to anyone.",
        told_apart: "The kernel says EMFILE, ENFILE, EADDRNOTAVAIL, ENOBUFS or ENOMEM before any packet is sent.",
        on_the_wire: "Nothing.",
        run: &["ss -s", "cat /proc/sys/net/ipv4/ip_local_port_range /proc/sys/fs/file-nr"],
    },
    Entry {
        id: FindingId::TlsNotSpoken,
        stage: Stage::Tls,
        severity: "1; 2 where other addresses serve",
        title: "the peer does not speak TLS",
        means: "A port without TLS, a cache with TLS switched off, or a proxy in between.",
        told_apart: "The first bytes of the peer are no TLS record; they are shown as evidence.",
        on_the_wire: "ClientHello, then plain text such as -ERR or HTTP/1.1 400.",
        run: &["printf 'PING\\r\\n' | nc -w 3 HOST PORT"],
    },
    Entry {
        id: FindingId::TlsVersion,
        stage: Stage::Tls,
        severity: "1; 2 where other addresses serve",
        title: "no TLS version in common",
        means: "The peer offers only TLS 1.1 or older, which Azure retired and this probe does not speak.",
        told_apart: "An alert protocol_version, or a ServerHello of an older version.",
        on_the_wire: "ClientHello, alert 70.",
        run: &["openssl s_client -connect HOST:PORT -servername HOST -tls1_2 </dev/null"],
    },
    Entry {
        id: FindingId::TlsNoCommonCipher,
        stage: Stage::Tls,
        severity: "1; 2 where other addresses serve",
        title: "no cipher suite in common",
        means: "The peer accepts none of the suites offered. This probe offers AEAD suites only (AES-GCM, ChaCha20); another \
                client, with CBC suites, may still connect.",
        told_apart: "An alert handshake_failure or insufficient_security.",
        on_the_wire: "ClientHello, alert 40.",
        run: &["openssl s_client -connect HOST:PORT -servername HOST </dev/null"],
    },
    Entry {
        id: FindingId::TlsNameMismatch,
        stage: Stage::Tls,
        severity: "1; 2 where other addresses serve",
        title: "the certificate covers other names",
        means: "The name leads to another server, or the application dials a name or an address that no certificate covers.",
        told_apart: "The chain is trusted and valid, and none of the names on it matches the one dialled; both are shown.",
        on_the_wire: "A handshake that completes; the certificate's subject alternative names.",
        run: &[
            "openssl s_client -connect HOST:PORT -servername HOST </dev/null | openssl x509 -noout -ext subjectAltName",
            "nslookup HOST",
        ],
    },
    Entry {
        id: FindingId::TlsExpired,
        stage: Stage::Tls,
        severity: "1; 2 where other addresses serve",
        title: "the certificate has expired",
        means: "Clients that verify refuse to connect. Azure renews its own certificates: is this the cache, and is the clock \
                here right?",
        told_apart: "The end of validity lies before this machine's time.",
        on_the_wire: "A handshake that completes; notAfter in the past.",
        run: &[
            "timedatectl status",
            "openssl s_client -connect HOST:PORT -servername HOST </dev/null | openssl x509 -noout -dates",
        ],
    },
    Entry {
        id: FindingId::TlsNotYetValid,
        stage: Stage::Tls,
        severity: "1; 2 where other addresses serve",
        title: "the certificate is not valid yet",
        means: "Mostly the clock of this machine is behind.",
        told_apart: "The begin of validity lies after this machine's time.",
        on_the_wire: "A handshake that completes; notBefore in the future.",
        run: &["timedatectl status"],
    },
    Entry {
        id: FindingId::TlsExpiresSoon,
        stage: Stage::Tls,
        severity: "3 at 30 days, 2 at 7 days (configurable)",
        title: "the certificate expires soon",
        means: "If nobody renews it, clients that verify will refuse to connect on that day.",
        told_apart: "The chain verifies today; the first of its certificates to expire is named.",
        on_the_wire: "notAfter of every certificate of the chain.",
        run: &["openssl s_client -connect HOST:PORT -servername HOST </dev/null | openssl x509 -noout -dates"],
    },
    Entry {
        id: FindingId::TlsUntrusted,
        stage: Stage::Tls,
        severity: "1; 2 where other addresses serve",
        title: "no trusted root issued the certificate",
        means: "The root is missing from the trust store here, an intermediate is missing from what the server sends, or \
                something on the path presents its own certificate.",
        told_apart: "The chain leads to no root of the store that was read; issuer and store are named. Azure's chains end at \
                     DigiCert Global Root G2 or Microsoft RSA Root CA 2017.",
        on_the_wire: "A handshake that completes; an issuer that is not in the store.",
        run: &[
            "openssl s_client -connect HOST:PORT -servername HOST -showcerts </dev/null",
            "# if the platform's store is old or broken: apt-get install --reinstall ca-certificates",
        ],
    },
    Entry {
        id: FindingId::TlsIntercepted,
        stage: Stage::Tls,
        severity: "1; 2 where this machine trusts the issuer",
        title: "somebody else than Azure's authorities signed the certificate",
        means: "Something on the path opens TLS and signs anew: a firewall with TLS inspection, or a proxy. It reads everything, \
                the access key included, and breaks clients that pin or verify.",
        told_apart: "A host of Azure, the platform's trust store, and a chain in which no authority of Azure (DigiCert, Microsoft) \
                     appears. With a ca_file the operator has named the authority, and this is not judged; a self-signed \
                     certificate is tls-untrusted.",
        on_the_wire: "A handshake that completes; an issuer that is not one of Azure's.",
        run: &[
            "openssl s_client -connect HOST:PORT -servername HOST -showcerts </dev/null",
            "# exempt the cache from inspection",
        ],
    },
    Entry {
        id: FindingId::TlsClosed,
        stage: Stage::Tls,
        severity: "1; 2 where other addresses serve",
        title: "the connection closed inside the handshake",
        means: "Three causes look alike: TLS inspection on the path, public access disabled, and the client limit (a server \
                with native TLS drops the connection before it can say so).",
        told_apart: "End or reset of the connection after ClientHello, without an alert. What was counted in the ten minutes \
                     before tells whether the client limit is likely (then it is redis-client-limit-reached) or not; the \
                     rest must be looked up.",
        on_the_wire: "ClientHello, FIN or RST.",
        run: &[
            "az redis show -n NAME -g GROUP --query publicNetworkAccess",
            "az monitor metrics list --resource ID --metric connectedclients",
        ],
    },
    Entry {
        id: FindingId::TlsTimeout,
        stage: Stage::Tls,
        severity: "1; 2 where other addresses serve",
        title: "the handshake did not end in time",
        means: "A port without TLS that waits for more, an overloaded server, or a path that drops large packets (MTU).",
        told_apart: "The connection stands and the handshake does not go on until the time is up.",
        on_the_wire: "ClientHello, acknowledged; then nothing.",
        run: &["openssl s_client -connect HOST:PORT -servername HOST </dev/null"],
    },
    Entry {
        id: FindingId::TlsFailed,
        stage: Stage::Tls,
        severity: "1; 2 where other addresses serve",
        title: "the handshake failed in a way that has no name of its own",
        means: "An alert or an error that is not known here, a certificate that is broken in an unusual way, or a server that \
                wants a client certificate. The raw words are the evidence.",
        told_apart: "Whatever has a name above is reported by that name.",
        on_the_wire: "See the evidence.",
        run: &["openssl s_client -connect HOST:PORT -servername HOST </dev/null"],
    },
    Entry {
        id: FindingId::TlsLegacyAccepted,
        stage: Stage::Tls,
        severity: "3",
        title: "TLS 1.0 or 1.1 is still accepted",
        means: "Both versions are broken and retired, and an audit will ask. Azure ended them for its caches; where one is still \
                accepted, the minimum version is set too low, or something else answers. It is tested only with exposure.legacy_tls.",
        told_apart: "A greeting that offers nothing newer is answered with a ServerHello of that version. An alert or a close is a \
                     refusal; silence and anything that is no TLS tell nothing.",
        on_the_wire: "ClientHello of version 3.1 or 3.2 on a connection of its own, ServerHello of the same version; the handshake is \
                      not ended.",
        run: &[
            "az redis show -n NAME -g GROUP --query minimumTlsVersion",
            "az redis update -n NAME -g GROUP --set minimumTlsVersion=1.2",
            "openssl s_client -connect HOST:PORT -servername HOST -tls1_1 -cipher ALL:@SECLEVEL=0 </dev/null",
        ],
    },
    Entry {
        id: FindingId::CredentialUnreadable,
        stage: Stage::Auth,
        severity: "1",
        title: "the password cannot be read on this machine",
        means: "The file or variable that holds the key is missing, empty or not readable for the user cachewatch runs as. \
                Nothing was sent.",
        told_apart: "It fails here, before AUTH.",
        on_the_wire: "TCP and TLS complete; no command follows.",
        run: &[
            "ls -l FILE",
            "# in a pod, whose image has no shell: the keys of its Secret, without their values",
            "kubectl -n NAMESPACE describe secret cachewatch-keys",
        ],
    },
    Entry {
        id: FindingId::AuthRequired,
        stage: Stage::Auth,
        severity: "1",
        title: "the server wants a password and none was sent",
        means: "The configuration has no credentials for a cache that needs them, and does not say that this is meant.",
        told_apart: "NOAUTH. With method = \"none\" written under [caches.auth] it proves that the path is open up to Redis, and is \
                     no finding.",
        on_the_wire: "PING answered with -NOAUTH Authentication required.",
        run: &[
            "# in a configuration: password_file or password_env under [caches.auth]; for a bare host: --password-file",
            "# where the key may not be given here: method = \"none\" under [caches.auth]",
        ],
    },
    Entry {
        id: FindingId::AuthRejected,
        stage: Stage::Auth,
        severity: "1",
        title: "the server does not accept the password",
        means: "The key was rotated, access keys are disabled, the user is disabled, or the name leads to another cache.",
        told_apart: "WRONGPASS (ERR invalid password from old servers).",
        on_the_wire: "AUTH answered with -WRONGPASS.",
        run: &[
            "az redis show -n NAME -g GROUP --query disableAccessKeyAuthentication",
            "az redis list-keys -n NAME -g GROUP",
            "# a password file is read again by itself; below /run/credentials change what LoadCredential= names, and then:",
            "sudo systemctl restart cachewatch",
        ],
    },
    Entry {
        id: FindingId::AuthNotConfigured,
        stage: Stage::Auth,
        severity: "1",
        title: "a password was sent where none is set",
        means: "The server has no password: it is another one than you think, or it stands open.",
        told_apart: "ERR AUTH <password> called without any password configured.",
        on_the_wire: "AUTH answered with -ERR.",
        run: &["nslookup HOST"],
    },
    Entry {
        id: FindingId::AuthNotPermitted,
        stage: Stage::Ping,
        severity: "3",
        title: "a command that the probe needs is denied",
        means: "The cache serves, and the user of the probe may not run PING or INFO: what they would tell stays unknown.",
        told_apart: "NOPERM, or an unknown command.",
        on_the_wire: "PING or INFO answered with -NOPERM.",
        run: &["# give the user +ping +info"],
    },
    Entry {
        id: FindingId::RedisClientLimitReached,
        stage: Stage::Ping,
        severity: "1",
        title: "the server takes no more clients",
        means: "Every new connection is turned away; those that stand go on. Mostly one application leaks connections.",
        told_apart: "ERR max number of clients reached. A server with native TLS closes the connection instead; where the clients \
                     were within 5 % of the limit in the ten minutes before, that is taken for this, else it is tls-closed.",
        on_the_wire: "The first reply is -ERR max number of clients reached, then FIN.",
        run: &[
            "redis-cli -h HOST -p PORT --tls --askpass CLIENT LIST",
            "az monitor metrics list --resource ID --metric connectedclients",
        ],
    },
    Entry {
        id: FindingId::RedisLoading,
        stage: Stage::Ping,
        severity: "1",
        title: "the server is loading its data set",
        means: "It restarted and serves nobody until the data is in memory.",
        told_apart: "LOADING.",
        on_the_wire: "PING answered with -LOADING.",
        run: &["az monitor activity-log list -g GROUP --offset 1h"],
    },
    Entry {
        id: FindingId::RedisBusy,
        stage: Stage::Ping,
        severity: "1",
        title: "the server is busy with a script",
        means: "A Lua script or function runs for so long that nobody else is served.",
        told_apart: "BUSY.",
        on_the_wire: "PING answered with -BUSY.",
        run: &["redis-cli -h HOST -p PORT --tls --askpass SCRIPT KILL"],
    },
    Entry {
        id: FindingId::RedisMasterDown,
        stage: Stage::Ping,
        severity: "1",
        title: "the server is a replica that lost its primary",
        means: "A failover is under way, or failed.",
        told_apart: "MASTERDOWN.",
        on_the_wire: "A command answered with -MASTERDOWN.",
        run: &["az monitor activity-log list -g GROUP --offset 1h"],
    },
    Entry {
        id: FindingId::RedisClusterDown,
        stage: Stage::Ping,
        severity: "1",
        title: "the cluster does not serve",
        means: "Slots are not covered: a shard is down.",
        told_apart: "CLUSTERDOWN.",
        on_the_wire: "A command answered with -CLUSTERDOWN.",
        run: &["redis-cli -h HOST -p PORT --tls --askpass CLUSTER INFO"],
    },
    Entry {
        id: FindingId::RedisReadOnly,
        stage: Stage::Ping,
        severity: "1",
        title: "the server refuses to write",
        means: "It is a replica: a failover is under way, or a replica is dialled.",
        told_apart: "READONLY.",
        on_the_wire: "A command answered with -READONLY.",
        run: &["redis-cli -h HOST -p PORT --tls --askpass ROLE"],
    },
    Entry {
        id: FindingId::RedisTimeout,
        stage: Stage::Ping,
        severity: "1; 3 where only INFO is late",
        title: "connected, and no reply in time",
        means: "The server is overloaded or blocked by a slow command, or a proxy in between has lost it.",
        told_apart: "TCP and TLS stand; the reply to a command does not come.",
        on_the_wire: "A command, acknowledged; then nothing.",
        run: &["az monitor metrics list --resource ID --metric serverLoad"],
    },
    Entry {
        id: FindingId::RedisSlow,
        stage: Stage::Ping,
        severity: "3",
        title: "PING takes longer than its threshold",
        means: "Every command of an application takes at least as long.",
        told_apart: "If the TCP connection was as slow, the path is long or lossy; if only PING is, the server is busy.",
        on_the_wire: "A reply, late.",
        run: &["redis-cli -h HOST -p PORT --tls --askpass SLOWLOG GET 10"],
    },
    Entry {
        id: FindingId::RedisOutOfStep,
        stage: Stage::Ping,
        severity: "1",
        title: "answers that belong to other questions",
        means: "The peer spoke before it was asked, said more than it was asked for, or answered another command than the \
                one that was sent. A proxy that mixes the replies of several clients does so, and so may a peer that wants to \
                be told a key. A client that believes it reads wrong data.",
        told_apart: "One command at a time is sent, so whatever comes without one answers nothing. An error that comes first, \
                     such as that of a full server, is read as the answer it is.",
        on_the_wire: "A reply before the first command, two replies to one command, or an error that names another command. \
                      What was sent to log in is blotted out of all that is shown.",
        run: &["nslookup HOST", "redis-cli -h HOST -p PORT --tls --askpass PING"],
    },
    Entry {
        id: FindingId::RedisProtocol,
        stage: Stage::Ping,
        severity: "1",
        title: "not Redis at the other end",
        means: "The name or the port leads to another service, or the reply is larger than any server would send.",
        told_apart: "The first bytes are no reply that the command can have; they are shown as evidence.",
        on_the_wire: "A reply to PING or AUTH that is neither a line nor a short string, to INFO no text, or longer than \
                      128 KiB.",
        run: &["nslookup HOST"],
    },
    Entry {
        id: FindingId::RedisFailed,
        stage: Stage::Ping,
        severity: "1; 3 where only INFO fails",
        title: "the server failed in a way that has no name of its own",
        means: "It closed the connection between commands, or gave an error that is not known here. The raw words are the \
                evidence.",
        told_apart: "Whatever has a name above is reported by that name.",
        on_the_wire: "See the evidence.",
        run: &["redis-cli -h HOST -p PORT --tls --askpass PING"],
    },
    Entry {
        id: FindingId::ClientsHeadroomLow,
        stage: Stage::Inspect,
        severity: "3 at 75 %, 2 at 90 % (configurable)",
        title: "the client limit is near",
        means: "When the limit is reached, new connections are turned away: the next deployment or restart is the outage.",
        told_apart: "connected_clients of INFO against the limit, and the limit's source: configuration, server or tier.",
        on_the_wire: "INFO.",
        run: &[
            "redis-cli -h HOST -p PORT --tls --askpass CLIENT LIST",
            "az monitor metrics list --resource ID --metric connectedclients",
        ],
    },
    Entry {
        id: FindingId::ConnectionsRejected,
        stage: Stage::Inspect,
        severity: "2",
        title: "the server turned connections away since the last round",
        means: "The client limit was hit between two probes, even if there is room again.",
        told_apart: "rejected_connections of INFO rose within one process (the same run_id).",
        on_the_wire: "INFO.",
        run: &["az monitor metrics list --resource ID --metric connectedclients --aggregation Maximum"],
    },
    Entry {
        id: FindingId::ClientsLimitMismatch,
        stage: Stage::Inspect,
        severity: "4",
        title: "the configured tier and the server disagree about the client limit",
        means: "The headroom is reckoned against the wrong number, or the cache was scaled and nobody told the configuration.",
        told_apart: "maxclients of INFO differs from the limit of the configured tier.",
        on_the_wire: "INFO.",
        run: &["az redis show -n NAME -g GROUP --query \"{sku:sku, maxclients:redisConfiguration.maxclients}\""],
    },
    Entry {
        id: FindingId::ClockSkew,
        stage: Stage::Inspect,
        severity: "3",
        title: "the clock here and the server's are apart",
        means: "Certificates and tokens are judged by the clock of this machine: a wrong one refuses what is right.",
        told_apart: "The server's time (server_time_usec of INFO, else TIME) less the time here, beyond 30 seconds.",
        on_the_wire: "INFO, or TIME.",
        run: &["timedatectl status"],
    },
    Entry {
        id: FindingId::MonitorOffline,
        stage: Stage::Connect,
        severity: "1",
        title: "this machine is offline",
        means: "Nothing is reached from here, so nothing is known about the caches. Findings about them are held back: they \
                neither open nor clear.",
        told_apart: "No address of the cache is reached, the control target (probe.control) is not either, and no other cache \
                     has been since. Without a control target it is not judged.",
        on_the_wire: "Lookups or connections that fail, to everyone.",
        run: &["ip address; ip route", "nc -vz -w 5 CONTROL-ADDRESS CONTROL-PORT"],
    },
    Entry {
        id: FindingId::HostTcpTuning,
        stage: Stage::Connect,
        severity: "4",
        title: "the kernel's TCP settings notice a broken connection late",
        means: "After a failover an application may go on writing into a connection that is gone, for a quarter of an hour with \
                the defaults of Linux. It is about this machine and no cache: the daemon says it, a check does not.",
        told_apart: "net.ipv4.tcp_retries2 (recommended: 5) and the keepalive settings, read below /proc/sys.",
        on_the_wire: "Nothing.",
        run: &[
            "sysctl -w net.ipv4.tcp_retries2=5",
            "# and in /etc/sysctl.d/, so that it stays",
            "# in a pod: spec.securityContext.sysctls of the application's pod, where the kubelet allows it (AKS: \
             allowedUnsafeSysctls in the kubelet configuration of the node pool)",
        ],
    },
    Entry {
        id: FindingId::ProbesSkipped,
        stage: Stage::Connect,
        severity: "3",
        title: "probes are left out",
        means: "More probes are due than the daemon may run at once, most often because many caches do not answer and each takes \
                its whole deadline. What is left out is not seen: findings open and clear later. It is about the daemon and no \
                cache: the daemon says it, a check does not.",
        told_apart: "A probe was due while the one before of the same cache still ran, or waited for its place, within the last \
                     minute (cachewatch_probes_skipped_total).",
        on_the_wire: "Nothing: that is what is wrong.",
        run: &[
            "# raise probe.max_in_flight, or lower probe.timeout, or lengthen probe.interval; or share the caches among daemons",
            "curl -s http://127.0.0.1:9847/metrics | grep -E 'probes_skipped|probes_in_flight|probe_lateness'",
        ],
    },
    Entry {
        id: FindingId::ProbeFailed,
        stage: Stage::Resolve,
        severity: "2",
        title: "the probe itself broke",
        means: "A defect of cachewatch: nothing is known about this cache. Please report it with the log.",
        told_apart: "The probe panicked; the log has where.",
        on_the_wire: "Nothing that can be relied on.",
        run: &["# report it, with the lines of the log around it"],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finding_is_explained_once() {
        let mut explained: Vec<_> = CATALOGUE.iter().map(|entry| entry.id).collect();
        explained.sort_unstable();
        assert_eq!(explained, FindingId::ALL);
        for entry in CATALOGUE {
            assert!(!entry.run.is_empty(), "{} tells nobody what to do", entry.id);
            for text in [entry.title, entry.means, entry.told_apart, entry.on_the_wire, entry.severity] {
                assert!(!text.is_empty() && !text.contains("  "), "{}: {text:?}", entry.id);
            }
        }
    }
}
