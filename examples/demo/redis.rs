//! A small Redis behind TLS: it takes one password, answers PING and INFO, and changes when the story does.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{io, mem};

use rustls::ServerConfig;
use testlab::background::Background;
use testlab::resp::{bulk, read_command};
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// A running server on a free port of 127.0.0.1, until it is dropped.
#[derive(Debug)]
pub(crate) struct Redis {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    _service: Background,
}

#[derive(Debug)]
struct State {
    certificate: Arc<ServerConfig>,
    password: String,
    clients: u32,
    max_clients: u32,
}

impl Redis {
    pub(crate) fn start(certificate: Arc<ServerConfig>, password: &str, max_clients: u32) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let state = State { certificate, password: password.to_owned(), clients: 1, max_clients };
        let state = Arc::new(Mutex::new(state));
        let service = Background::run("redis", accept(listener, Arc::clone(&state)));
        Ok(Self { address, state, _service: service })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From the next INFO on.
    pub(crate) fn set_clients(&self, clients: u32) {
        lock(&self.state).clients = clients;
    }

    /// From the next connection on.
    pub(crate) fn show(&self, certificate: Arc<ServerConfig>) {
        drop(mem::replace(&mut lock(&self.state).certificate, certificate));
    }
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("inside a runtime");
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        // As a real server does; without it each reply would wait for the acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        // What goes wrong on a connection is cachewatch's story to tell.
        tokio::spawn(async move { serve(stream, &state).await });
    }
}

async fn serve(stream: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let acceptor = TlsAcceptor::from(Arc::clone(&lock(state).certificate));
    let mut stream = BufReader::new(acceptor.accept(stream).await?);
    let mut authenticated = false;
    while let Some(words) = read_command(&mut stream).await? {
        let reply = lock(state).reply(&words, &mut authenticated);
        stream.write_all(&reply).await?;
        stream.flush().await?;
    }
    stream.shutdown().await
}

impl State {
    fn reply(&self, words: &[String], authenticated: &mut bool) -> Vec<u8> {
        let command = words.first().map(|word| word.to_ascii_uppercase()).unwrap_or_default();
        match command.as_str() {
            "AUTH" if words.last() == Some(&self.password) => {
                *authenticated = true;
                b"+OK\r\n".to_vec()
            }
            "AUTH" => b"-WRONGPASS invalid username-password pair or user is disabled.\r\n".to_vec(),
            _ if !*authenticated => b"-NOAUTH Authentication required.\r\n".to_vec(),
            "PING" => b"+PONG\r\n".to_vec(),
            "INFO" => bulk(&self.info()),
            _ => b"-ERR unknown command\r\n".to_vec(),
        }
    }

    fn info(&self) -> String {
        format!(
            "redis_version:6.0.14\r\nredis_mode:standalone\r\nconnected_clients:{}\r\nmaxclients:{}\r\n\
             rejected_connections:0\r\nrole:master\r\nconnected_slaves:1\r\n",
            self.clients, self.max_clients
        )
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
