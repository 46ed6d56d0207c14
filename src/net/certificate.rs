//! Reads the certificates a server presents, whether or not they verify.

use std::fmt::Write;

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::X509Name;

use crate::model::{Certificate, Timestamp, TlsSession, WireText};

/// The chain, leaf first. A certificate that cannot be read keeps its place, with that as its subject.
pub(crate) fn chain(presented: &[CertificateDer<'_>]) -> Vec<Certificate> {
    presented.iter().take(TlsSession::LONGEST_CHAIN).map(|der| read(der)).collect()
}

fn read(der: &[u8]) -> Certificate {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        return Certificate {
            subject: WireText::new("(unreadable certificate)"),
            issuer: WireText::default(),
            names: Vec::new(),
            serial: WireText::default(),
            not_before: Timestamp::from_unix_seconds(0),
            not_after: Timestamp::from_unix_seconds(0),
        };
    };
    let validity = certificate.validity();
    Certificate {
        subject: distinguished(certificate.subject()),
        issuer: distinguished(certificate.issuer()),
        names: names(&certificate),
        serial: WireText::new(&hexadecimal(certificate.raw_serial())),
        not_before: Timestamp::from_unix_seconds(validity.not_before.timestamp()),
        not_after: Timestamp::from_unix_seconds(validity.not_after.timestamp()),
    }
}

/// When a certificate is valid, in seconds since 1970.
pub(crate) struct Validity {
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
}

/// When a certificate is valid; `None` where it cannot be read.
pub(crate) fn validity(der: &[u8]) -> Option<Validity> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let validity = certificate.validity();
    Some(Validity { not_before: validity.not_before.timestamp(), not_after: validity.not_after.timestamp() })
}

/// Whether a certificate names itself as its issuer.
pub(crate) fn is_self_issued(der: &[u8]) -> bool {
    X509Certificate::from_der(der).is_ok_and(|(_, certificate)| certificate.subject() == certificate.issuer())
}

/// The names and addresses of the subject alternative name; a certificate without any covers nothing.
fn names(certificate: &X509Certificate<'_>) -> Vec<WireText> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let shown = extension.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(WireText::new(name)),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| WireText::new(&address)),
        _ => None,
    });
    shown.take(Certificate::MOST_NAMES).collect()
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(std::net::IpAddr::from);
    let v6 = <[u8; 16]>::try_from(bytes).map(std::net::IpAddr::from);
    v4.or(v6).ok().map(|address| address.to_string())
}

fn distinguished(name: &X509Name<'_>) -> WireText {
    WireText::new(&name.to_string())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert_eq!(chain(&[CertificateDer::from(bytes)]).len(), 1);
        }
    }
}
