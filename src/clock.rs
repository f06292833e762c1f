//! The one place that reads the clocks. Everything else takes the time as an argument.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds since the Unix epoch.
#[allow(clippy::disallowed_methods, reason = "this is the edge")]
pub fn unix_nanos() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Seconds since the Unix epoch.
pub fn unix_seconds() -> i64 {
    unix_nanos() / 1_000_000_000
}

/// Time since this machine was booted. Nobody sets this clock, and unlike that of timers it runs on while the
/// machine sleeps: what is too old by it is too old.
pub fn since_boot() -> Duration {
    // Linux has this clock since 2.6.39; without it no lease would ever look valid, which is safe.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::MAX, Duration::from)
}

/// An RFC 3339 time stamp in UTC with whole seconds, as `docker info` shows it.
pub fn rfc3339(unix_seconds: i64) -> String {
    jiff::Timestamp::from_second(unix_seconds).unwrap_or_default().to_string()
}

/// Parses RFC 3339 as engines write it (nanoseconds, `Z` or an offset). `None` for anything else, and for
/// Go's zero time, which engines use for "never".
pub fn parse_rfc3339_nanos(text: &str) -> Option<i64> {
    if text.starts_with("0001-01-01") {
        return None;
    }
    let stamp: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(stamp.as_nanosecond()).ok()
}

/// A moment as filters and `since`/`until` tell it, in nanoseconds since the epoch: seconds with an optional
/// fraction, a date with or without a time, or a duration in Go's form (`1h30m`) that counts back from `now`.
pub fn parse_moment(text: &str, now: i64) -> Option<i64> {
    let duration = || parse_duration(text).map(|ago| now.saturating_sub(ago));
    parse_seconds(text).or_else(duration).or_else(|| parse_date(text))
}

/// `1700000000` or `1700000000.000000001`, exactly. A fraction counts in nanoseconds, so `.5` is 500 ms.
pub fn parse_seconds(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fine = fraction.len() <= 9 && fraction.bytes().all(|b| b.is_ascii_digit());
    let nanos: i64 = format!("{fraction:0<9}").parse().ok().filter(|_| fine)?;
    let seconds: i64 = whole.parse().ok()?;
    seconds.checked_mul(1_000_000_000)?.checked_add(if whole.starts_with('-') { -nanos } else { nanos })
}

fn parse_date(text: &str) -> Option<i64> {
    // Without an offset a time is UTC: the engine's own zone is not ours to know.
    let complete = match text.len() {
        10 => format!("{text}T00:00:00Z"),
        11.. if !text.ends_with('Z') && !text.get(11..)?.contains(['+', '-']) => format!("{text}Z"),
        _ => text.to_string(),
    };
    i64::try_from(complete.parse::<jiff::Timestamp>().ok()?.as_nanosecond()).ok()
}

fn parse_duration(text: &str) -> Option<i64> {
    const UNITS: [(&str, f64); 7] =
        [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 6e10), ("h", 3.6e12)];
    let (mut rest, mut total) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        total += number * UNITS.iter().find(|(unit, _)| *unit == &rest[..end])?.1;
        rest = &rest[end..];
    }
    #[allow(clippy::cast_possible_truncation, reason = "casts of floats saturate")]
    (!text.is_empty()).then_some(total as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_in_all_forms() {
        let now = 10_000_000_000_000;
        for (text, nanos) in [
            ("1700000000", Some(1_700_000_000_000_000_000)),
            ("1700000000.000000001", Some(1_700_000_000_000_000_001)),
            ("1.5", Some(1_500_000_000)),
            ("-1.5", Some(-1_500_000_000)),
            ("1h30m", Some(now - 5_400_000_000_000)),
            ("1.5s", Some(now - 1_500_000_000)),
            ("100ms", Some(now - 100_000_000)),
            ("1970-01-02", Some(86_400_000_000_000)),
            ("1970-01-01T00:00:01", Some(1_000_000_000)),
            ("1970-01-01T00:00:01.5Z", Some(1_500_000_000)),
            ("1970-01-01T01:00:01+01:00", Some(1_000_000_000)),
            ("yesterday", None),
            ("", None),
            ("1.0000000001", None),
            ("5parsecs", None),
        ] {
            assert_eq!(parse_moment(text, now), nanos, "{text}");
        }
    }
}
