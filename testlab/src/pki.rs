//! A certificate authority of the test's own, and every kind of leaf a cache may show.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use cachewatch::{clock, model::Timestamp};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
    server::WebPkiClientVerifier,
};
use tempfile::TempDir;

use super::PATIENCE;

const DAY: Duration = Duration::from_hours(24);

/// A certificate authority: a root, or an intermediate below one.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    root: Certificate,
    /// What a leaf shows after itself, nearest issuer first; a root is not shown.
    intermediates: Vec<Certificate>,
    directory: TempDir,
}

impl Authority {
    /// A root of its own, trusted by nobody until told.
    pub fn new() -> Self {
        let issuer = CertifiedIssuer::self_signed(authority_params("cachewatch test root"), new_key())
            .expect("the parameters are complete");
        let root = certificate(&issuer);
        Self::stored(issuer, root, vec![])
    }

    /// An authority below this one. Its leaves show it in their chain; its [`Authority::ca_file`] is still the root's.
    pub fn intermediate(&self) -> Self {
        let params = authority_params("cachewatch test intermediate");
        let issuer = CertifiedIssuer::signed_by(params, new_key(), &self.issuer).expect("the parameters are complete");
        let mut intermediates = vec![certificate(&issuer)];
        intermediates.extend(self.intermediates.iter().cloned());
        Self::stored(issuer, self.root.clone(), intermediates)
    }

    /// The root certificate as PEM: `tls.ca_file` of a cache that this authority vouches for.
    pub fn ca_file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// A leaf for these DNS names or addresses, valid from yesterday for a year.
    pub fn leaf(&self, names: &[&str]) -> Leaf {
        self.valid_for(names, 365 * DAY)
    }

    /// A leaf that ends this long from now.
    pub fn valid_for(&self, names: &[&str], remaining: Duration) -> Leaf {
        self.issue(names, |params| {
            params.not_before -= DAY;
            params.not_after += remaining;
        })
    }

    /// A leaf that ended yesterday.
    pub fn expired(&self, names: &[&str]) -> Leaf {
        self.issue(names, |params| {
            params.not_before -= 30 * DAY;
            params.not_after -= DAY;
        })
    }

    /// A leaf that begins tomorrow.
    pub fn not_yet_valid(&self, names: &[&str]) -> Leaf {
        self.issue(names, |params| {
            params.not_before += DAY;
            params.not_after += 30 * DAY;
        })
    }

    /// A store that trusts this authority alone.
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.der().clone()).expect("a root of our own making is well formed");
        roots
    }

    /// Connects as a plain client that trusts only this authority. The handshake happens with the first byte.
    pub fn connect(
        &self,
        address: SocketAddr,
        name: &str,
    ) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
        self.connect_as(None, address, name)
    }

    /// The same, with a certificate to show where one is asked for.
    pub fn connect_as(
        &self,
        leaf: Option<&Leaf>,
        address: SocketAddr,
        name: &str,
    ) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("ring offers the default versions")
            .with_root_certificates(self.roots());
        let config = match leaf {
            None => builder.with_no_client_auth(),
            Some(leaf) => {
                let (chain, key) = leaf.identity();
                builder.with_client_auth_cert(chain, key).expect("the key was made for the leaf")
            }
        };
        let name = ServerName::try_from(name.to_owned()).expect("tests use valid names");
        let session = ClientConnection::new(Arc::new(config), name).expect("the configuration is complete");
        let tcp = TcpStream::connect_timeout(&address, PATIENCE)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        Ok(StreamOwned::new(session, tcp))
    }

    /// The parameters come to `date` beginning and ending now.
    fn issue(&self, names: &[&str], date: impl FnOnce(&mut CertificateParams)) -> Leaf {
        let mut params = leaf_params(names);
        let since_1970 = clock::now().since(Timestamp::from_unix_seconds(0));
        params.not_before = rcgen::date_time_ymd(1970, 1, 1) + since_1970;
        params.not_after = params.not_before;
        date(&mut params);
        let key = new_key();
        let leaf = params.signed_by(&key, &self.issuer).expect("the parameters are complete");
        let mut chain = vec![leaf];
        chain.extend(self.intermediates.iter().cloned());
        Leaf::stored(chain, &key)
    }

    fn stored(issuer: CertifiedIssuer<'static, KeyPair>, root: Certificate, intermediates: Vec<Certificate>) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        write(&directory.path().join("ca.pem"), &root.pem());
        Self { issuer, root, intermediates, directory }
    }
}

/// A certificate chain and its key, in memory and as PEM files that live as long as this value.
#[derive(Debug)]
pub struct Leaf {
    chain: Vec<Certificate>,
    key: Vec<u8>,
    directory: TempDir,
}

impl Leaf {
    /// A leaf that vouches for itself only.
    pub fn self_signed(names: &[&str]) -> Self {
        let key = new_key();
        let leaf = leaf_params(names).self_signed(&key).expect("the parameters are complete");
        Self::stored(vec![leaf], &key)
    }

    /// The same leaf as a server shows it that forgets its intermediates.
    pub fn without_intermediates(&self) -> Self {
        let key = KeyPair::try_from(self.key.as_slice()).expect("the key was made here");
        Self::stored(vec![self.chain[0].clone()], &key)
    }

    /// The whole chain as PEM, leaf first.
    pub fn cert_file(&self) -> PathBuf {
        self.directory.path().join("cert.pem")
    }

    /// The path of its key, as PEM.
    pub fn key_file(&self) -> PathBuf {
        self.directory.path().join("key.pem")
    }

    /// A TLS server that shows this leaf and asks for nothing.
    pub fn server(&self) -> Arc<ServerConfig> {
        self.finish(server_builder().with_no_client_auth())
    }

    /// A TLS server that wants a client certificate from `authority`.
    pub fn server_wanting_client_from(&self, authority: &Authority) -> Arc<ServerConfig> {
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authority.roots()), provider())
            .build()
            .expect("the roots are not empty");
        self.finish(server_builder().with_client_cert_verifier(verifier))
    }

    fn identity(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = self.chain.iter().map(|certificate| certificate.der().clone()).collect();
        (chain, PrivateKeyDer::Pkcs8(self.key.clone().into()))
    }

    fn finish(
        &self,
        builder: rustls::ConfigBuilder<ServerConfig, rustls::server::WantsServerCert>,
    ) -> Arc<ServerConfig> {
        let (chain, key) = self.identity();
        Arc::new(builder.with_single_cert(chain, key).expect("the key was made for the leaf"))
    }

    fn stored(chain: Vec<Certificate>, key: &KeyPair) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let certificates: String = chain.iter().map(Certificate::pem).collect();
        write(&directory.path().join("cert.pem"), &certificates);
        write(&directory.path().join("key.pem"), &key.serialize_pem());
        Self { chain, key: key.serialize_der(), directory }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn server_builder() -> rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier> {
    ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring offers the default versions")
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("ring makes P-256 keys")
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn leaf_params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names.clone()).expect("tests use valid names");
    params.distinguished_name.push(DnType::CommonName, names.first().map_or("nobody", String::as_str));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params
}

fn certificate(issuer: &CertifiedIssuer<'static, KeyPair>) -> Certificate {
    let certificate: &Certificate = issuer.as_ref();
    certificate.clone()
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("a temporary directory can be written to");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        peer::{Peer, Replies, Step},
        resp::exchange,
    };

    fn ping(authority: &Authority, leaf: &Leaf) -> std::io::Result<String> {
        let peer = Peer::tls(leaf.server(), [Step::Serve(Replies::redis())]);
        exchange(&mut authority.connect(peer.address(), "orders.test")?, "PING")
    }

    #[test]
    fn each_leaf_is_judged_by_a_client_for_what_it_is() {
        let authority = Authority::new();
        let names = ["orders.test"];
        let below = authority.intermediate().leaf(&names);
        let cases = [
            ("good", authority.leaf(&names), None),
            ("chain", below.without_intermediates(), Some("UnknownIssuer")),
            ("below", below, None),
            ("expired", authority.expired(&names), Some("Expired")),
            ("early", authority.not_yet_valid(&names), Some("NotValidYet")),
            ("other name", authority.leaf(&["other.test"]), Some("NotValidForName")),
            ("nobody's", Leaf::self_signed(&names), Some("UnknownIssuer")),
        ];
        for (case, leaf, fault) in cases {
            match (ping(&authority, &leaf), fault) {
                (Ok(reply), None) => assert_eq!(reply, "+PONG", "{case}"),
                (Err(error), Some(fault)) => assert!(format!("{error:?}").contains(fault), "{case}: {error:?}"),
                (outcome, _) => panic!("{case}: {outcome:?}, not {fault:?}"),
            }
        }
    }
}
