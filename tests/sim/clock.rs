//! The simulator's wall clock, with the skew that a fault may give an engine. It is *not* a virtual clock:
//! programs that sleep do sleep.

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970, shifted by `skew_seconds`.
#[allow(clippy::disallowed_methods, reason = "this is the edge")]
pub fn now(skew_seconds: i64) -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX) + skew_seconds * 1_000_000_000
}

/// RFC 3339 with nanoseconds, as engines print; a time of zero is Go's zero time.
pub fn rfc3339(nanos: i64) -> String {
    match nanos {
        0 => "0001-01-01T00:00:00Z".to_string(),
        n => {
            jiff::Timestamp::from_nanosecond(i128::from(n)).map_or_else(|_| String::new(), |t| t.to_string())
        }
    }
}

/// Reads the times of `since` and `until`: seconds with an optional fraction, or RFC 3339.
pub fn parse(text: &str) -> Option<i64> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return i64::try_from(time.as_nanosecond()).ok();
    }
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    Some(seconds.parse::<i64>().ok()?.checked_mul(1_000_000_000)? + digits.parse::<i64>().ok()?)
}

/// The words that engines use for a span in `Up 3 minutes`.
pub fn human(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    match () {
        () if seconds < 1 => "Less than a second".to_string(),
        () if seconds == 1 => "1 second".to_string(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_string(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_string(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 14 => format!("{} days", hours / 24),
        () if hours < 24 * 60 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 730 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", hours / 24 / 365),
    }
}
