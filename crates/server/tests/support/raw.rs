//! HTTP/1.1 over a bare socket: exactly the octets a test wants, nothing a client library would add or hide.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Nothing here takes this long; a test fails rather than hang.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A request. `Host`, `Connection: close` and, for a body, `Content-Length` are added.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn new(method: &str, target: &str) -> Self {
        Self { method: method.into(), target: target.into(), headers: Vec::new(), body: Vec::new() }
    }

    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    pub fn post(target: &str, media: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::new("POST", target) }.header("content-type", media)
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The octets on the wire.
    pub fn head(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        let has = |name: &str| self.headers.iter().any(|(header, _)| header.eq_ignore_ascii_case(name));
        if !has("host") {
            head.push_str("host: localhost\r\n");
        }
        if !has("connection") {
            head.push_str("connection: close\r\n");
        }
        if (self.method == "POST" || !self.body.is_empty())
            && !has("content-length")
            && !has("transfer-encoding")
        {
            head.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The problem code of a refusal.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Status, code, reason of a refusal: what tests compare.
    pub fn refusal(&self) -> (u16, String, Option<String>) {
        let problem = self.json();
        let reason = problem["reason"].as_str().map(str::to_owned);
        (self.status, problem["code"].as_str().unwrap_or_default().to_owned(), reason)
    }

    pub fn job_id(&self) -> String {
        self.json()["job_id"].as_str().unwrap_or_else(|| panic!("no job: {}", self.status)).to_owned()
    }
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// One request, one answer, one connection. The whole request is written before anything is read, as simple clients do.
pub fn exchange(address: SocketAddr, request: &Request) -> Reply {
    let mut stream = connect(address);
    stream.write_all(&request.head()).unwrap();
    stream.write_all(&request.body).unwrap();
    read_reply(&mut stream, request.method == "HEAD")
}

/// Reads one answer: its head, and as much body as it declares.
pub fn read_reply(stream: &mut TcpStream, head_only: bool) -> Reply {
    let mut received = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    let head_end = loop {
        if let Some(position) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            break position + 4;
        }
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "closed before an answer: {}", String::from_utf8_lossy(&received));
        received.extend_from_slice(&buffer[..count]);
    };
    let head = String::from_utf8(received[..head_end].to_vec()).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(':').unwrap())
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let mut reply = Reply { status, headers, body: received[head_end..].to_vec() };
    if status == 100 {
        return read_reply(stream, head_only);
    }
    if !head_only && !matches!(status, 204 | 304) {
        let length: usize = reply.header("content-length").map_or(0, |length| length.parse().unwrap());
        while reply.body.len() < length {
            let count = stream.read(&mut buffer).unwrap();
            assert!(count > 0, "closed within a body");
            reply.body.extend_from_slice(&buffer[..count]);
        }
        assert_eq!(reply.body.len(), length, "more octets than declared");
    }
    reply
}

/// Whether the peer has closed the connection, waiting for it up to [`PATIENCE`].
pub fn closes(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return matches!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
    }
}
