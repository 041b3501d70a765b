//! Identifiers: of jobs, requests, keys, models and their versions.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::encoding::{from_hex, to_hex};

/// Text that is not an identifier of the wanted kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not a job id.
    #[error("a job id is 32 lower-case hexadecimal digits")]
    Job,
    /// Not a key id.
    #[error("a key id is 64 lower-case hexadecimal digits")]
    Key,
    /// Not a model id.
    #[error("a model id is 1 to 64 characters of a-z, 0-9, '.', '_' and '-', the first a letter or digit")]
    Model,
    /// Not a model version.
    #[error("a model version is MAJOR.MINOR.PATCH with an optional -PRERELEASE, at most 64 characters")]
    Version,
}

/// Serialized as its text, read back through `FromStr`.
macro_rules! as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

fn fixed_lower_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    from_hex(text).ok()?.try_into().ok()
}

/// A job: 128 bits that the server draws at random, so that an id cannot be guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId([u8; 16]);

impl JobId {
    /// The id of these random octets.
    pub fn from_bytes(random: [u8; 16]) -> Self {
        JobId(random)
    }

    /// The octets of the id.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&to_hex(&self.0))
    }
}

impl FromStr for JobId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        fixed_lower_hex(text).map(JobId).ok_or(IdError::Job)
    }
}

as_text!(JobId);

/// An evaluation key: the SHA-256 of its container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 32]);

impl KeyId {
    /// The id of a container with this digest.
    pub fn from_digest(digest: [u8; 32]) -> Self {
        KeyId(digest)
    }

    /// The digest.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&to_hex(&self.0))
    }
}

impl FromStr for KeyId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        fixed_lower_hex(text).map(KeyId).ok_or(IdError::Key)
    }
}

as_text!(KeyId);

/// One exchange: a version-4 UUID of 122 random bits, on every answer as `X-Request-Id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId([u8; 16]);

impl RequestId {
    /// The version-4 UUID of these random octets; six of their bits are replaced by the version.
    pub fn from_bytes(random: [u8; 16]) -> Self {
        let bits = u128::from_be_bytes(random);
        let versioned = bits & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
        RequestId(versioned.to_be_bytes())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = u128::from_be_bytes(self.0);
        write!(
            formatter,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            bits >> 96,
            bits >> 80 & 0xffff,
            bits >> 64 & 0xffff,
            bits >> 48 & 0xffff,
            bits & 0xffff_ffff_ffff
        )
    }
}

/// The name of a model: `^[a-z0-9][a-z0-9._-]{0,63}$`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelId(String);

impl ModelId {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for ModelId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let starts = text.bytes().next().is_some_and(plain);
        if starts && text.len() <= 64 && text.bytes().all(|byte| plain(byte) || b"._-".contains(&byte)) {
            Ok(ModelId(text.to_owned()))
        } else {
            Err(IdError::Model)
        }
    }
}

as_text!(ModelId);

/// The version of a model, by Semantic Versioning 2.0.0 without build metadata. Ordered by precedence.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModelVersion {
    text: String,
    core: [u64; 3],
}

impl ModelVersion {
    /// The version as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn prerelease(&self) -> Option<&str> {
        self.text.split_once('-').map(|(_, prerelease)| prerelease)
    }
}

impl fmt::Display for ModelVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// A decimal number without leading zeros.
fn decimal(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !plain || (text.len() > 1 && text.starts_with('0')) { None } else { text.parse().ok() }
}

fn is_prerelease_identifier(text: &str) -> bool {
    let numeric = text.bytes().all(|byte| byte.is_ascii_digit());
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    plain && (!numeric || decimal(text).is_some())
}

impl FromStr for ModelVersion {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.len() > 64 {
            return Err(IdError::Version);
        }
        let (core, prerelease) = match text.split_once('-') {
            Some((core, prerelease)) => (core, Some(prerelease)),
            None => (text, None),
        };
        let mut numbers = core.split('.').map(decimal);
        let mut next = || numbers.next().flatten().ok_or(IdError::Version);
        let core = [next()?, next()?, next()?];
        if numbers.next().is_some()
            || prerelease.is_some_and(|all| !all.split('.').all(is_prerelease_identifier))
        {
            return Err(IdError::Version);
        }
        Ok(ModelVersion { text: text.to_owned(), core })
    }
}

impl Ord for ModelVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_prerelease = || match (self.prerelease(), other.prerelease()) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(a), Some(b)) => compare_prereleases(a, b),
        };
        self.core.cmp(&other.core).then_with(by_prerelease)
    }
}

impl PartialOrd for ModelVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn compare_prereleases(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.split('.'), b.split('.'));
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => match (decimal(a), decimal(b)) {
                (Some(a), Some(b)) => a.cmp(&b),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => a.cmp(b),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

as_text!(ModelVersion);
