//! One connection: TLS where it is spoken, then HTTP/1.1 or HTTP/2 as agreed, each under limits.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::Watcher;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tower::ServiceExt;

use crate::app::App;
use crate::frames::Counted;
use crate::http::Lingering;
use crate::tls::Tls;

/// Streams of one HTTP/2 connection at once.
const STREAMS: u32 = 64;
/// Streams that a client opened and reset before they were served, at once.
const RESET_STREAMS: usize = 64;
/// Streams that were reset here for errors of the client's, in a connection's life.
const ERROR_STREAMS: usize = 256;
/// How often an HTTP/2 connection is asked whether anybody is there, and how long an answer may take.
const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));
/// Octets of answers that wait for one stream's client.
const SEND_BUFFER: usize = 256 << 10;

/// Serves a connection to its end.
pub(crate) async fn serve(stream: TcpStream, router: Router, app: &App, tls: Option<Tls>, watcher: Watcher) {
    // Answers are small and whole; waiting to fill a segment only delays them.
    drop(stream.set_nodelay(true));
    let linger = app.config().body.linger;
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let router = router.clone();
        let (parts, body) = request.into_parts();
        let body = Body::new(Lingering::new(&parts.headers, body, linger));
        router.oneshot(hyper::Request::from_parts(parts, body))
    });
    let ended = match tls {
        None => first(stream, service, app, watcher).await,
        Some(tls) => {
            let handshake = tls.acceptor().accept(stream);
            let stream = match tokio::time::timeout(tls.handshake_timeout, handshake).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => return tracing::debug!("a TLS handshake took too long"),
            };
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                second(stream, service, app, watcher).await
            } else {
                first(stream, service, app, watcher).await
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

/// HTTP/1.1.
async fn first<S>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    service: S,
    app: &App,
    watcher: Watcher,
) -> hyper::Result<()>
where
    S: Service<hyper::Request<Incoming>, Response = Response, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
{
    let connections = &app.config().connections;
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(connections.header_timeout)
        // Ours answers with a problem document, this one is the backstop behind it.
        .max_headers(connections.max_header_fields.saturating_mul(2))
        .serve_connection(TokioIo::new(stream), service);
    watcher.watch(connection).await
}

/// HTTP/2.
async fn second<S>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    service: S,
    app: &App,
    watcher: Watcher,
) -> hyper::Result<()>
where
    S: Service<hyper::Request<Incoming>, Response = Response, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
{
    let connections = &app.config().connections;
    let stream = Counted::new(stream, connections.header_timeout);
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(connections.max_header_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(RESET_STREAMS)
        .max_local_error_reset_streams(ERROR_STREAMS)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING.0)
        .keep_alive_timeout(PING.1)
        .serve_connection(TokioIo::new(stream), service);
    watcher.watch(connection).await
}

/// Connections by address.
pub(crate) struct Addresses {
    most: Option<usize>,
    counts: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection that counts for its address while it lives.
pub(crate) struct Counting {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Addresses {
    /// Without a number, no limit.
    pub(crate) fn new(most: Option<usize>) -> Arc<Self> {
        Arc::new(Self { most, counts: Mutex::default() })
    }

    /// Counts a connection; none for an address that has as many as it may.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Counting> {
        let address = prefix(address);
        if let Some(most) = self.most {
            let mut counts = crate::locked(&self.counts);
            let count = counts.entry(address).or_insert(0);
            if *count >= most {
                return None;
            }
            *count += 1;
        }
        Some(Counting { addresses: Arc::clone(self), address })
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        let mut counts = crate::locked(&self.addresses.counts);
        if let Some(count) = counts.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// Of IPv6 the half that names a network: whoever has one address has all of it.
fn prefix(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_connections_and_gives_them_back() {
        let addresses = Addresses::new(Some(2));
        let at = |address: &str| addresses.enter(address.parse().unwrap());
        let held: Vec<_> = [at("2001:db8::1"), at("2001:db8::2")].into_iter().flatten().collect();
        assert_eq!(held.len(), 2);
        assert!(at("2001:db8::3").is_none(), "one network is one address");
        assert!(at("2001:db8:0:1::3").is_some());
        let four = at("192.0.2.1");
        let mapped = at("::ffff:192.0.2.1");
        assert!(four.is_some() && mapped.is_some() && at("192.0.2.1").is_none());
        drop(held);
        assert!(at("2001:db8::3").is_some());
        drop((four, mapped));
        assert!(crate::locked(&addresses.counts).is_empty());
        let unlimited = Addresses::new(None);
        assert!((0..100).all(|_| unlimited.enter("192.0.2.1".parse().unwrap()).is_some()));
    }
}
