//! The table of all families: name, type, labels, help text, and the kind of observation that shows them.

use std::collections::BTreeMap;

use prometheus::core::Collector;
use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

use super::series::{Family, SeriesKey, Vector};
use crate::azure::{Cloud, Product};
use crate::model::{
    AddressClass, FaultKind, FindingId, LimitSource, ObservationKind, Opening, ResolverName, Severity, Stage,
};
use crate::sink::name::SinkName;
use crate::sink::pulse::Loop;

/// Bounds of every duration from a lookup to a whole probe, in seconds: from a LAN's millisecond to the deadline. Few,
/// since each is a series for every cache and stage.
const DURATION_BUCKETS: &[f64] = &[0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];

/// A registry for every family, by its name. To gather is to copy: family by family, a scrape holds a copy of one, not of all.
pub(super) type Registries = BTreeMap<&'static str, Registry>;

/// Declares the families: name, type, labels, help text, and for a gauge of what was seen the kind of observation that shows
/// it stand in one place. A field's name is the metric's name without the prefix `cachewatch_`; its doc comment is the help
/// text. A label has a name and the type of its values; `cache` has none, since the tracker of the cache adds it.
///
/// A function of its name gives a series of a family: at once where it is one of the daemon, by its key where it is one of a
/// cache, whose tracker makes it.
macro_rules! families {
    ($( #[doc = $help:literal] $name:ident: $kind:ident [$($label:ident $(: $value:ty)?),*] $(of $of:ident)?; )+) => {
        pub(super) struct Families {
            $( #[doc = $help] pub(super) $name: Family<families!(@type $kind)>, )+
        }

        impl Families {
            pub(super) fn register(registries: &mut Registries) -> Self {
                Self {
                    $( $name: register(
                        registries,
                        concat!("cachewatch_", stringify!($name)),
                        families!(@of $($of)?),
                        |name| $kind(name, $help.trim(), &[$(label_name(stringify!($label))),*]),
                    ), )+
                }
            }

            $( families! { @select $name $kind [$($label $(: $value)?),*] } )+
        }

        /// Name, type and labels of every metric.
        #[cfg(test)]
        pub(super) fn catalogue() -> Vec<(&'static str, &'static str, Vec<&'static str>)> {
            vec![$( (
                concat!("cachewatch_", stringify!($name)),
                stringify!($kind),
                vec![$(label_name(stringify!($label))),*],
            ), )+]
        }
    };
    (@select $name:ident $kind:ident [cache]) => {
        pub(super) fn $name(&self) -> SeriesKey<'_, families!(@type $kind), 0> {
            self.$name.key([])
        }
    };
    (@select $name:ident $kind:ident [cache $(, $label:ident: $value:ty)*]) => {
        pub(super) fn $name<'a>(
            &'a self,
            $($label: <$value as Label>::Value<'a>),*
        ) -> SeriesKey<'a, families!(@type $kind), { <[&str]>::len(&[$(stringify!($label)),*]) }> {
            self.$name.key([$(<$value as Label>::text($label)),*])
        }
    };
    (@select $name:ident $kind:ident [$($label:ident: $value:ty),*]) => {
        pub(super) fn $name(
            &self,
            $($label: <$value as Label>::Value<'_>),*
        ) -> <families!(@type $kind) as Vector>::Series {
            self.$name.series(&[$(<$value as Label>::text($label)),*])
        }
    };
    (@of) => { None };
    (@of $of:ident) => { Some(ObservationKind::$of) };
    (@type gauge) => { GaugeVec };
    (@type counter) => { IntCounterVec };
    (@type histogram) => { HistogramVec };
}

families! {
    /// The version of this program and the revision it was built from; always 1.
    build_info: gauge[version: str, revision: str];
    /// Whether the last attempt to read the configuration succeeded.
    config_last_reload_successful: gauge[];
    /// When the configuration in use was read.
    config_last_reload_success_timestamp_seconds: gauge[];
    /// How many caches the configuration in use names.
    config_caches: gauge[];

    /// A cache as it is configured; always 1.
    cache_info: gauge[cache, host: str, port: str, product: Product, cloud: Cloud, tier: str, isolation: str];

    /// Whether every address of the cache answered PING in the last probe.
    probe_success: gauge[cache] of Probe;
    /// The announced retirement date of the product of the cache.
    retirement_timestamp_seconds: gauge[cache];
    /// Completed probes.
    probes_total: counter[cache];
    /// Probes in which a stage failed for a reason, counted once for each pair of both.
    probe_failures_total: counter[cache, stage: Stage, reason: FaultKind];
    /// How long a whole probe took.
    probe_duration_seconds: histogram[cache];
    /// How long one stage took, for each address dialled; failed stages too.
    stage_duration_seconds: histogram[cache, stage: Stage];
    /// When the last probe began.
    last_probe_timestamp_seconds: gauge[cache];

    /// Completed lookups between the probes.
    lookups_total: counter[cache];
    /// How many addresses of a class the resolver answered with.
    dns_addresses: gauge[cache, resolver: ResolverName, class: AddressClass] of Lookup;
    /// An address the resolver answered with, at most 16 a cache; always 1.
    dns_address_info: gauge[cache, resolver: ResolverName, address: str, class: AddressClass] of Lookup;
    /// Whether an alias on the way to the addresses lies in a privatelink zone.
    dns_privatelink_alias: gauge[cache, resolver: ResolverName] of Lookup;
    /// Whether every address is one the configuration expects.
    dns_as_expected: gauge[cache, resolver: ResolverName] of Lookup;
    /// The smallest TTL on the way from the name to the addresses.
    dns_ttl_seconds: gauge[cache, resolver: ResolverName] of Lookup;
    /// How long all questions to the resolver took.
    dns_lookup_duration_seconds: histogram[cache, resolver: ResolverName];
    /// Lookups that gave no address.
    dns_lookup_failures_total: counter[cache, resolver: ResolverName, reason: FaultKind];
    /// How often the resolver answered with other addresses than in its last good answer.
    dns_changes_total: counter[cache, resolver: ResolverName];
    /// When the resolver last answered with other addresses than before.
    dns_last_change_timestamp_seconds: gauge[cache, resolver: ResolverName];

    /// How many addresses accepted a TCP connection, and how many did not.
    address_reachable: gauge[cache, state: str] of Probe;
    /// When the server's certificate, or the first one of its chain, expires.
    tls_certificate_not_after_timestamp_seconds: gauge[cache, position: str] of Probe;
    /// The TLS version and cipher suite agreed on; always 1.
    tls_info: gauge[cache, version: str, cipher: str] of Probe;
    /// Whether every address presented a chain that is trusted, valid now and covers the name.
    tls_chain_verified: gauge[cache] of Probe;

    /// Whether something is open that should be closed, by the last conclusive test.
    exposure_open: gauge[cache, kind: Opening];

    /// Connected clients, by the server's own count.
    clients_connected: gauge[cache, node: str] of Probe;
    /// The client limit, and its source.
    clients_limit: gauge[cache, node: str, source: LimitSource] of Probe;
    /// The share of the client limit that is free, 0 to 1.
    clients_headroom_ratio: gauge[cache, node: str] of Probe;
    /// How long until the client limit is reached at the present rate; absent while the count does not rise steadily.
    clients_exhaustion_seconds: gauge[cache, node: str] of Probe;
    /// Connections the server rejected at its client limit, by its own count; restarts with the server.
    rejected_connections_total: counter[cache, node: str];
    /// What the server reports about itself; always 1.
    server_info: gauge[cache, redis_version: str, role: str, mode: str] of Probe;

    /// Whether a finding is open; 0 after it has been open once.
    finding_open: gauge[cache, finding: FindingId, severity: Severity];
    /// How often a finding opened.
    findings_total: counter[cache, finding: FindingId, severity: Severity];

    /// Connections refused because every place was taken; requests for open paths are still answered.
    http_connections_refused_total: counter[];
    /// TLS handshakes with a client that failed.
    http_tls_handshake_failures_total: counter[];
    /// Requests with a wrong user, password or token.
    http_auth_failures_total: counter[];
    /// Whether the last attempt to read certificate, key and users succeeded.
    http_files_last_reload_successful: gauge[];
    /// A TCP setting of this machine's kernel, by its name under net.ipv4.
    host_sysctl: gauge[name: str];
    /// How long after its due time a probe started.
    probe_lateness_seconds: histogram[];
    /// Probes skipped because the previous one still ran or waited for a place (`probe.max_in_flight`).
    probes_skipped_total: counter[];
    /// Probes running now.
    probes_in_flight: gauge[];
    /// Probes and lookups that panicked, which is a defect of this program.
    probe_panics_total: counter[];
    /// Errors without a classification; please report them.
    unrecognised_errors_total: counter[];

    /// Events that a sink has stored.
    journal_events_total: counter[sink: SinkName];
    /// Failures of a sink: each attempt that failed, and each event it lost.
    sink_failures_total: counter[sink: SinkName];
    /// Whether a loop of the daemon makes progress; 0 if it does not.
    loop_up: gauge[r#loop: Loop];
    /// Whether the journal can be written.
    journal_up: gauge[];
    /// Bytes of the journal.
    journal_size_bytes: gauge[];
}

impl Families {
    /// The series that counts the observations of a kind.
    pub(super) fn count_of(&self, kind: ObservationKind) -> SeriesKey<'_, IntCounterVec, 0> {
        match kind {
            ObservationKind::Probe => self.probes_total(),
            ObservationKind::Lookup => self.lookups_total(),
        }
    }
}

/// A type that the values of a label have, so that two labels of a family cannot be mixed up.
pub(super) trait Label {
    /// A value.
    type Value<'a>;

    /// Its spelling.
    fn text(value: Self::Value<'_>) -> &str;
}

impl Label for str {
    type Value<'a> = &'a str;

    fn text(value: Self::Value<'_>) -> &str {
        value
    }
}

impl Label for ResolverName {
    type Value<'a> = &'a Self;

    fn text(value: Self::Value<'_>) -> &str {
        value.as_str()
    }
}

macro_rules! labels {
    ($($vocabulary:ident),+) => {
        $( impl Label for $vocabulary {
            type Value<'a> = Self;

            fn text(value: Self::Value<'_>) -> &str {
                value.as_str()
            }
        } )+
    };
}

labels!(AddressClass, Cloud, FaultKind, FindingId, LimitSource, Loop, Opening, Product, Severity, SinkName, Stage);

/// The name of a label that the table has to write as `r#loop`, because it is a keyword of Rust.
fn label_name(written: &'static str) -> &'static str {
    written.trim_start_matches("r#")
}

fn gauge(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<GaugeVec> {
    GaugeVec::new(Opts::new(name, help), labels)
}

fn counter(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    IntCounterVec::new(Opts::new(name, help), labels)
}

fn histogram(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<HistogramVec> {
    HistogramVec::new(HistogramOpts::new(name, help).buckets(DURATION_BUCKETS.to_vec()), labels)
}

fn register<V: Vector + Collector>(
    registries: &mut Registries,
    name: &'static str,
    of: Option<ObservationKind>,
    make: impl FnOnce(&str) -> prometheus::Result<V>,
) -> Family<V> {
    let vector = make(name).expect("names and labels are literals, which a test builds");
    let registry = Registry::new();
    registry.register(Box::new(vector.clone())).expect("the registry is empty");
    let other = registries.insert(name, registry);
    debug_assert!(other.is_none(), "{name} stands twice in the list of families");
    Family::new(name, of, vector)
}
