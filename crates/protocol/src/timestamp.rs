//! Points in time as the protocol writes them: RFC 3339, UTC, milliseconds. Reading a clock is the caller's.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted. At most the end of the year 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// The last millisecond that RFC 3339 can write.
const MAX_MILLIS: u64 = 253_402_300_799_999;

/// The text is not a timestamp of this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 timestamp in UTC such as 2026-01-31T08:00:00.000Z")]
pub struct TimestampError;

impl Timestamp {
    /// The point `millis` after the epoch; clamped to the end of the year 9999.
    pub fn from_unix_millis(millis: u64) -> Self {
        Timestamp(millis.min(MAX_MILLIS))
    }

    /// Milliseconds since the epoch.
    pub fn unix_millis(self) -> u64 {
        self.0
    }

    /// This point `seconds` later.
    pub fn plus_seconds(self, seconds: u64) -> Self {
        Timestamp::from_unix_millis(self.0.saturating_add(seconds.saturating_mul(1000)))
    }

    /// Reads `YYYY-MM-DDThh:mm:ss[.fraction]Z`; digits beyond milliseconds are dropped.
    pub fn parse(text: &str) -> Result<Self, TimestampError> {
        let number = |from: usize, to: usize| -> Result<u64, TimestampError> {
            let digits = text.get(from..to).ok_or(TimestampError)?;
            if digits.bytes().all(|byte| byte.is_ascii_digit()) {
                digits.parse().map_err(|_| TimestampError)
            } else {
                Err(TimestampError)
            }
        };
        let mark = |at: usize, mark: &str| {
            if text.get(at..at + mark.len()) == Some(mark) { Ok(()) } else { Err(TimestampError) }
        };
        for (at, separator) in [(4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":")] {
            mark(at, separator)?;
        }
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        if !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) || year < 1970 {
            return Err(TimestampError);
        }
        if hour > 23 || minute > 59 || second > 59 {
            return Err(TimestampError);
        }
        let tail = text.get(19..).ok_or(TimestampError)?.strip_suffix('Z').ok_or(TimestampError)?;
        let millis = match tail.strip_prefix('.') {
            None if tail.is_empty() => 0,
            Some(fraction)
                if (1..=9).contains(&fraction.len())
                    && fraction.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                format!("{fraction:0<3}").get(..3).and_then(|ms| ms.parse().ok()).ok_or(TimestampError)?
            }
            _ => return Err(TimestampError),
        };
        let days = days_from_civil(year, month, day);
        Ok(Timestamp((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + millis))
    }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in_month(year: u64, month: u64) -> u64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since the epoch; months are counted from March so that the leap day ends the year.
fn days_from_civil(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era_days) = (shifted / 146_097, shifted % 146_097);
    let of_era = (of_era_days - of_era_days / 1460 + of_era_days / 36_524 - of_era_days / 146_096) / 365;
    let of_year = of_era_days - (365 * of_era + of_era / 4 - of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + of_era + u64::from(month <= 2);
    (year, month, day)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0 / 1000, self.0 % 1000);
        let (days, of_day) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil_from_days(days);
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        write!(formatter, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

impl std::str::FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        Timestamp::parse(text)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Timestamp::parse(&text).map_err(serde::de::Error::custom)
    }
}
