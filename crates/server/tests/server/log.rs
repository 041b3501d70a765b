//! The server's log, captured: every line of every server in this process.

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};

use hei_server::AuthChoice;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::TestServer;

#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

/// Starts to capture, once for the process.
pub fn capture() -> Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    LOG.get_or_init(|| {
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(log.clone())
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
        log
    })
    .clone()
}

impl Log {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[test]
fn listening_beyond_the_machine_is_warned_of() {
    const WARNING: &str = "listening beyond this machine";
    let log = capture();
    let local = TestServer::start();
    assert_eq!(local.get("/health").status, 200);
    local.finish();
    assert!(!log.text().contains(WARNING));
    let folder = tempfile::tempdir().unwrap();
    let open = TestServer::start_with(|config| {
        config.listen = ([0, 0, 0, 0], 0).into();
        config.auth = AuthChoice::Tokens(folder.path().join("tokens.json"));
        config.behind_proxy = true;
    });
    open.finish();
    let text = log.text();
    assert!(text.contains(WARNING) && text.contains("WARN"), "{text}");
}
