//! The smallest HTTP client that can read what the daemon says, and a stream of its events.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpStream},
};

use super::PATIENCE;

/// An answer read to its end.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// All of the body, without the chunks' frames.
    pub body: String,
}

impl Response {
    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.body))
    }
}

/// GETs a path.
pub fn get(address: SocketAddr, path: &str) -> io::Result<Response> {
    request(address, "GET", path)
}

/// POSTs an empty body to a path.
pub fn post(address: SocketAddr, path: &str) -> io::Result<Response> {
    request(address, "POST", path)
}

/// Opens a path that does not end, and returns its lines as they come. One that is late by [`PATIENCE`] is an error.
pub fn stream(address: SocketAddr, path: &str) -> io::Result<impl Iterator<Item = io::Result<String>>> {
    let mut reader = open(address, "GET", path)?;
    read_head(&mut reader)?;
    Ok(reader.lines())
}

fn request(address: SocketAddr, method: &str, path: &str) -> io::Result<Response> {
    read(&mut open(address, method, path)?)
}

/// The same over a connection that stands already, with these header lines more.
pub fn request_over(
    mut stream: impl io::Read + io::Write,
    method: &str,
    path: &str,
    headers: &[&str],
) -> io::Result<Response> {
    let lines = [&["Host: localhost", "Content-Length: 0"], headers].concat().join("\r\n");
    stream.write_all(format!("{method} {path} HTTP/1.0\r\n{lines}\r\n\r\n").as_bytes())?;
    read(&mut BufReader::new(stream))
}

/// One answer, to the end of its connection.
pub fn read(reader: &mut impl io::BufRead) -> io::Result<Response> {
    let (status, headers) = read_head(reader)?;
    let mut body = String::new();
    match reader.read_to_string(&mut body) {
        // A server that closes without a word more ends the body all the same.
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
        _ => Ok(Response { status, headers, body }),
    }
}

/// HTTP/1.0, so that a body is never chunked and ends with the connection.
fn open(address: SocketAddr, method: &str, path: &str) -> io::Result<BufReader<TcpStream>> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let head = format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    Ok(BufReader::new(stream))
}

fn read_head(reader: &mut impl io::BufRead) -> io::Result<(u16, Vec<(String, String)>)> {
    let mut lines = reader.lines();
    let mut line = || lines.next().unwrap_or(Err(io::ErrorKind::UnexpectedEof.into()));
    let first = line()?;
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP: {first}")))?;
    let mut headers = Vec::new();
    loop {
        match line()?.split_once(':') {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.trim().to_owned())),
            None => return Ok((status, headers)),
        }
    }
}
