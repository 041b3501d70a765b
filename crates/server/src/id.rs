//! Whose a request is, and which request it is: tenants and idempotency keys.

use std::fmt;
use std::sync::Arc;

/// Octets from the operating system's random source.
///
/// # Errors
/// When the operating system has no randomness to give.
pub(crate) fn random_octets() -> Result<[u8; 16], getrandom::Error> {
    let mut octets = [0; 16];
    getrandom::fill(&mut octets)?;
    Ok(octets)
}

/// The isolation unit: every job, result, idempotency record and quota belongs to one tenant.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tenant(Arc<str>);

/// Why a tenant name was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a tenant name has 1 to {MAX_TENANT_BYTES} visible ASCII characters")]
pub struct InvalidTenant;

/// The longest tenant name.
pub const MAX_TENANT_BYTES: usize = 128;

impl Tenant {
    /// The tenant of a request that names none.
    pub const DEFAULT: &'static str = "default";

    /// Reads a tenant name as a header carries it; an absent or blank one is `default`.
    ///
    /// # Errors
    /// [`InvalidTenant`] when it is longer than [`MAX_TENANT_BYTES`] or not visible ASCII.
    pub fn from_header(value: Option<&[u8]>) -> Result<Self, InvalidTenant> {
        let name = value.unwrap_or_default().trim_ascii();
        if name.len() > MAX_TENANT_BYTES || !name.iter().all(u8::is_ascii_graphic) {
            return Err(InvalidTenant);
        }
        let name = std::str::from_utf8(name).map_err(|_| InvalidTenant)?;
        Ok(Self(if name.is_empty() { Self::DEFAULT } else { name }.into()))
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Tenant({} bytes)", self.0.len())
    }
}

/// An idempotency key: 1 to 255 visible ASCII characters, unquoted.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(Box<str>);

/// Why an `Idempotency-Key` was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "an idempotency key is a structured-field string or a bare token of 1 to 255 visible ASCII characters"
)]
pub struct InvalidIdempotencyKey;

impl IdempotencyKey {
    /// Reads the header's value: `"text"` with the escapes `\"` and `\\`, or the bare text. Both forms of one
    /// text are one key.
    ///
    /// # Errors
    /// [`InvalidIdempotencyKey`] for anything else.
    pub fn parse(value: &[u8]) -> Result<Self, InvalidIdempotencyKey> {
        let value = value.trim_ascii();
        let mut text = String::new();
        if let Some(quoted) = value.strip_prefix(b"\"") {
            let inner = quoted.strip_suffix(b"\"").ok_or(InvalidIdempotencyKey)?;
            let mut bytes = inner.iter().copied();
            while let Some(byte) = bytes.next() {
                let byte = match byte {
                    b'\\' => bytes
                        .next()
                        .filter(|next| matches!(next, b'"' | b'\\'))
                        .ok_or(InvalidIdempotencyKey)?,
                    b'"' => return Err(InvalidIdempotencyKey),
                    plain => plain,
                };
                text.push(char::from(byte));
            }
        } else {
            if value.contains(&b'"') {
                return Err(InvalidIdempotencyKey);
            }
            text.extend(value.iter().copied().map(char::from));
        }
        Self::from_text(&text)
    }

    /// The key of an unquoted text.
    ///
    /// # Errors
    /// [`InvalidIdempotencyKey`] when it is empty, longer than 255 octets or not visible ASCII.
    pub fn from_text(text: &str) -> Result<Self, InvalidIdempotencyKey> {
        if text.is_empty() || text.len() > 255 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidIdempotencyKey);
        }
        Ok(Self(text.into()))
    }

    /// The unquoted text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "IdempotencyKey({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_an_idempotency_key_are_one_key() {
        let bare = IdempotencyKey::parse(b"abc-1").unwrap();
        assert_eq!(IdempotencyKey::parse(b"\"abc-1\"").unwrap(), bare);
        assert_eq!(IdempotencyKey::parse(b" abc-1 ").unwrap(), bare);
        assert_eq!(IdempotencyKey::parse(br#""a\"b""#).unwrap().0.as_ref(), "a\"b");
        let long = "x".repeat(256);
        for bad in ["", "\"\"", "\"abc", "a\"b", "a b", "\"a\\x\"", "\u{e9}", &long] {
            assert_eq!(IdempotencyKey::parse(bad.as_bytes()), Err(InvalidIdempotencyKey), "{bad:?}");
        }
    }

    #[test]
    fn a_blank_tenant_is_the_default_and_a_long_one_is_refused() {
        assert_eq!(Tenant::from_header(None).unwrap().name(), "default");
        assert_eq!(Tenant::from_header(Some(b"  ")).unwrap().name(), "default");
        assert_eq!(Tenant::from_header(Some(b"acme")).unwrap().name(), "acme");
        assert_eq!(Tenant::from_header(Some(&[b'a'; 129])), Err(InvalidTenant));
        assert_eq!(Tenant::from_header(Some("é".as_bytes())), Err(InvalidTenant));
        assert_eq!(Tenant::from_header(Some(b"a b")), Err(InvalidTenant));
    }
}
