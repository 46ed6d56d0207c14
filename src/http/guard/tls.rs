//! The certificate the daemon shows, and whose certificates it asks for.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::server::WebPkiClientVerifier;
use rustls::{NamedGroup, ServerConfig, SupportedProtocolVersion, version};

use super::error::FileFault;
use crate::net::pem;

/// How the daemon speaks TLS.
#[derive(Debug)]
pub(super) struct TlsSettings {
    pub(super) cert_file: PathBuf,
    pub(super) key_file: PathBuf,
    /// Who must have issued the certificate of every client; `None` where none is asked for.
    pub(super) client_ca_file: Option<PathBuf>,
    /// The versions that may be agreed on.
    pub(super) versions: Vec<&'static SupportedProtocolVersion>,
    /// The suites that may be agreed on, the most wanted first.
    pub(super) provider: CryptoProvider,
    /// Whether our order of suites counts, and not the client's.
    pub(super) own_order: bool,
}

impl TlsSettings {
    pub(super) fn new(cert_file: PathBuf, key_file: PathBuf) -> Self {
        Self {
            cert_file,
            key_file,
            client_ca_file: None,
            versions: vec![&version::TLS13, &version::TLS12],
            provider: ring::default_provider(),
            own_order: false,
        }
    }

    /// Every file that is read.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        [Some(&self.cert_file), Some(&self.key_file), self.client_ca_file.as_ref()].into_iter().flatten().map(|f| &**f)
    }

    /// Reads the files.
    pub(super) fn server_config(&self) -> Result<ServerConfig, FileFault> {
        let provider = Arc::new(self.provider.clone());
        let at = |path| move |words: String| FileFault::new(path, None, words);
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&self.versions)
            .map_err(|error| at(&self.cert_file)(error.to_string()))?;
        let builder = match &self.client_ca_file {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let roots = pem::roots(path).map_err(at(path))?;
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.map_err(|error| at(path)(error.to_string()))?)
            }
        };
        let chain = pem::certificates(&self.cert_file).map_err(at(&self.cert_file))?;
        let key = pem::private_key(&self.key_file).map_err(at(&self.key_file))?;
        let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                let words = format!("is not the key of the certificate in {}", self.cert_file.display());
                FileFault::new(&self.key_file, None, words)
            }
            error => {
                let words = format!("cannot be used with {}: {error}", self.key_file.display());
                FileFault::new(&self.cert_file, None, words)
            }
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.ignore_client_order = self.own_order;
        Ok(config)
    }
}

/// Restricts a provider to suites by the names that Go and IANA give them.
///
/// Where no suite of TLS 1.3 is named, all of them stay: the lists of old files know TLS 1.2 only.
pub(super) fn choose_suites(provider: &mut CryptoProvider, names: &[&str]) -> Result<(), String> {
    let known = std::mem::take(&mut provider.cipher_suites);
    let name_of =
        |suite: &rustls::SupportedCipherSuite| suite.suite().as_str().unwrap_or_default().replacen("TLS13_", "TLS_", 1);
    for name in names {
        let wanted = known.iter().find(|suite| {
            let own = name_of(suite);
            // Go knew these without their hash once.
            own == *name || own.strip_suffix("_SHA256").is_some_and(|short| short == *name && own.contains("CHACHA20"))
        });
        match wanted {
            Some(suite) if provider.cipher_suites.contains(suite) => {}
            Some(suite) => provider.cipher_suites.push(*suite),
            None => {
                let names: Vec<_> = known.iter().map(name_of).collect();
                return Err(format!("is not supported; supported suites: {}", names.join(", ")));
            }
        }
    }
    if !provider.cipher_suites.iter().any(|suite| suite.tls13().is_some()) {
        let newer = known.iter().filter(|suite| suite.tls13().is_some());
        provider.cipher_suites.splice(0..0, newer.copied());
    }
    Ok(())
}

/// Restricts a provider to key exchanges by the names that Go gives them.
pub(super) fn choose_groups(provider: &mut CryptoProvider, names: &[&str]) -> Result<(), String> {
    const NAMES: [(&str, NamedGroup); 3] =
        [("X25519", NamedGroup::X25519), ("CurveP256", NamedGroup::secp256r1), ("CurveP384", NamedGroup::secp384r1)];
    let known = std::mem::take(&mut provider.kx_groups);
    for name in names {
        let wanted = NAMES.iter().find(|(known, _)| known == name);
        let group = wanted.and_then(|(_, wanted)| known.iter().find(|group| group.name() == *wanted));
        let Some(group) = group else {
            return Err(format!("is not supported; supported curves: {}", NAMES.map(|(name, _)| name).join(", ")));
        };
        provider.kx_groups.push(*group);
    }
    Ok(())
}
