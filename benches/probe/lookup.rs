//! A lookup by hand: what every resolver that is asked costs at least.
//!
//! No deadline, no second try, no alias followed, no answer kept, and of the answer nothing read but its id.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use futures_util::future;
use hickory_resolver::proto::op::{Message, Query};
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::net::UdpSocket;

/// A name to ask for.
pub(crate) struct BareLookup {
    name: Name,
}

impl BareLookup {
    pub(crate) fn new(host: &str) -> Self {
        let mut name = Name::from_ascii(host).expect("a valid name");
        name.set_fqdn(true);
        Self { name }
    }

    /// A and AAAA of every one of these servers, all at once, each from a socket of its own.
    pub(crate) async fn ask(&self, servers: &[SocketAddr]) -> io::Result<()> {
        let questions = servers
            .iter()
            .flat_map(|server| [RecordType::A, RecordType::AAAA].map(|kind| self.exchange(*server, kind)));
        future::try_join_all(questions).await.map(drop)
    }

    async fn exchange(&self, server: SocketAddr, kind: RecordType) -> io::Result<()> {
        let mut question = Message::query();
        question.metadata.recursion_desired = true;
        question.add_query(Query::query(self.name.clone(), kind));
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
        socket.connect(server).await?;
        socket.send(&question.to_vec().map_err(io::Error::other)?).await?;
        let mut answer = [0; 1024];
        let length = socket.recv(&mut answer).await?;
        if answer[..length].starts_with(&question.metadata.id.to_be_bytes()) {
            Ok(())
        } else {
            Err(io::Error::other("an answer to another question"))
        }
    }
}
