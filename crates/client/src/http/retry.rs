//! When to try again, and after how long.

use std::time::Duration;

use hei_protocol::problem::ReceivedProblem;

/// Attempts per call, the first included.
pub(super) const ATTEMPTS: u32 = 5;
const BASE: Duration = Duration::from_millis(200);
const CAP: Duration = Duration::from_secs(10);

/// Why an exchange gave no usable answer.
pub(super) enum Setback<'a> {
    /// Nothing was sent: refused, no route, handshake failed.
    NotSent,
    /// The connection broke after sending may have begun.
    Lost,
    /// The server answered with a problem, perhaps with `Retry-After` in seconds.
    Problem(&'a ReceivedProblem, Option<u64>),
}

/// How long to wait before attempt `attempt + 1`, or `None` when it must not be made.
///
/// `repeatable` says that the request may be sent twice: a safe or idempotent method, or a POST with a key.
/// `jitter` is uniform in `0..=u32::MAX`.
pub(super) fn pause(attempt: u32, setback: &Setback<'_>, repeatable: bool, jitter: u32) -> Option<Duration> {
    if attempt >= ATTEMPTS {
        return None;
    }
    let backoff = BASE
        .saturating_mul(1 << (attempt - 1).min(16))
        .min(CAP)
        .mul_f64(f64::from(jitter) / f64::from(u32::MAX));
    match setback {
        Setback::NotSent => Some(backoff),
        Setback::Lost => repeatable.then_some(backoff),
        Setback::Problem(problem, after) => {
            if !problem.retryable {
                return None;
            }
            // The server knows better than a guess where it says when.
            let told = matches!(problem.status, 429 | 503 | 409).then_some(*after).flatten();
            Some(told.map_or(backoff, Duration::from_secs))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(status: u16, retryable: bool) -> ReceivedProblem {
        ReceivedProblem::from_json(status, format!(r#"{{"code":"X","retryable":{retryable}}}"#).as_bytes())
    }

    #[test]
    fn backoff_has_full_jitter_doubles_and_is_capped() {
        let most = |attempt| pause(attempt, &Setback::NotSent, false, u32::MAX).unwrap();
        assert_eq!([most(1), most(2), most(3), most(4)].map(|d| d.as_millis()), [200, 400, 800, 1600]);
        assert_eq!(pause(1, &Setback::NotSent, false, 0), Some(Duration::ZERO));
        assert_eq!(pause(ATTEMPTS, &Setback::NotSent, true, 0), None);
    }

    #[test]
    fn a_lost_connection_is_repeated_only_when_that_is_harmless() {
        assert!(pause(1, &Setback::Lost, true, 0).is_some());
        assert!(pause(1, &Setback::Lost, false, 0).is_none());
    }

    #[test]
    fn the_servers_word_wins() {
        let told = |status, retryable, after| {
            pause(1, &Setback::Problem(&problem(status, retryable), after), true, u32::MAX)
        };
        assert_eq!(told(429, true, Some(7)), Some(Duration::from_secs(7)));
        assert_eq!(told(503, true, Some(2)), Some(Duration::from_secs(2)));
        assert_eq!(told(409, true, Some(1)), Some(Duration::from_secs(1)));
        assert_eq!(told(408, true, Some(9)), Some(Duration::from_millis(200)));
        assert_eq!(told(503, false, Some(2)), None);
        assert_eq!(told(400, false, None), None);
    }
}
