//! The operator's listener: series, health, readiness. It is not where clients are, takes no credentials, and shows
//! nothing that names a tenant.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};

use crate::app::App;
use crate::auth::is_loopback_host;
use crate::metrics;
use crate::serve::StartError;

/// Connections held at once.
const CONNECTIONS: usize = 16;
/// How long a connection may take to send a header section, and may idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to pause after the operating system refused a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The listener, before it accepts.
pub(crate) struct Admin {
    listener: TcpListener,
    address: SocketAddr,
}

/// Ends the listener with the value.
pub(crate) struct Serving(AbortHandle);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Admin {
    pub(crate) async fn bind(address: SocketAddr) -> Result<Self, StartError> {
        let listen = |cause| StartError::Listen { address, cause };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        Ok(Self { listener, address })
    }

    pub(crate) const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers as long as the returned value lives.
    pub(crate) fn serve(self, app: Arc<App>) -> Serving {
        let Self { listener, address } = self;
        tracing::info!(%address, "the operator's listener is open");
        Serving(tokio::spawn(accept(listener, address, app)).abort_handle())
    }
}

async fn accept(listener: TcpListener, address: SocketAddr, app: Arc<App>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    // Connections end with the listener.
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        let app = Arc::clone(&app);
        connections.spawn(async move {
            let service = service_fn(|request| answer(request, address, Arc::clone(&app)));
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = served.await {
                tracing::debug!(%error, "an operator's connection ended");
            }
            drop(permit);
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    address: SocketAddr,
    app: Arc<App>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, media, body) = if !is_meant(request.headers(), address) {
        // A page in a browser on this machine must not read this under a name of its own.
        (
            StatusCode::MISDIRECTED_REQUEST,
            "text/plain",
            "this listener answers to its own address only\n".to_owned(),
        )
    } else if !matches!(*request.method(), Method::GET | Method::HEAD) {
        (StatusCode::METHOD_NOT_ALLOWED, "text/plain", "GET or HEAD\n".to_owned())
    } else {
        match request.uri().path() {
            "/metrics" => (StatusCode::OK, metrics::MEDIA_TYPE, app.series().await),
            "/health" => (StatusCode::OK, "text/plain", "ok\n".to_owned()),
            "/health/ready" if app.is_ready() && app.check_capacity().await.is_ok() => {
                (StatusCode::OK, "text/plain", "ready\n".to_owned())
            }
            "/health/ready" => (StatusCode::SERVICE_UNAVAILABLE, "text/plain", "not ready\n".to_owned()),
            _ => (StatusCode::NOT_FOUND, "text/plain", "/metrics, /health, /health/ready\n".to_owned()),
        }
    };
    let body = if request.method() == Method::HEAD { Bytes::new() } else { Bytes::from(body) };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// On loopback, whether the request is addressed to loopback; elsewhere every name is somebody's.
fn is_meant(headers: &HeaderMap, address: SocketAddr) -> bool {
    if !address.ip().to_canonical().is_loopback() {
        return true;
    }
    headers.get_all(HOST).iter().all(|host| is_loopback_host(host.as_bytes()))
}
