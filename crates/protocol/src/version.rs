//! Versions of the protocol itself.

/// The protocol version this crate speaks; in every response header and JSON body.
pub const API_VERSION: &str = "1.0.0";
/// The header that names the protocol version, in both directions.
pub const API_VERSION_HEADER: &str = "api-version";
/// What a client may ask for; the fact `supported_versions` of `UNSUPPORTED_API_VERSION`.
pub const SUPPORTED_VERSIONS: [&str; 1] = [API_VERSION];
/// How many minor versions of major 1 this crate speaks, from 0.
const MINORS: u64 = 1;
/// The longest version text; more is not read.
const MAX_LENGTH: usize = 32;

/// The text asks for a version that this crate does not speak, or is no version at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this protocol version is not supported; supported: {API_VERSION} (write \"v1\", \"1\" or \"1.0\")")]
pub struct UnsupportedVersion;

/// Checks a version a request names, in the member or in the header:
/// `^(v?1|1\.[0-9]+(\.[0-9]+)?)$`, the minor not above ours, the patch ignored.
pub fn check(text: &str) -> Result<(), UnsupportedVersion> {
    if text.len() > MAX_LENGTH {
        return Err(UnsupportedVersion);
    }
    if matches!(text, "1" | "v1") {
        return Ok(());
    }
    let mut numbers = text.strip_prefix("1.").ok_or(UnsupportedVersion)?.split('.');
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let minor = numbers.next().filter(|part| digits(part)).ok_or(UnsupportedVersion)?;
    let patch_reads = numbers.next().is_none_or(digits);
    let minor_is_ours = minor.parse::<u64>().is_ok_and(|minor| minor < MINORS);
    if patch_reads && numbers.next().is_none() && minor_is_ours { Ok(()) } else { Err(UnsupportedVersion) }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn accepts_the_aliases_of_version_one() {
        for text in ["1", "v1", "1.0", "1.0.0", "1.0.7", "1.00"] {
            assert!(check(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn refuses_every_other_text() {
        for text in
            ["", "v", "2", "v2", "2.0.0", "0.9", "1.1", "1.99", "v1.0", "1.", "1.0.", "1.0.0.0", "1.x"]
        {
            assert!(check(text).is_err(), "{text}");
        }
        assert!(
            check(" 1").is_err() && check("1.0.0-rc1").is_err() && check("1.18446744073709551616").is_err()
        );
        assert!(check(&"1".repeat(1000)).is_err());
    }
}
