//! What settings must be to each other, and what follows from them.

use std::path::Path;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};

use super::checker::{Checker, Setting};
use super::parse;
use super::problem::Diagnostic;
use crate::azure::{self, Product};
use crate::file;
use crate::model::{Cache, Timeouts};

/// One probe must end before the next begins. Reports it at the value an operator gave, the timeout before the interval.
pub(super) fn check_deadline(
    checker: &mut Checker<'_>,
    timeout: Setting<'_, Duration>,
    interval: Setting<'_, Duration>,
) {
    if timeout.parsed < interval.parsed || timeout.is_invalid || interval.is_invalid {
        return;
    }
    let advice = "one probe must end before the next begins: raise the interval or lower the timeout";
    if interval.layer() > timeout.layer() {
        let limit = parse::duration_text(timeout.parsed);
        checker.report_if_explicit(interval.value, |shown| {
            Diagnostic::new(format!("{shown} is not longer than the timeout, {limit}")).hint(advice)
        });
    } else {
        let pace = parse::duration_text(interval.parsed);
        checker.report_if_explicit(timeout.value, |shown| {
            Diagnostic::new(format!("{shown} is not shorter than the interval, {pace}")).hint(advice)
        });
    }
}

/// The timeouts under another deadline: no stage has longer than the whole.
pub(super) fn within(timeouts: Timeouts, total: Duration) -> Timeouts {
    Timeouts {
        total,
        resolve: timeouts.resolve.min(total),
        connect: timeouts.connect.min(total),
        tls: timeouts.tls.min(total),
        command: timeouts.command.min(total),
    }
}

/// The port of the product behind a host, with or without TLS.
pub(super) fn default_port(host: &str, is_tls: bool) -> u16 {
    let product = azure::identify(host).product;
    if is_tls { product.tls_port() } else { product.plain_port() }
}

/// Why there is no port without TLS beside the one that this cache is used at, where there is none.
pub(super) fn no_side_port(cache: &Cache) -> Option<Diagnostic> {
    let product = azure::identify(&cache.host).product;
    let Some(port) = product.side_port() else {
        let title = product.title();
        return Some(Diagnostic::new(format!(
            "{title} has only one port, with or without TLS, so there is no other port \
                                             to test"
        )));
    };
    if cache.tls.is_none() {
        return Some(Diagnostic::new("tls.enabled is false, so the cache already uses the port without TLS"));
    }
    (cache.port == port).then(|| Diagnostic::new(format!("the cache uses TLS on port {port} itself")))
}

/// Whether a file holds roots to trust.
pub(super) fn roots(path: &Path) -> Result<(), Diagnostic> {
    let shown = parse::quoted(&path.to_string_lossy());
    let unreadable = |error: &pem::Error| match error {
        pem::Error::Io(error) => Diagnostic::new(format!("{shown} cannot be read: {error}")),
        _ => Diagnostic::new(format!("{shown} is not PEM"))
            .hint("convert it: openssl x509 -inform der -in FILE -out FILE.pem"),
    };
    let bytes = file::read(path).map_err(|error| unreadable(&pem::Error::Io(error)))?;
    let mut certificates = CertificateDer::pem_slice_iter(&bytes).peekable();
    if certificates.peek().is_none() {
        return Err(
            Diagnostic::new(format!("{shown} contains no certificate")).hint("it must contain PEM certificates")
        );
    }
    certificates.try_for_each(|certificate| certificate.map(drop).map_err(|error| unreadable(&error)))
}

/// What to say of a host that is a letter or two away from one of Azure's domains, and of a tier that belongs to another
/// product than the host.
pub(super) fn notices(name: &str, host: &str, tier: Option<azure::Tier>) -> Vec<String> {
    let slip = azure::nearest_suffix(host)
        .map(|(end, suffix)| format!("cache {name}: host ends in {end}, which is not Azure's; did you mean {suffix}?"));
    let product = azure::identify(host).product;
    let foreign = tier.filter(|tier| product != Product::Other && tier.product != product).map(|tier| {
        let (sold, named) = (tier.product.title(), product.title());
        format!("cache {name}: tier {} belongs to {sold}, but {host} is a name of {named}", tier.name)
    });
    slip.into_iter().chain(foreign).collect()
}
