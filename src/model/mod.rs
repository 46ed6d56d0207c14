//! The vocabulary: what a cache is, what a probe saw, what a finding says. No IO, no clock.

mod address;
mod cache;
mod event;
mod exposure;
mod finding;
mod machine;
mod names;
mod observation;
mod refusal;
mod report;
mod resolution;
mod resolver;
mod round;
mod secret;
mod server;
mod stage;
mod step;
mod system_files;
mod time;
mod tls;
mod vocabulary;
mod wire_text;

pub use address::{AddressClass, destination};
pub use cache::{
    Auth, Cache, Credential, DialOverride, Expectation, Exposure, Isolation, Password, Rules, Thresholds, Timeouts,
};
pub use event::{Event, EventKind, EventOrder, EventQuery};
pub use exposure::{ExposureReport, LegacyVersion, Opening, Passage, Trial};
pub use finding::{Finding, FindingId, Severity, Standing};
pub use machine::Sysctl;
pub use names::{CacheName, ResolverName};
pub use observation::{Observation, ObservationKind};
pub use refusal::Refusal;
pub use report::{Leg, LookupReport, ProbeReport};
pub use resolution::{
    Alias, Answer, ApplicationLookup, ApplicationWait, Libc, Outcome, Query, RecordType, Resolution, Source,
};
pub use resolver::{Protocol, ProtocolRow, Resolver};
pub use round::{Pending, Round, Verdict};
pub use secret::{NoSecret, Secret};
pub use server::{Clients, LimitSource, Mode, Role, ServerFacts};
pub use stage::{Fault, FaultKind, Stage, Timings};
pub use step::Step;
pub use system_files::SystemFiles;
pub use time::Timestamp;
pub use tls::{Certificate, Tls, TlsSession};
pub use wire_text::WireText;

pub(crate) use vocabulary::vocabulary;

/// The version of every JSON document and journal row this program writes.
pub const SCHEMA_VERSION: u32 = 1;

/// A duration as seconds in JSON, the unit of every duration this program writes.
pub(crate) mod seconds {
    use std::time::Duration;

    use serde::Serializer;

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(duration.as_secs_f64())
    }

    /// The same where there may be none.
    pub(crate) mod option {
        use std::time::Duration;

        use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

        #[expect(clippy::ref_option, reason = "the signature that serde calls")]
        pub(crate) fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
            duration.map(|duration| duration.as_secs_f64()).serialize(serializer)
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
            let seconds = Option::<f64>::deserialize(deserializer)?;
            seconds.map(Duration::try_from_secs_f64).transpose().map_err(de::Error::custom)
        }
    }
}
