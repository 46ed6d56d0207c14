//! The measure of all things: the same stages on the same sockets, and nothing else.
//!
//! No deadline, no limit on what the peer sends, no certificate read, no reply understood, no goodbye.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A client that asks and does not look.
pub(crate) struct Bare {
    connector: TlsConnector,
    address: SocketAddr,
    name: ServerName<'static>,
    auth: Vec<u8>,
    buffer: Vec<u8>,
}

impl Bare {
    pub(crate) fn new(roots: RootCertStore, address: SocketAddr, name: &'static str, auth: Vec<u8>) -> Self {
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring offers the default versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        let name = ServerName::try_from(name).expect("a valid name");
        Self { connector: Arc::new(config).into(), address, name, auth, buffer: Vec::with_capacity(1 << 14) }
    }

    /// TCP, TLS with the whole certificate path verified, AUTH, PING, INFO: each reply is read to its end.
    pub(crate) async fn walk(&mut self) -> io::Result<()> {
        let tcp = TcpStream::connect(self.address).await?;
        tcp.set_nodelay(true)?;
        let mut stream = self.connector.connect(self.name.clone(), tcp).await?;
        for (request, expected) in [
            (self.auth.as_slice(), b"+OK\r\n".as_slice()),
            (b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n"),
            (b"*1\r\n$4\r\nINFO\r\n", b"$"),
        ] {
            exchange(&mut stream, request, &mut self.buffer).await?;
            if !self.buffer.starts_with(expected) {
                return Err(io::Error::other(String::from_utf8_lossy(&self.buffer).into_owned()));
            }
        }
        Ok(())
    }
}

async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &[u8],
    reply: &mut Vec<u8>,
) -> io::Result<()> {
    stream.write_all(request).await?;
    stream.flush().await?;
    reply.clear();
    while !is_whole(reply) {
        if stream.read_buf(reply).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// Whether a line, or a bulk string with its announced length, is there to its end.
fn is_whole(reply: &[u8]) -> bool {
    let Some(end) = reply.iter().position(|&byte| byte == b'\n') else { return false };
    let [b'$', digits @ .., b'\r'] = &reply[..end] else { return true };
    let length: usize = str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).expect("a length");
    reply.len() >= end + 1 + length + 2
}
