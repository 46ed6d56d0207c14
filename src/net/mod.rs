//! What every room needs that speaks over the network: deadlines, limits on what a peer may cost, certificates and the
//! roots that are trusted, and HTTP as a client speaks it. It knows no cache and no daemon.

use tokio::io::{AsyncRead, AsyncWrite};

pub(crate) mod certificate;
pub(crate) mod deadline;
pub(crate) mod http;
pub(crate) mod limited;
pub(crate) mod pem;
pub(crate) mod trust;

/// A connection, whether TLS is spoken over it or not.
pub(crate) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}
