//! Scalars as users write them: Go durations, integers, booleans.
//!
//! Pure text in, value out. Not here: which key takes which unit (`keys`), listening addresses (`listen`).

use std::time::Duration;

const NANOS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000), // U+00B5, micro sign
    ("μs", 1_000), // U+03BC, Greek mu
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads a Go duration (`300ms`, `1.5h`, `-1m30s`, `0`) as signed nanoseconds.
///
/// # Errors
/// The text Go's library gives, since the classic messages quote it.
pub fn parse_nanos(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let number_ends = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(number_ends);
        let unit_ends = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_ends);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(invalid());
        }
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {text:?}"));
        }
        let (_, scale) = NANOS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(|| format!("time: unknown unit {unit:?} in duration {text:?}"))?;
        let piece = scaled(whole, fraction, *scale).ok_or_else(invalid)?;
        total += piece;
        if total > i128::from(i64::MAX) {
            return Err(invalid());
        }
        rest = tail;
    }
    let signed = if negative { -total } else { total };
    i64::try_from(signed).map_err(|_| invalid())
}

/// `whole.fraction` times `scale`, in whole nanoseconds; `None` when it cannot be a duration.
fn scaled(whole: &str, fraction: &str, scale: u64) -> Option<i128> {
    let scale = i128::from(scale);
    let whole: i128 = match whole {
        "" => 0,
        digits => digits.parse::<i64>().ok()?.into(),
    };
    // 18 digits are below a nanosecond for every unit; more would only overflow.
    let digits = &fraction[..fraction.len().min(18)];
    let part = match digits {
        "" => 0,
        _ => digits.parse::<i128>().ok()? * scale / 10_i128.pow(u32::try_from(digits.len()).ok()?),
    };
    Some(whole * scale + part)
}

/// Writes a duration as Go prints it: `1m30s`, `1m0s`, `1.5s`, `300ms`, `0s`. [`parse_nanos`] reads it back.
pub fn format_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    match nanos {
        0 => "0s".into(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => format!("{}µs", decimal(nanos, 1_000)),
        1_000_000..1_000_000_000 => format!("{}ms", decimal(nanos, 1_000_000)),
        _ => {
            let minutes = nanos / 60_000_000_000;
            let seconds = decimal(nanos % 60_000_000_000, 1_000_000_000);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{seconds}s"),
                (0, m) => format!("{m}m{seconds}s"),
                (h, m) => format!("{h}h{m}m{seconds}s"),
            }
        }
    }
}

/// `value / unit` without trailing zeros.
fn decimal(value: u128, unit: u128) -> String {
    let width = unit.ilog10() as usize;
    let text = format!("{}.{:0width$}", value / unit, value % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

/// Reads an integer as Go's flags do: decimal, `0x…`, `0…` (octal), with an optional sign.
pub fn parse_integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let magnitude = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) if !hex.starts_with(['+', '-']) => i64::from_str_radix(hex, 16).ok()?,
        Some(_) => return None,
        None if digits.len() > 1 && digits.starts_with('0') => i64::from_str_radix(&digits[1..], 8).ok()?,
        None => digits.parse().ok()?,
    };
    Some(if negative { -magnitude } else { magnitude })
}

/// Reads a boolean: 1 0 t f T F true false TRUE FALSE True False, nothing else.
pub fn parse_boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_as_go_reads_them() {
        for (text, nanos) in [
            ("0", 0),
            ("-0", 0),
            ("300ms", 300_000_000),
            ("1.5h", 5_400_000_000_000),
            ("1m30s", 90_000_000_000),
            ("-2s", -2_000_000_000),
            ("+3us", 3_000),
            ("4µs", 4_000),
            ("5μs", 5_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("7ns", 7),
        ] {
            assert_eq!(parse_nanos(text), Ok(nanos), "{text}");
        }
    }

    #[test]
    fn bad_durations_carry_gos_text() {
        for (text, error) in [
            ("", "time: invalid duration \"\""),
            ("-", "time: invalid duration \"-\""),
            ("abc", "time: invalid duration \"abc\""),
            ("5", "time: missing unit in duration \"5\""),
            ("1m30", "time: missing unit in duration \"1m30\""),
            ("5d", "time: unknown unit \"d\" in duration \"5d\""),
            (".s", "time: invalid duration \".s\""),
            ("1.2.3s", "time: invalid duration \"1.2.3s\""),
            ("99999999h", "time: invalid duration \"99999999h\""),
            (" 1s", "time: invalid duration \" 1s\""),
            ("1s ", "time: unknown unit \"s \" in duration \"1s \""),
        ] {
            assert_eq!(parse_nanos(text), Err(error.into()), "{text}");
        }
    }

    #[test]
    fn durations_print_as_go_prints_them() {
        for (millis, text) in
            [(60_000, "1m0s"), (90_500, "1m30.5s"), (3_600_000, "1h0m0s"), (300, "300ms"), (1_500, "1.5s")]
        {
            assert_eq!(format_duration(Duration::from_millis(millis)), text);
        }
        assert_eq!(format_duration(Duration::from_nanos(1_500)), "1.5µs");
    }

    proptest! {
        #[test]
        fn any_duration_survives_printing(nanos in 0..i64::MAX) {
            let printed = format_duration(Duration::from_nanos(nanos.unsigned_abs()));
            prop_assert_eq!(parse_nanos(&printed), Ok(nanos));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,12}") {
            let _ = parse_nanos(&text);
            let _ = parse_integer(&text);
        }

        #[test]
        fn number_soup_never_panics(text in "[-+0-9.nuµmsh]{0,30}") {
            let _ = parse_nanos(&text);
        }
    }

    #[test]
    fn integers_and_booleans() {
        for (text, value) in [("12", 12), ("0x1F", 31), ("010", 8), ("-3", -3), ("0", 0), ("+4", 4)] {
            assert_eq!(parse_integer(text), Some(value), "{text}");
        }
        for text in ["", "x", "1.5", "09", "0x", "--1", "0x-1", "1 "] {
            assert_eq!(parse_integer(text), None, "{text}");
        }
        assert_eq!(parse_boolean("T"), Some(true));
        assert_eq!(parse_boolean("False"), Some(false));
        for text in ["yes", "on", "tRUE", ""] {
            assert_eq!(parse_boolean(text), None, "{text}");
        }
    }
}
