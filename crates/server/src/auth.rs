//! Who is asking: bearer tokens, their scopes, and the tenant that follows from them. A tenant comes from the token
//! and from nowhere else; only development mode, on loopback, takes a tenant's word for it.

pub mod tokens;

use std::path::PathBuf;
use std::sync::Arc;

use hei_protocol::{Problem, ProblemCode};
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::id::Tenant;
use crate::sampling::admits_refusal_audit;
use tokens::{TokenError, TokenFile, TokenTable};

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Submitting, reading and deleting jobs.
    Infer,
    /// Storing, reading about and deleting evaluation keys.
    Keys,
    /// The extension `plain-inference`.
    Plain,
    /// What only an operator may do.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 4] = [Self::Infer, Self::Keys, Self::Plain, Self::Admin];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Infer => "infer",
            Self::Keys => "keys",
            Self::Plain => "plain",
            Self::Admin => "admin",
        }
    }
}

/// How callers are told apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AuthChoice {
    /// `X-Tenant-ID` is believed. For loopback only; requests must be addressed to a loopback name.
    #[default]
    Development,
    /// A bearer token of this file.
    Tokens(PathBuf),
}

/// The choice at work.
pub(crate) enum Auth {
    Development,
    Tokens(TokenTable),
}

/// What a request says of its sender, as the headers have it.
pub(crate) struct Credentials<'h> {
    /// Every `Authorization`.
    pub(crate) authorization: Vec<&'h [u8]>,
    /// Every `X-Tenant-ID`.
    pub(crate) tenant: Vec<&'h [u8]>,
}

impl Auth {
    pub(crate) fn start(choice: &AuthChoice, clock: Arc<dyn Clock>) -> Result<Self, TokenError> {
        Ok(match choice {
            AuthChoice::Development => Self::Development,
            AuthChoice::Tokens(path) => {
                Self::Tokens(TokenTable::open(Box::new(TokenFile(path.clone())), clock)?)
            }
        })
    }

    /// Whether tenants are believed.
    pub(crate) const fn is_development(&self) -> bool {
        matches!(self, Self::Development)
    }

    /// Whose request it is, if the sender may do what `scope` names.
    pub(crate) fn tenant(&self, credentials: &Credentials<'_>, scope: Scope) -> Result<Tenant, Problem> {
        let table = match self {
            Self::Development => return named(credentials),
            Self::Tokens(table) => table,
        };
        let found = match credentials.authorization.as_slice() {
            [only] => bearer(only).and_then(|token| table.find(token)),
            _ => None,
        };
        let Some((tenant, scopes)) = found else {
            if !credentials.authorization.is_empty() && admits_refusal_audit() {
                tracing::warn!(target: "audit", "a token was refused");
            }
            return Err(Problem::new(ProblemCode::Unauthenticated));
        };
        let other = credentials.tenant.iter().any(|name| !name.trim_ascii().is_empty())
            && named(credentials).ok().as_ref() != Some(&tenant);
        if other || !scopes.contains(&scope) {
            let reason = if other { "tenant" } else { "scope" };
            if admits_refusal_audit() {
                tracing::warn!(target: "audit", reason, scope = scope.as_str(), "a token does not allow a request");
            }
            return Err(Problem::new(ProblemCode::Forbidden).because(reason));
        }
        Ok(tenant)
    }

    /// Whose request it is, whatever it asks for.
    pub(crate) fn known(&self, credentials: &Credentials<'_>) -> Option<Tenant> {
        match (self, credentials.authorization.as_slice()) {
            (Self::Development, _) => named(credentials).ok(),
            (Self::Tokens(table), [only]) => {
                bearer(only).and_then(|token| table.find(token)).map(|found| found.0)
            }
            (Self::Tokens(_), _) => None,
        }
    }

    /// The same, where nobody in particular may ask too.
    pub(crate) fn tenant_if_any(
        &self,
        credentials: &Credentials<'_>,
        scope: Scope,
    ) -> Result<Option<Tenant>, Problem> {
        if !self.is_development() && credentials.authorization.is_empty() {
            return Ok(None);
        }
        self.tenant(credentials, scope).map(Some)
    }
}

/// The tenant that a request names.
fn named(credentials: &Credentials<'_>) -> Result<Tenant, Problem> {
    let refused = || Problem::invalid_field("", "tenant");
    match credentials.tenant.as_slice() {
        [] => Tenant::from_header(None).map_err(|_| refused()),
        [only] => Tenant::from_header(Some(only)).map_err(|_| refused()),
        _ => Err(refused()),
    }
}

/// The token of an `Authorization` field.
fn bearer(field: &[u8]) -> Option<&str> {
    let (scheme, token) = std::str::from_utf8(field).ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether a `Host` field names this machine's loopback, with or without a port. A page of another origin that has
/// its name resolve to loopback is found out by it.
pub(crate) fn is_loopback_host(field: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(field) else { return false };
    let port = |rest: &str| {
        rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
    };
    if let Some(rest) = host.strip_prefix("[::1]") {
        return port(rest);
    }
    let (name, rest) = host.split_at(host.find(':').unwrap_or(host.len()));
    let address = name.parse::<std::net::Ipv4Addr>();
    (name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback()))
        && port(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_loopback() {
        for good in ["localhost", "LOCALHOST:80", "127.0.0.1", "127.1.2.3:8000", "[::1]", "[::1]:1"] {
            assert!(is_loopback_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            "example.com",
            "localhost.example.com",
            "127.0.0.1.example.com",
            "10.0.0.1",
            "localhost:",
            "localhost:x",
            "127.0.0.1:99999",
            "[::2]",
            "[::1]x",
            "::1",
            "localhost:80:80",
            "0.0.0.0",
        ] {
            assert!(!is_loopback_host(bad.as_bytes()), "{bad}");
        }
        assert!(!is_loopback_host(&[0xff]));
    }

    #[test]
    fn a_bearer_token_is_read_and_nothing_else() {
        assert_eq!(bearer(b"Bearer abc"), Some("abc"));
        assert_eq!(bearer(b"bearer  abc "), Some("abc"));
        for bad in [b"Basic abc".as_slice(), b"Bearerabc", b"abc", b"", &[0xff, b' ', b'x']] {
            assert_eq!(bearer(bad), None);
        }
    }
}
