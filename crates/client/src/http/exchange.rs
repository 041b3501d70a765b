//! One request and its answer, repeated when that is allowed; answers are cut at a planned size.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hei_protocol::problem::ReceivedProblem;
use ureq::http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, AsSendBody, Body};
use zeroize::Zeroizing;

use super::HttpError;
use super::problem::{self, ServerText};
use super::retry::{self, Setback};

const CONNECT: Duration = Duration::from_secs(5);
const PROBLEM_LIMIT: u64 = 64 << 10;

/// A connection pool to one origin, and the token for it.
pub(super) struct Origin {
    agent: Agent,
    base: String,
    token: Option<Zeroizing<String>>,
}

/// A request, as often as it takes.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// Path and query, starting with a slash, made of characters that need no escaping.
    pub(super) path: &'a str,
    pub(super) headers: &'a [(&'static str, &'a str)],
    pub(super) body: Option<&'a [u8]>,
    /// The longest acceptable answer.
    pub(super) limit: u64,
    /// Whether sending it twice is harmless.
    pub(super) repeatable: bool,
}

/// A success answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether the body is of the media type, parameters aside.
    pub(super) fn is(&self, media: &str) -> bool {
        let found = self.header("content-type").unwrap_or("");
        found.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case(media)
    }
}

enum Attempt {
    Done(Answer),
    Refused(ReceivedProblem, Option<u64>),
    NotSent(String),
    Lost(String),
}

impl Origin {
    pub(super) fn new(
        url: &str,
        token: Option<Zeroizing<String>>,
        authorities: Option<&[u8]>,
    ) -> Result<Self, HttpError> {
        let uri: Uri = url.parse().map_err(|_| HttpError::InvalidUrl)?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(HttpError::InvalidUrl)?;
        let authority = uri.authority().ok_or(HttpError::InvalidUrl)?.as_str();
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(HttpError::InvalidUrl),
        };
        if authority.contains('@') || uri.query().is_some() || url.contains('#') {
            return Err(HttpError::InvalidUrl);
        }
        let loopback = is_loopback(host);
        if let Some(token) = &token {
            let printable = (1..=512).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic());
            if !printable {
                return Err(HttpError::InvalidToken);
            }
            if !secure && !loopback {
                return Err(HttpError::InsecureToken);
            }
        }
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            // A redirect is an answer we do not follow: neither token nor ciphertext goes to another origin.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .tls_config(tls(authorities)?)
            .timeout_connect(Some(CONNECT))
            .user_agent(concat!("hei/", env!("CARGO_PKG_VERSION")));
        if loopback {
            config = config.proxy(None);
        }
        let base = url.trim_end_matches('/').to_owned();
        Ok(Self { agent: config.build().new_agent(), base, token })
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Sends a call until it succeeds, must not be repeated, or the deadline passes.
    pub(super) fn send(&self, call: &Call<'_>, deadline: Instant) -> Result<Answer, HttpError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(HttpError::Deadline);
            }
            let outcome = self.once(call, left)?;
            let setback = match &outcome {
                Attempt::Done(_) => None,
                Attempt::Refused(problem, after) => Some(Setback::Problem(problem, *after)),
                Attempt::NotSent(_) => Some(Setback::NotSent),
                Attempt::Lost(_) => Some(Setback::Lost),
            };
            let pause = setback.and_then(|s| retry::pause(attempt, &s, call.repeatable, jitter()));
            match (pause, outcome) {
                (_, Attempt::Done(answer)) => return Ok(answer),
                // Compared as durations: a server may ask for a pause that no clock can hold.
                (Some(pause), _) if pause < deadline.saturating_duration_since(Instant::now()) => {
                    std::thread::sleep(pause);
                }
                (_, Attempt::Refused(problem, _)) => return Err(HttpError::Problem(Box::new(problem))),
                (_, Attempt::Lost(cause)) if !call.repeatable => {
                    return Err(HttpError::UnknownOutcome { cause: ServerText::new(&cause) });
                }
                (_, Attempt::NotSent(cause) | Attempt::Lost(cause)) => {
                    return Err(HttpError::Unreachable {
                        url: self.base.clone(),
                        attempts: attempt,
                        cause: ServerText::new(&cause),
                    });
                }
            }
        }
    }

    fn once(&self, call: &Call<'_>, left: Duration) -> Result<Attempt, HttpError> {
        let mut request =
            Request::builder().method(call.method.clone()).uri(format!("{}{}", self.base, call.path));
        for (name, value) in call.headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = &self.token {
            let value = Zeroizing::new(format!("Bearer {}", token.as_str()));
            let mut value = header::HeaderValue::from_str(&value).map_err(|_| HttpError::InvalidToken)?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        // A call without a body has no content-length either; only POST sends one here.
        let sent = match call.body {
            Some(body) => self.run(request.body(body), left),
            None => self.run(request.body(()), left),
        };
        let (parts, body) = match sent {
            Ok(response) => response.into_parts(),
            Err(error) => return classify(&error),
        };
        let success = parts.status.is_success();
        if parts.status.is_redirection() {
            return Err(HttpError::Redirected { status: parts.status.as_u16() });
        }
        let limit = if success { call.limit } else { PROBLEM_LIMIT };
        // The library's limit is exclusive of a body of exactly that size: allow one byte more, then look.
        let read = body.into_with_config().limit(limit.saturating_add(1)).read_to_vec();
        let body = match read {
            Ok(body) if body.len() as u64 <= limit => body,
            Ok(_) | Err(ureq::Error::BodyExceedsLimit(_)) if success => {
                return Err(HttpError::TooLarge { limit });
            }
            Ok(_) | Err(ureq::Error::BodyExceedsLimit(_)) => Vec::new(),
            Err(error) => return classify(&error),
        };
        if success {
            return Ok(Attempt::Done(Answer { status: parts.status, headers: parts.headers, body }));
        }
        let after = parts.headers.get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
        Ok(Attempt::Refused(problem::read(parts.status.as_u16(), &body), after))
    }

    fn run<B: AsSendBody>(
        &self,
        request: Result<Request<B>, ureq::http::Error>,
        left: Duration,
    ) -> Result<Response<Body>, ureq::Error> {
        let request = self.agent.configure_request(request?).timeout_global(Some(left)).build();
        self.agent.run(request)
    }
}

/// Sorts transport errors by what may have reached the server.
fn classify(error: &ureq::Error) -> Result<Attempt, HttpError> {
    let cause = describe(error);
    match error {
        ureq::Error::Timeout(ureq::Timeout::Global) => Err(HttpError::Deadline),
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => Err(HttpError::InvalidUrl),
        ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::Tls(_)
        | ureq::Error::Rustls(_)
        | ureq::Error::Timeout(ureq::Timeout::Resolve | ureq::Timeout::Connect) => {
            Ok(Attempt::NotSent(cause))
        }
        ureq::Error::Io(io) if io.kind() == std::io::ErrorKind::ConnectionRefused => {
            Ok(Attempt::NotSent(cause))
        }
        _ => Ok(Attempt::Lost(cause)),
    }
}

fn describe(error: &ureq::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// TLS with hybrid post-quantum key exchange first, trusting these authorities, or those the world trusts.
fn tls(authorities: Option<&[u8]>) -> Result<TlsConfig, HttpError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = TlsConfig::builder().unversioned_rustls_crypto_provider(provider);
    let Some(pem) = authorities else { return Ok(config.build()) };
    let mut trusted = Vec::new();
    for item in parse_pem(pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|_| HttpError::InvalidAuthority)? {
            trusted.push(certificate);
        }
    }
    if trusted.is_empty() {
        return Err(HttpError::InvalidAuthority);
    }
    Ok(config.root_certs(RootCerts::Specific(Arc::new(trusted))).build())
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Spreads clients that failed together; if the system has no randomness, waiting the full time is safe.
fn jitter() -> u32 {
    let mut bytes = [0xff; 4];
    let _ = getrandom::fill(&mut bytes);
    u32::from_le_bytes(bytes)
}
