//! Identifiers: jobs, requests, tenants, idempotency keys.

use std::fmt;
use std::sync::Arc;

/// The name of a job: 128 random bits, written as 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId([u8; 16]);

impl JobId {
    /// Draws a fresh id from the operating system.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Reads exactly 32 lower-case hexadecimal digits; anything else names no job.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 32 || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        let mut bytes = [0; 16];
        faster_hex::hex_decode(text.as_bytes(), &mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// The 16 bytes of the id.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&faster_hex::hex_string(&self.0))
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "JobId({self})")
    }
}

/// A version-4 UUID for one request: in `X-Request-Id`, in problems and in the log.
///
/// # Errors
/// When the operating system has no randomness to give.
pub fn request_id() -> Result<String, getrandom::Error> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes)?;
    let number = (u128::from_be_bytes(bytes) & !(0xf << 76) & !(0b11 << 62)) | (4 << 76) | (0b10 << 62);
    let digits = format!("{number:032x}");
    let mut text = String::with_capacity(36);
    for (position, digit) in digits.chars().enumerate() {
        if matches!(position, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    Ok(text)
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
#[error("an idempotency key is a structured-field string or a bare token of 1 to 255 visible ASCII characters")]
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
                    b'\\' => bytes.next().filter(|next| matches!(next, b'"' | b'\\')).ok_or(InvalidIdempotencyKey)?,
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
        if text.is_empty() || text.len() > 255 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidIdempotencyKey);
        }
        Ok(Self(text.into()))
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
    fn job_ids_are_32_lower_case_hex_digits_and_nothing_else() {
        let id = JobId::random().unwrap();
        assert_eq!(JobId::parse(&id.to_string()), Some(id));
        for bad in ["", "0123", &"A".repeat(32), &"0".repeat(33), &"é".repeat(16), "../..", &"g".repeat(32)] {
            assert_eq!(JobId::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn request_ids_are_version_4_uuids() {
        let id = request_id().unwrap();
        let parts: Vec<&str> = id.split('-').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert!(parts[2].starts_with('4'), "{id}");
        assert!(matches!(parts[3].as_bytes()[0], b'8' | b'9' | b'a' | b'b'), "{id}");
    }

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
