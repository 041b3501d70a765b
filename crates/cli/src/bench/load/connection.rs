//! HTTP/1.1 as lean as it gets: the generator must not be what is measured.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// No answer that is waited for is longer.
const MOST: usize = 1 << 20;

/// A connection that is kept.
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer; the body is valid until the next exchange.
pub(super) struct Answer<'c> {
    pub(super) status: u16,
    pub(super) body: &'c [u8],
}

fn broken(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(16 << 10) })
    }

    /// Sends a request and reads the answer to its end.
    pub(super) async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.answer().await
    }

    /// Sends a long body. A server may answer before it has it all.
    pub(super) async fn pour(&mut self, head: &[u8], body: &[u8]) -> io::Result<Answer<'_>> {
        let (mut reader, mut writer) = self.stream.split();
        let sending = async {
            writer.write_all(head).await?;
            writer.write_all(body).await
        };
        self.buffer.clear();
        let reading = reader.read_buf(&mut self.buffer);
        let (sent, read) = tokio::join!(sending, reading);
        if read? == 0 {
            sent?;
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.rest().await
    }

    async fn answer(&mut self) -> io::Result<Answer<'_>> {
        self.buffer.clear();
        self.rest().await
    }

    async fn rest(&mut self) -> io::Result<Answer<'_>> {
        loop {
            if let Some((status, start, length)) = head(&self.buffer)? {
                let end =
                    start.checked_add(length).filter(|end| *end <= MOST).ok_or_else(|| broken("too long"))?;
                while self.buffer.len() < end {
                    self.more().await?;
                }
                let body = self.buffer.get(start..end).unwrap_or_default();
                return Ok(Answer { status, body });
            }
            if self.buffer.len() > MOST {
                return Err(broken("a header section without end"));
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// Status, where the body begins, and its length; nothing before the header section is there.
fn head(octets: &[u8]) -> io::Result<Option<(u16, usize, usize)>> {
    let Some(end) = octets.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&octets[..end]).map_err(|_| broken("not a header section"))?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok());
    match (status, length) {
        (Some(status), Some(length)) => Ok(Some((status, end + 4, length))),
        _ => Err(broken("no status, or no length")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_section_is_read_when_it_is_whole() {
        let whole = b"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 12\r\n\r\n";
        assert_eq!(head(whole).unwrap(), Some((200, whole.len(), 12)));
        assert_eq!(head(&whole[..whole.len() - 1]).unwrap(), None);
        assert!(head(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
