//! What the tests share: a real server on a port of its own, a client that writes raw HTTP and holds every answer
//! against the specification, and a party that encrypts and decrypts.
#![allow(dead_code)]

pub mod contract;
pub mod history;
pub mod party;
pub mod raw;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use hei_server::clock::{Clock, SystemClock};
use hei_server::{ModelSource, Server, ServerConfig};
use tokio::sync::oneshot;

pub use raw::{Reply, Request};

/// A server in a thread of its own; stopped, and its drain awaited, on drop.
pub struct TestServer {
    pub address: SocketAddr,
    /// The operator's listener, if the configuration asks for one.
    pub admin: Option<SocketAddr>,
    /// The certificates, if the configuration asks for TLS.
    pub certificates: Option<hei_server::Certificates>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl TestServer {
    /// The reference models, all defaults.
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// The reference models, with a changed configuration.
    pub fn start_with(change: impl FnOnce(&mut ServerConfig)) -> Self {
        let mut config = ServerConfig::new(([127, 0, 0, 1], 0).into(), reference_models());
        config.clock = Arc::new(SystemClock::start()) as Arc<dyn Clock>;
        change(&mut config);
        let (address_sender, address) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async move {
                let server = Server::bind(config).await.unwrap();
                address_sender
                    .send((server.local_addr(), server.admin_addr(), server.certificates()))
                    .unwrap();
                server.run(async move { drop(stopped.await) }).await;
            });
        });
        let (address, admin, certificates) = address.recv().unwrap();
        Self { address, admin, certificates, stop: Some(stop), thread: Some(thread) }
    }

    /// Sends a request on a connection of its own; the answer is held against the specification.
    pub fn send(&self, request: &Request) -> Reply {
        let reply = raw::exchange(self.address, request);
        contract::check(request, &reply);
        reply
    }

    pub fn get(&self, target: &str) -> Reply {
        self.send(&Request::get(target))
    }

    /// Asks the server to stop, without waiting for it.
    pub fn begin_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // A server that is gone already needs no telling.
            stop.send(()).ok();
        }
    }

    /// Waits until the server has stopped.
    pub fn finish(mut self) {
        self.begin_stop();
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.begin_stop();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub fn model_file(name: &str) -> Vec<u8> {
    let path = repository().join("models").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub fn vector(path: &str) -> Vec<u8> {
    let path = repository().join("spec/vectors").join(path);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub const LOGISTIC: &str = "logistic_v1.hei";
pub const BREAST_CANCER: &str = "breast_cancer_v1.hei";

pub fn reference_models() -> Vec<ModelSource> {
    [LOGISTIC, BREAST_CANCER].map(source).into()
}

pub fn source(name: &str) -> ModelSource {
    ModelSource { name: name.to_owned(), bytes: Cow::Owned(model_file(name)) }
}
