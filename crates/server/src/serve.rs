//! Connections: accepted under a cap, read under a timer, drained on shutdown.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::admin::Admin;
use crate::app::App;
use crate::auth::AuthChoice;
use crate::auth::tokens::TokenError;
use crate::backend::Backend;
use crate::config::{ServerConfig, StoreChoice};
use crate::connection::{self, Addresses};
use crate::http;
use crate::registry::{Registry, RegistryError};
use crate::store::durable::OpenError;
use crate::store::postgres::DatabaseError;
use crate::tls::{Tls, TlsError};

/// How long to pause after the operating system refused a connection, for instance for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A model is refused.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {cause}; choose another address with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        cause: std::io::Error,
    },
    /// A limit is below what a compliant server offers.
    #[error("the limit {name} is {value}, a compliant server offers at least {minimum}")]
    Limit {
        /// The limit.
        name: &'static str,
        /// Its value.
        value: u64,
        /// The least value.
        minimum: u64,
    },
    /// The operator's listener would be open to other machines.
    #[error(
        "the admin listener {address} is reachable from other machines and asks for no credentials; \
         listen on 127.0.0.1, or set admin.allow_remote"
    )]
    AdminBeyondLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// The store is not opened.
    #[error(transparent)]
    Store(OpenError),
    /// The token file is not usable.
    #[error(transparent)]
    Tokens(#[from] TokenError),
    /// The settings would serve anyone.
    #[error("refused to serve on {address}, which is not loopback: {setting}; {remedy}")]
    Unsafe {
        /// The address.
        address: SocketAddr,
        /// What is unsafe.
        setting: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// Certificate or key are not usable.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The database, or its object store, is not used.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A worker without a store that it shares.
    #[error("a worker takes jobs from a store that servers share; name it with --store postgres://…")]
    NotShared,
    /// A worker that works on nothing.
    #[error("a worker with 0 workers does nothing; set --workers to 1 or more")]
    NoWorkers,
    /// The operating system refused threads.
    #[error("cannot start the compute threads: {0}")]
    Threads(std::io::Error),
}

/// The server, before it listens.
pub struct Server;

impl Server {
    /// Everything that can be said of a configuration without listening or opening the store.
    ///
    /// # Errors
    /// What [`Server::bind`] would say.
    pub fn check(config: &ServerConfig) -> Result<(), StartError> {
        prepare(config).map(drop)
    }

    /// Loads and freezes the registry, starts the compute pool, and listens.
    ///
    /// # Errors
    /// [`StartError`], naming what to mend; nothing is served then.
    pub async fn bind(config: ServerConfig) -> Result<BoundServer, StartError> {
        let (registry, tls) = prepare(&config)?;
        let address = config.listen;
        let listen = |cause| StartError::Listen { address, cause };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let admin = match config.admin.listen {
            Some(address) => Some(Admin::bind(address).await?),
            None => None,
        };
        let backend = Backend::open(&config).await?;
        let app = App::start(config, registry, backend)?;
        Ok(BoundServer { listener, address, app, admin, tls })
    }
}

/// Loads the registry, and refuses what must not be served.
fn prepare(config: &ServerConfig) -> Result<(Registry, Option<Tls>), StartError> {
    if let Some(name) = config.limits.below_minimum() {
        let (value, minimum) = (config.limits.value(name), name.minimum());
        return Err(StartError::Limit { name: name.as_str(), value, minimum });
    }
    check_safety(config)?;
    check_admin(config)?;
    let tls = Tls::start(&config.tls)?;
    Ok((Registry::load(&config.models, &config.limits)?, tls))
}

/// The operator's listener asks for no credentials.
fn check_admin(config: &ServerConfig) -> Result<(), StartError> {
    if let Some(address) = config.admin.listen
        && !address.ip().to_canonical().is_loopback()
        && !config.admin.allow_remote
    {
        return Err(StartError::AdminBeyondLoopback { address });
    }
    Ok(())
}

/// Whoever can reach an address that is not loopback is a stranger, and may be listening.
fn check_safety(config: &ServerConfig) -> Result<(), StartError> {
    let address = config.listen;
    if address.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    let refuse = |setting, remedy| Err(StartError::Unsafe { address, setting, remedy });
    if config.auth == AuthChoice::Development {
        return refuse("callers are not authenticated", "give a token file with --tokens");
    }
    if !config.behind_proxy && config.tls.certificates.is_none() {
        return refuse(
            "tokens would travel in plain HTTP",
            "give --tls-cert and --tls-key, or put a proxy that speaks TLS in front and say so with --behind-proxy",
        );
    }
    Ok(())
}

/// A server that listens and has not begun to accept.
pub struct BoundServer {
    listener: TcpListener,
    address: SocketAddr,
    app: Arc<App>,
    admin: Option<Admin>,
    tls: Option<Tls>,
}

/// The certificates of a server, which can be read again while it serves.
pub struct Certificates(Tls);

impl Certificates {
    /// Reads certificate and key from their files again. What is not usable is logged and changes nothing.
    pub fn reload(&self) {
        self.0.reload();
    }
}

impl BoundServer {
    /// The certificates, if TLS is spoken.
    #[must_use]
    pub fn certificates(&self) -> Option<Certificates> {
        self.tls.clone().map(Certificates)
    }

    /// Where the operator's listener is, if there is one.
    #[must_use]
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(Admin::local_addr)
    }

    /// Where it listens; with port 0 in the configuration, the port that was chosen.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is ready; then stops accepting, reports not ready, lets answers and accepted jobs
    /// finish within the drain limit, and returns.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { listener, address, app, admin, tls } = self;
        // The operator looks on until all is done.
        let _admin = admin.map(|admin| admin.serve(Arc::clone(&app)));
        tracing::info!(%address, models = app.registry().len(), "listening");
        if !address.ip().to_canonical().is_loopback() && tls.is_none() {
            tracing::warn!(
                %address,
                "listening beyond this machine in plain HTTP: whoever reads what travels reads the tokens; only \
                 the proxy that speaks TLS may reach this address"
            );
        }
        let router = http::router(Arc::clone(&app));
        let connections = Arc::new(Semaphore::new(app.config().connections.max_connections));
        let graceful = GracefulShutdown::new();
        let config = app.config();
        let everyone_is_one = config.behind_proxy || address.ip().to_canonical().is_loopback();
        let half = (!everyone_is_one).then_some(config.connections.max_connections.div_ceil(2));
        let addresses = Addresses::new(config.connections.max_per_address.or(half));
        let mut shutdown = pin!(shutdown);
        loop {
            let accepted = async {
                let permit = Arc::clone(&connections).acquire_owned().await;
                (listener.accept().await, permit)
            };
            let (accepted, permit) = tokio::select! {
                () = &mut shutdown => break,
                accepted = accepted => accepted,
            };
            let (Ok((stream, peer)), Ok(permit)) = (accepted, permit) else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let Some(counting) = addresses.enter(peer.ip()) else {
                app.metrics().rejected("CONNECTIONS_OF_ADDRESS");
                continue;
            };
            let held = (permit, counting, app.metrics().connected());
            let (app, router, tls, watcher) =
                (Arc::clone(&app), router.clone(), tls.clone(), graceful.watcher());
            tokio::spawn(async move {
                connection::serve(stream, router, &app, tls, watcher).await;
                drop(held);
            });
        }
        drop(listener);
        let drain = app.config().connections.drain;
        tracing::info!(?drain, "draining");
        app.drain();
        let all = async {
            tokio::join!(graceful.shutdown(), app.drained());
        };
        if tokio::time::timeout(drain, all).await.is_err() {
            tracing::warn!(unfinished = app.unfinished().await, "the drain limit passed");
        }
        app.close().await;
        tracing::info!("stopped");
    }
}

/// A process that evaluates the jobs that servers accept into the same store, and listens to nobody.
pub struct Worker {
    app: Arc<App>,
    admin: Option<Admin>,
}

impl Worker {
    /// Loads and freezes the registry, connects to the store, and begins to take jobs.
    ///
    /// # Errors
    /// [`StartError`], naming what to mend.
    pub async fn start(mut config: ServerConfig) -> Result<Self, StartError> {
        if !matches!(config.store, StoreChoice::Postgres(_)) {
            return Err(StartError::NotShared);
        }
        if config.workers == Some(0) {
            return Err(StartError::NoWorkers);
        }
        check_admin(&config)?;
        // Nobody calls.
        config.auth = AuthChoice::default();
        let registry = Registry::load(&config.models, &config.limits)?;
        let admin = match config.admin.listen {
            Some(address) => Some(Admin::bind(address).await?),
            None => None,
        };
        let backend = Backend::open(&config).await?;
        Ok(Self { app: App::start(config, registry, backend)?, admin })
    }

    /// Where the operator's listener is, if there is one.
    #[must_use]
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(Admin::local_addr)
    }

    /// Works until `shutdown` is ready; then takes no more jobs, finishes those it has within the drain limit, gives
    /// the others back, and returns.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { app, admin } = self;
        let _admin = admin.map(|admin| admin.serve(Arc::clone(&app)));
        tracing::info!(models = app.registry().len(), "working");
        shutdown.await;
        let drain = app.config().connections.drain;
        tracing::info!(?drain, "draining");
        app.drain();
        if tokio::time::timeout(drain, app.drained()).await.is_err() {
            tracing::warn!("the drain limit passed; jobs under way are given back");
        }
        app.close().await;
        tracing::info!("stopped");
    }
}
