//! Kinds of values: how each is written in a file, in the environment and on the command line, and printed.

/// A value as it was written.
#[derive(Clone, Debug)]
pub(super) enum Raw<'r> {
    /// A whole number of the file.
    Integer(u64),
    /// A truth value of the file.
    Bool(bool),
    /// Text: of the file, the environment or the command line.
    Text(&'r str),
    /// Something that no setting is.
    Other,
}

/// A value as it is printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// Nothing is set.
    Unset,
    /// A number or a truth value: written bare.
    Bare(String),
    /// Text: written in quotes.
    Text(String),
}

impl Shown {
    /// As a TOML value; nothing when nothing is set.
    pub(super) fn toml(&self) -> Option<String> {
        match self {
            Self::Unset => None,
            Self::Bare(text) => Some(text.clone()),
            Self::Text(text) => Some(format!("{text:?}")),
        }
    }
}

/// Whole numbers.
pub(super) mod count {
    use super::{Raw, Shown};

    pub(in super::super) const EXPECTS: &str = "a whole number";

    pub(in super::super) fn read<T: TryFrom<u64>>(raw: &Raw<'_>) -> Option<T> {
        match raw {
            Raw::Integer(value) => T::try_from(*value).ok(),
            Raw::Text(text) => T::try_from(text.parse().ok()?).ok(),
            Raw::Bool(_) | Raw::Other => None,
        }
    }

    pub(in super::super) fn show(value: &impl ToString) -> Shown {
        Shown::Bare(value.to_string())
    }
}

/// Whole numbers, or `auto`.
pub(super) mod automatic {
    use super::{Raw, Shown, count};

    pub(in super::super) const EXPECTS: &str = "a whole number, or \"auto\"";

    pub(in super::super) fn read<T: TryFrom<u64>>(raw: &Raw<'_>) -> Option<Option<T>> {
        match raw {
            Raw::Text("auto") => Some(None),
            raw => count::read(raw).map(Some),
        }
    }

    pub(in super::super) fn show(value: &Option<impl ToString>) -> Shown {
        value.as_ref().map_or_else(|| Shown::Text("auto".to_owned()), count::show)
    }
}

/// Octets: a whole number, or one with a unit that is a power of 1024.
pub(super) mod octets {
    use super::{Raw, Shown, count};

    pub(in super::super) const EXPECTS: &str = "octets: a whole number, or one like \"64 MiB\"";
    const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

    pub(in super::super) fn read<T: TryFrom<u64>>(raw: &Raw<'_>) -> Option<T> {
        if let Raw::Text(text) = raw {
            for (unit, octets) in UNITS {
                if let Some(number) = text.strip_suffix(unit) {
                    let number: u64 = number.trim_end().parse().ok()?;
                    return T::try_from(number.checked_mul(octets)?).ok();
                }
            }
        }
        count::read(raw)
    }

    pub(in super::super) fn show<T: Copy + TryInto<u64>>(value: &T) -> Shown {
        let octets: u64 = (*value).try_into().unwrap_or(u64::MAX);
        let whole = UNITS.iter().find(|(_, unit)| octets > 0 && octets.is_multiple_of(*unit));
        match whole {
            Some((name, unit)) => Shown::Text(format!("{} {name}", octets / unit)),
            None => Shown::Bare(octets.to_string()),
        }
    }
}

/// Durations: whole seconds, or a number with `ms`, `s`, `min` or `h`.
pub(super) mod time {
    use std::time::Duration;

    use super::{Raw, Shown};

    pub(in super::super) const EXPECTS: &str =
        "a duration: seconds, or one like \"500ms\", \"10s\", \"5min\", \"1h\"";

    pub(in super::super) fn read(raw: &Raw<'_>) -> Option<Duration> {
        let text = match raw {
            Raw::Integer(seconds) => return Some(Duration::from_secs(*seconds)),
            Raw::Text(text) => text.trim(),
            Raw::Bool(_) | Raw::Other => return None,
        };
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits)?;
        let number: u64 = number.parse().ok()?;
        match unit.trim_start() {
            "ms" => Some(Duration::from_millis(number)),
            "" | "s" => Some(Duration::from_secs(number)),
            "min" => number.checked_mul(60).map(Duration::from_secs),
            "h" => number.checked_mul(3600).map(Duration::from_secs),
            _ => None,
        }
    }

    pub(in super::super) fn show(value: &Duration) -> Shown {
        let seconds = value.as_secs();
        Shown::Text(match (value.subsec_millis(), seconds) {
            (0, seconds) if seconds > 0 && seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
            (0, seconds) if seconds > 0 && seconds.is_multiple_of(60) => format!("{}min", seconds / 60),
            (0, seconds) => format!("{seconds}s"),
            _ => format!("{}ms", value.as_millis()),
        })
    }
}

/// Truth values.
pub(super) mod switch {
    use super::{Raw, Shown};

    pub(in super::super) const EXPECTS: &str = "true or false";

    pub(in super::super) fn read(raw: &Raw<'_>) -> Option<bool> {
        match raw {
            Raw::Bool(value) => Some(*value),
            Raw::Text("true" | "1") => Some(true),
            Raw::Text("false" | "0") => Some(false),
            Raw::Text(_) | Raw::Integer(_) | Raw::Other => None,
        }
    }

    pub(in super::super) fn show(value: &bool) -> Shown {
        Shown::Bare(value.to_string())
    }
}

/// An address and a port.
pub(super) mod address {
    use std::net::SocketAddr;

    use super::{Raw, Shown};

    pub(in super::super) const EXPECTS: &str = "an address and a port, like \"127.0.0.1:8000\"";

    pub(in super::super) fn read(raw: &Raw<'_>) -> Option<SocketAddr> {
        match raw {
            Raw::Text(text) => text.parse().ok(),
            Raw::Integer(_) | Raw::Bool(_) | Raw::Other => None,
        }
    }

    pub(in super::super) fn show(value: &SocketAddr) -> Shown {
        Shown::Text(value.to_string())
    }
}

/// An address and a port, which may be unset.
pub(super) mod optional_address {
    use std::net::SocketAddr;

    use super::{Raw, Shown, address};

    pub(in super::super) const EXPECTS: &str = address::EXPECTS;

    pub(in super::super) fn read(raw: &Raw<'_>) -> Option<Option<SocketAddr>> {
        match raw {
            Raw::Text("") => Some(None),
            raw => address::read(raw).map(Some),
        }
    }

    pub(in super::super) fn show(value: &Option<SocketAddr>) -> Shown {
        value.as_ref().map_or(Shown::Unset, address::show)
    }
}

/// A file or a folder, which may be unset.
pub(super) mod path {
    use std::path::PathBuf;

    use super::{Raw, Shown};

    pub(in super::super) const EXPECTS: &str = "a path";

    pub(in super::super) fn read(raw: &Raw<'_>) -> Option<Option<PathBuf>> {
        match raw {
            Raw::Text("") => Some(None),
            Raw::Text(text) => Some(Some(PathBuf::from(text))),
            Raw::Integer(_) | Raw::Bool(_) | Raw::Other => None,
        }
    }

    pub(in super::super) fn show(value: &Option<PathBuf>) -> Shown {
        value.as_ref().map_or(Shown::Unset, |path| Shown::Text(path.display().to_string()))
    }
}

/// The file of tokens; without one, development mode.
pub(super) mod tokens {
    use super::{Raw, Shown, path};
    use crate::auth::AuthChoice;

    pub(in super::super) const EXPECTS: &str = "a path";

    pub(in super::super) fn read(raw: &Raw<'_>) -> Option<AuthChoice> {
        Some(path::read(raw)?.map_or(AuthChoice::Development, AuthChoice::Tokens))
    }

    pub(in super::super) fn show(value: &AuthChoice) -> Shown {
        match value {
            AuthChoice::Development => Shown::Unset,
            AuthChoice::Tokens(file) => path::show(&Some(file.clone())),
        }
    }
}

/// A module for values that are one of a few words.
macro_rules! words {
    ($(#[doc = $doc:literal])+ $name:ident: $type:ty, $expects:literal { $($word:literal => $value:path,)+ }) => {
        $(#[doc = $doc])+
        pub(super) mod $name {
            use super::{Raw, Shown};
            use super::super::*;

            pub(in super::super) const EXPECTS: &str = $expects;

            pub(in super::super) fn read(raw: &Raw<'_>) -> Option<$type> {
                match raw {
                    $(Raw::Text($word) => Some($value),)+
                    _ => None,
                }
            }

            pub(in super::super) fn show(value: &$type) -> Shown {
                Shown::Text(match value { $($value => $word,)+ }.to_owned())
            }
        }
    };
}

/// Where jobs are kept: a word, or the address of a database. A password in it is not printed.
pub(super) mod store {
    use super::super::StoreKind;
    use super::{Raw, Shown};
    use crate::store::postgres::PostgresAddress;

    pub(in super::super) const EXPECTS: &str = "\"disk\", \"memory\" or \"postgres://…\"";

    pub(in super::super) fn read(raw: &Raw<'_>) -> Option<StoreKind> {
        match raw {
            Raw::Text("disk") => Some(StoreKind::Disk),
            Raw::Text("memory") => Some(StoreKind::Memory),
            Raw::Text(text) => PostgresAddress::parse(text).map(StoreKind::Postgres),
            Raw::Integer(_) | Raw::Bool(_) | Raw::Other => None,
        }
    }

    pub(in super::super) fn show(value: &StoreKind) -> Shown {
        Shown::Text(match value {
            StoreKind::Disk => "disk".to_owned(),
            StoreKind::Memory => "memory".to_owned(),
            StoreKind::Postgres(address) => address.to_string(),
        })
    }
}

/// A folder or a bucket, which may be unset.
pub(super) mod blobs {
    use super::{Raw, Shown};
    use crate::store::BlobsAddress;

    pub(in super::super) const EXPECTS: &str = "a path, or \"s3://bucket/prefix\"";

    pub(in super::super) fn read(raw: &Raw<'_>) -> Option<Option<BlobsAddress>> {
        match raw {
            Raw::Text("") => Some(None),
            Raw::Text(text) => BlobsAddress::parse(text).map(Some),
            Raw::Integer(_) | Raw::Bool(_) | Raw::Other => None,
        }
    }

    pub(in super::super) fn show(value: &Option<BlobsAddress>) -> Shown {
        value.as_ref().map_or(Shown::Unset, |blobs| Shown::Text(blobs.to_string()))
    }
}

words! {
    /// How much is logged.
    level: LogLevel, "\"off\", \"error\", \"warn\", \"info\" or \"debug\"" {
        "off" => LogLevel::Off,
        "error" => LogLevel::Error,
        "warn" => LogLevel::Warn,
        "info" => LogLevel::Info,
        "debug" => LogLevel::Debug,
    }
}
words! {
    /// What a line of the log looks like.
    format: LogFormat, "\"text\" or \"json\"" {
        "text" => LogFormat::Text,
        "json" => LogFormat::Json,
    }
}
