//! TLS in process, and HTTP/2 over it: what is agreed on, what changes while it runs, and what floods come to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, StreamOwned};

use crate::support::{Request, TestServer, raw};

type Stream = StreamOwned<ClientConnection, TcpStream>;

struct Secured {
    server: TestServer,
    folder: tempfile::TempDir,
    certificate: CertificateDer<'static>,
}

/// A new certificate for localhost in the folder.
fn certify(folder: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    write_key(folder, &made.signing_key.serialize_pem());
    CertificateDer::from_pem_file(folder.join("cert.pem")).unwrap()
}

fn write_key(folder: &Path, pem: &str) {
    let key = folder.join("key.pem");
    std::fs::write(&key, pem).unwrap();
    #[cfg(unix)]
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

impl Secured {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certificate = certify(folder.path());
        let server = TestServer::start_with(|config| {
            config.tls.certificates = Some(folder.path().join("cert.pem"));
            config.tls.key = Some(folder.path().join("key.pem"));
            config.tls.handshake_timeout = Duration::from_millis(300);
            config.connections.header_timeout = Duration::from_millis(800);
        });
        Self { server, folder, certificate }
    }

    fn connect(&self, protocol: &str) -> Stream {
        connect(self.server.address, &self.certificate, protocol).unwrap()
    }

    fn is_served(&self) {
        let mut stream = self.connect("http/1.1");
        assert_eq!(get(&mut stream, "close"), 200);
    }
}

fn connect(
    address: SocketAddr,
    trusted: &CertificateDer<'static>,
    protocol: &str,
) -> std::io::Result<Stream> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(raw::PATIENCE)).unwrap();
    stream.set_write_timeout(Some(raw::PATIENCE)).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(connection, stream))
}

/// The status of `GET /health`.
fn get(stream: &mut Stream, connection: &str) -> u16 {
    let request = Request::get("/health").header("connection", connection);
    stream.write_all(&request.head()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"}") {
        let mut octet = [0];
        stream.read_exact(&mut octet).unwrap();
        head.push(octet[0]);
    }
    String::from_utf8(head).unwrap().split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn keys_are_agreed_on_in_the_hybrid_way_and_versions_below_13_are_not_spoken() {
    let secured = Secured::start();
    for protocol in ["http/1.1", "h2"] {
        let stream = secured.connect(protocol);
        assert_eq!(stream.conn.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        let group = stream.conn.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
        assert_eq!(stream.conn.alpn_protocol(), Some(protocol.as_bytes()));
    }
    // A hello of TLS 1.2: one suite, no extensions.
    let mut hello = vec![0x03, 0x03];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x2f, 1, 0]);
    let mut record = vec![0x16, 0x03, 0x01, 0, (hello.len() + 4) as u8, 1, 0, 0, hello.len() as u8];
    record.extend(hello);
    let mut stream = raw::connect(secured.server.address);
    stream.write_all(&record).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer.first(), Some(&0x15), "an alert: {answer:?}");
    secured.is_served();
}

#[test]
fn certificates_change_under_open_connections_and_a_bad_one_changes_nothing() {
    let mut secured = Secured::start();
    let reload = || secured.server.certificates.as_ref().unwrap().reload();
    let mut open = secured.connect("http/1.1");
    assert_eq!(get(&mut open, "keep-alive"), 200);
    let old = secured.certificate.clone();
    let new = certify(secured.folder.path());
    assert_ne!(old, new);
    let presented = |stream: &Stream| stream.conn.peer_certificates().unwrap()[0].clone();
    assert_eq!(presented(&secured.connect("http/1.1")), old, "not before it is asked for");
    reload();
    assert_eq!(get(&mut open, "keep-alive"), 200, "an open connection goes on");
    assert_eq!(presented(&connect(secured.server.address, &new, "http/1.1").unwrap()), new);
    assert!(connect(secured.server.address, &old, "http/1.1").is_err());
    let other_key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let bad: [&dyn Fn(&Path); 3] = [
        &|folder| std::fs::write(folder.join("cert.pem"), "no certificate").unwrap(),
        &|folder| write_key(folder, &other_key.signing_key.serialize_pem()),
        &|folder| std::fs::remove_file(folder.join("cert.pem")).unwrap(),
    ];
    for spoil in bad {
        spoil(secured.folder.path());
        reload();
        assert_eq!(presented(&connect(secured.server.address, &new, "http/1.1").unwrap()), new);
    }
    assert_eq!(get(&mut open, "close"), 200);
    secured.server.begin_stop();
}

#[test]
fn files_that_cannot_be_served_with_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path());
    let check = |certificates: Option<&str>, key: Option<&str>| {
        let mut config = hei_server::ServerConfig::new(([127, 0, 0, 1], 0).into(), Vec::new());
        config.tls.certificates = certificates.map(|name| folder.path().join(name));
        config.tls.key = key.map(|name| folder.path().join(name));
        hei_server::Server::check(&config).map_err(|error| error.to_string())
    };
    assert_eq!(check(Some("cert.pem"), Some("key.pem")), Ok(()));
    assert!(check(Some("cert.pem"), None).unwrap_err().contains("needs both"));
    assert!(check(Some("nowhere.pem"), Some("key.pem")).unwrap_err().contains("nowhere.pem"));
    assert!(check(Some("key.pem"), Some("key.pem")).unwrap_err().contains("no certificate"));
    assert!(check(Some("cert.pem"), Some("cert.pem")).unwrap_err().contains("cert.pem"));
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        std::fs::set_permissions(folder.path().join("key.pem"), mode).unwrap();
        let error = check(Some("cert.pem"), Some("key.pem")).unwrap_err();
        assert!(error.contains("can be read by others"), "{error}");
    }
}

#[test]
fn a_handshake_that_does_not_come_ends_the_connection() {
    let secured = Secured::start();
    let mut silent = raw::connect(secured.server.address);
    let mut halting = raw::connect(secured.server.address);
    halting.write_all(&[0x16, 0x03, 0x01, 0x01]).unwrap();
    assert!(raw::closes(&mut silent) && raw::closes(&mut halting));
    // Nor does a connection live that agrees on HTTP/2 and then says nothing.
    let mut mute = secured.connect("h2");
    assert!(ends(&mut mute));
    secured.is_served();
}

/// An HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The header section of `GET /health`, without indexing beyond the static table.
fn health() -> Vec<u8> {
    let mut block = vec![0x82, 0x87, 0x04, 7];
    block.extend(b"/health");
    block.extend([0x01, 9]);
    block.extend(b"localhost");
    block
}

fn second(secured: &Secured) -> Stream {
    let mut stream = secured.connect("h2");
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    stream.write_all(&frame(4, 0, 0, &[])).unwrap();
    stream
}

/// One that was served before, so that no deadline for a first header section ends it.
fn served(secured: &Secured) -> Stream {
    let mut stream = second(secured);
    stream.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &health())).unwrap();
    while !matches!(read_frame(&mut stream).unwrap(), (0, 1, _)) {}
    stream
}

fn read_frame(stream: &mut Stream) -> std::io::Result<(u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head)?;
    let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
    stream.read_exact(&mut payload)?;
    Ok((head[3], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload))
}

/// Whether the server ends the connection; a goodbye before counts, silence does not.
fn ends(stream: &mut Stream) -> bool {
    let mut octets = [0; 4096];
    loop {
        match stream.read(&mut octets) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => {
                let silent = [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut];
                return !silent.contains(&error.kind());
            }
        }
    }
}

/// Writes frames until the server has had enough; how many it took.
fn pour(stream: &mut Stream, frames: impl Iterator<Item = Vec<u8>>) -> usize {
    let mut taken = 0;
    for frame in frames {
        if stream.write_all(&frame).is_err() {
            break;
        }
        taken += 1;
    }
    taken
}

#[test]
fn http_2_is_spoken_within_limits_that_are_announced() {
    let secured = Secured::start();
    let mut stream = second(&secured);
    stream.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &health())).unwrap();
    let (mut settings, mut status, mut body) = (Vec::new(), None, Vec::new());
    while body.is_empty() {
        match read_frame(&mut stream).unwrap() {
            (4, 0, payload) if !payload.is_empty() => settings = payload,
            (HEADERS, 1, block) => status = block.first().copied(),
            (0, 1, data) => body = data,
            _ => {}
        }
    }
    assert_eq!(status, Some(0x88), ":status 200 of the static table");
    assert!(String::from_utf8(body).unwrap().contains("ok"));
    let setting = |id: u16| {
        settings
            .chunks(6)
            .find(|entry| entry[..2] == id.to_be_bytes())
            .map(|entry| u32::from_be_bytes(entry[2..].try_into().unwrap()))
    };
    assert_eq!((setting(3), setting(6)), (Some(64), Some(16 << 10)));
}

#[test]
fn floods_of_frames_end_their_connection_and_nobody_elses() {
    let secured = Secured::start();
    let count = 20_000;
    let resets = (0..count).flat_map(|index| {
        let id = 2 * index + 1;
        [frame(HEADERS, END_HEADERS, id, &health()), frame(3, 0, id, &[0, 0, 0, 8])]
    });
    let mut stream = second(&secured);
    pour(&mut stream, resets);
    assert!(ends(&mut stream), "rapid reset");
    secured.is_served();

    let mut stream = second(&secured);
    let block = vec![0; 1000];
    let first = frame(HEADERS, 0, 1, &health());
    pour(&mut stream, std::iter::once(first).chain((0..count).map(|_| frame(9, 0, 1, &block))));
    assert!(ends(&mut stream), "CONTINUATION");
    secured.is_served();

    for (name, kind, stream_id, payload) in
        [("ping", 6, 0, vec![0; 8]), ("settings", 4, 0, Vec::new()), ("unknown", 0xbe, 0, vec![1])]
    {
        let mut stream = served(&secured);
        // More than the buffers between hold: whoever ends nothing takes them all.
        let many = 1_000_000;
        let taken = pour(&mut stream, (0..many).map(|_| frame(kind, 0, stream_id, &payload)));
        assert!(taken < many, "{name}: every frame was taken");
        assert!(ends(&mut stream), "{name}");
        secured.is_served();
    }
    // A header section that never ends.
    let mut stream = served(&secured);
    stream.write_all(&frame(HEADERS, 0, 3, &health())).unwrap();
    assert!(ends(&mut stream), "a header section under way for ever");
    secured.is_served();
}
