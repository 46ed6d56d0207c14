//! What was tested beside the path of an application, and what came of it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::Serialize;

use super::{AddressClass, FaultKind, Resolution, Stage, TlsSession, WireText, seconds, vocabulary};

vocabulary! {
    /// What should be closed and may be open, as a label and as a word.
    pub enum Opening {
        /// The way to the cache by its public address.
        PublicPath = "public_path",
        /// The port without TLS, beside the one with it.
        PlainPort = "plain_port",
        /// TLS 1.0 and 1.1.
        LegacyTls = "legacy_tls",
    }
}

vocabulary! {
    /// What came of one test.
    pub enum Passage {
        /// Redis answered, or the old version was agreed on.
        Open = "open",
        /// The peer proved to be the cache, and no command was answered.
        HalfOpen = "half_open",
        /// Nothing came through.
        Closed = "closed",
        /// There was no way to tell.
        Unclear = "unclear",
    }
}

vocabulary! {
    /// A version of TLS that no server should accept any more.
    pub enum LegacyVersion {
        /// RFC 2246.
        Tls10 = "TLSv1.0",
        /// RFC 4346.
        Tls11 = "TLSv1.1",
    }
}

/// One round of tests.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExposureReport {
    /// What the public resolver said; `None` where no public path is tested.
    pub resolution: Option<Resolution>,
    /// The tests, in the order of [`Opening`] and of the addresses. An address of a family that this machine does not have
    /// is not tested.
    pub trials: Vec<Trial>,
    /// How long all of it took, beside the walk.
    #[serde(rename = "took_seconds", serialize_with = "seconds::serialize")]
    pub took: Duration,
}

/// One test at one address.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trial {
    /// What was tested for.
    pub opening: Opening,
    /// Which version, where it was one of TLS.
    pub version: Option<LegacyVersion>,
    /// The address that a resolver gave.
    pub address: IpAddr,
    /// Its class.
    pub class: AddressClass,
    /// What was dialled; its address differs where the operator redirects it.
    pub dialled: SocketAddr,
    /// What came of it.
    pub passage: Passage,
    /// The stage at which it ended.
    pub stage: Stage,
    /// What was seen, in words for a person: never a secret, never a label.
    pub detail: WireText,
    /// The TLS session at a public address, also where its verification failed.
    pub tls: Option<TlsSession>,
    /// How long it took.
    #[serde(rename = "took_seconds", serialize_with = "seconds::serialize")]
    pub took: Duration,
}

impl ExposureReport {
    /// The most public addresses that are tested.
    pub const MOST_PUBLIC: usize = 4;

    /// The tests for one opening.
    pub fn trials_of(&self, opening: Opening) -> impl Iterator<Item = &Trial> {
        self.trials.iter().filter(move |trial| trial.opening == opening)
    }

    /// Whether it is open, as far as these tests alone can say; `None` where they cannot.
    #[must_use]
    pub fn verdict(&self, opening: Opening) -> Option<bool> {
        let mut tested = 0;
        let mut is_told = true;
        for trial in self.trials_of(opening) {
            tested += 1;
            match trial.passage {
                Passage::Open | Passage::HalfOpen => return Some(true),
                Passage::Unclear => is_told = false,
                Passage::Closed => {}
            }
        }
        let all = match opening {
            Opening::PublicPath => Some(self.public_addresses()?.count()),
            Opening::PlainPort | Opening::LegacyTls => (tested > 0).then_some(tested),
        };
        (is_told && all == Some(tested)).then_some(false)
    }

    /// The public addresses that the public resolver gave, be it none; `None` where it did not answer or was not asked.
    fn public_addresses(&self) -> Option<impl Iterator<Item = IpAddr>> {
        let resolution = self.resolution.as_ref()?;
        let nowhere = [FaultKind::NameNotFound, FaultKind::NoAddress];
        let is_answer = resolution.fault.as_ref().is_none_or(|fault| nowhere.contains(&fault.kind));
        is_answer.then(|| {
            let public = resolution.addresses.iter().filter(|answer| answer.class == AddressClass::Public);
            public.map(|answer| answer.address)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Answer, Fault, ResolverName, Source};

    fn report(passages: &[Passage], addresses: Option<&[&str]>, fault: Option<FaultKind>) -> ExposureReport {
        let trial = |passage: &Passage| Trial {
            opening: Opening::PublicPath,
            version: None,
            address: [20, 1, 2, 3].into(),
            class: AddressClass::Public,
            dialled: ([20, 1, 2, 3], 6380).into(),
            passage: *passage,
            stage: Stage::Connect,
            detail: WireText::default(),
            tls: None,
            took: Duration::ZERO,
        };
        let resolution = addresses.map(|addresses| Resolution {
            resolver: ResolverName::new("world"),
            source: Source::Dns,
            name: WireText::new("orders.test"),
            searched: false,
            chain: Vec::new(),
            addresses: addresses.iter().map(|address| Answer::new(address.parse().unwrap(), None)).collect(),
            addresses_dropped: 0,
            queries: Vec::new(),
            took: Duration::ZERO,
            fault: fault.map(|kind| Fault::new(Stage::Resolve, kind, "")),
            application: None,
            overridden: None,
        });
        ExposureReport { resolution, trials: passages.iter().map(trial).collect(), took: Duration::ZERO }
    }

    #[test]
    fn only_what_was_tested_everywhere_is_closed() {
        use Passage::{Closed, HalfOpen, Open, Unclear};
        let public = |passages: &[Passage], addresses: &[&str], fault| {
            report(passages, Some(addresses), fault).verdict(Opening::PublicPath)
        };
        let (one, two) = (&["20.1.2.3"], &["20.1.2.3", "20.1.2.4"]);
        assert_eq!(public(&[Closed], one, None), Some(false));
        assert_eq!(public(&[Open], one, None), Some(true));
        assert_eq!(public(&[Unclear], one, None), None);
        assert_eq!(public(&[Unclear, HalfOpen], two, None), Some(true));
        assert_eq!(public(&[Closed], two, None), None, "an application here dials the other one");
        assert_eq!(public(&[], &["10.0.0.4"], None), Some(false), "no public address");
        assert_eq!(public(&[], &[], Some(FaultKind::NameNotFound)), Some(false));
        assert_eq!(public(&[], &[], Some(FaultKind::Timeout)), None);
        assert_eq!(report(&[], None, None).verdict(Opening::PublicPath), None);
        assert_eq!(report(&[], None, None).verdict(Opening::PlainPort), None, "nothing to test");
    }
}
