//! The few words of Redis's protocol that the fixtures speak themselves.

use std::{
    fmt::Write as _,
    io::{self, Read, Write},
};

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};

/// A command as clients send it: an array of bulk strings.
pub fn request(words: &[&str]) -> Vec<u8> {
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        let _ = write!(request, "${}\r\n{word}\r\n", word.len());
    }
    request.into_bytes()
}

/// A bulk string.
pub fn bulk(text: &str) -> Vec<u8> {
    format!("${}\r\n{text}\r\n", text.len()).into_bytes()
}

/// One command, inline or as an array of bulk strings; `None` at the end of the stream.
pub async fn read_command(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Vec<String>>> {
    let line = read_line(stream).await?;
    if line.is_empty() {
        return Ok(None);
    }
    let Some(count) = line.strip_prefix('*') else {
        return Ok(Some(line.split_whitespace().map(str::to_owned).collect()));
    };
    let mut words = Vec::new();
    for _ in 0..number(count)? {
        let length = number(read_line(stream).await?.trim_start_matches('$'))?;
        let mut word = vec![0; length + b"\r\n".len()];
        stream.read_exact(&mut word).await?;
        words.push(String::from_utf8_lossy(&word[..length]).into_owned());
    }
    Ok(Some(words))
}

/// Up to and with the next line feed; empty at the end of the stream. A TLS handshake on a plain port is no text.
async fn read_line(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<String> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).await?;
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// A count as a client under test may send it: small.
fn number(text: &str) -> io::Result<usize> {
    let number: u16 = text.trim_end().parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(number.into())
}

/// Says one inline command and returns the first line of the reply.
pub fn exchange(stream: &mut (impl Read + Write), command: &str) -> io::Result<String> {
    stream.write_all(format!("{command}\r\n").as_bytes())?;
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") {
        stream.read_exact(&mut byte)?;
        line.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}
