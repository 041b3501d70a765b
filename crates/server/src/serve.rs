//! Connections: accepted under a cap, read under a timer, drained on shutdown.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower::ServiceExt;

use crate::admin::Admin;
use crate::app::App;
use crate::auth::AuthChoice;
use crate::auth::tokens::TokenError;
use crate::backend::Backend;
use crate::config::ServerConfig;
use crate::http::{self, Lingering};
use crate::registry::{Registry, RegistryError};
use crate::store::durable::OpenError;

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
        let registry = prepare(&config)?;
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
        Ok(BoundServer { listener, address, app, admin })
    }
}

/// Loads the registry, and refuses what must not be served.
fn prepare(config: &ServerConfig) -> Result<Registry, StartError> {
    if let Some(name) = config.limits.below_minimum() {
        let (value, minimum) = (config.limits.value(name), name.minimum());
        return Err(StartError::Limit { name: name.as_str(), value, minimum });
    }
    check_safety(config)?;
    if let Some(address) = config.admin.listen
        && !address.ip().to_canonical().is_loopback()
        && !config.admin.allow_remote
    {
        return Err(StartError::AdminBeyondLoopback { address });
    }
    Ok(Registry::load(&config.models, &config.limits)?)
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
    if !config.behind_proxy {
        return refuse(
            "tokens would travel in plain HTTP",
            "put a proxy that speaks TLS in front and say so with --behind-proxy",
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
}

impl BoundServer {
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
        let Self { listener, address, app, admin } = self;
        // The operator looks on until all is done.
        let _admin = admin.map(|admin| admin.serve(Arc::clone(&app)));
        tracing::info!(%address, models = app.registry().len(), "listening");
        if !address.ip().to_canonical().is_loopback() {
            tracing::warn!(
                %address,
                "listening beyond this machine in plain HTTP: whoever reads what travels reads the tokens; only \
                 the proxy that speaks TLS may reach this address"
            );
        }
        let router = http::router(Arc::clone(&app));
        let connections = Arc::new(Semaphore::new(app.config().connections.max_connections));
        let graceful = GracefulShutdown::new();
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
            let (Ok((stream, _peer)), Ok(permit)) = (accepted, permit) else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            // Answers are small and whole; waiting to fill a segment only delays them.
            drop(stream.set_nodelay(true));
            let connection = graceful.watch(connection(stream, router.clone(), &app));
            let open = app.metrics().connected();
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "connection ended");
                }
                drop((permit, open));
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
        tracing::info!("stopped");
    }
}

/// One connection's future.
fn connection(
    stream: TcpStream,
    router: Router,
    app: &App,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + Send + 'static {
    let linger = app.config().body.linger;
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let router = router.clone();
        let (parts, body) = request.into_parts();
        let body = Body::new(Lingering::new(&parts.headers, body, linger));
        router.oneshot(hyper::Request::from_parts(parts, body))
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(app.config().connections.header_timeout)
        // Ours answers with a problem document, this one is the backstop behind it.
        .max_headers(app.config().connections.max_header_fields.saturating_mul(2))
        .serve_connection(TokioIo::new(stream), service)
}
