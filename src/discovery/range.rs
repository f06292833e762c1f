//! Ranges in entry patterns: `10.0.0.[1:100]:2375` stands for a hundred entries.
//!
//! Both ends are included; leading zeros are ignored; a range that runs backwards stands for nothing.
//! Brackets around anything else are left alone, so that `[fe80::1]:2375` survives. The classic tool
//! understood one range per entry; here there may be two.

use crate::error::{Error, Kind, Result};

/// Most entries that one list may stand for.
pub const MOST_ENTRIES: usize = 65_536;
/// Most ranges in one pattern.
const MOST_RANGES: usize = 2;

/// A pattern, cut at its ranges: `texts` has one item more than `ranges`.
struct Cut<'a> {
    texts: Vec<&'a str>,
    ranges: Vec<(u64, u64)>,
}

/// Appends what `pattern` stands for to `out`, the rightmost range running fastest.
///
/// Errors: more than two ranges, or a list of more than [`MOST_ENTRIES`].
pub fn expand_into(pattern: &str, out: &mut Vec<String>) -> Result<()> {
    let Cut { texts, ranges } = cut(pattern);
    if ranges.len() > MOST_RANGES {
        return Err(invalid(format!("{pattern:?} has more than {MOST_RANGES} ranges")));
    }
    if ranges.iter().any(|(from, to)| to < from) {
        return Ok(());
    }
    let room = (MOST_ENTRIES - out.len().min(MOST_ENTRIES)) as u64;
    let size = |(from, to): &(u64, u64)| (to - from).saturating_add(1);
    if ranges.iter().map(size).fold(1, u64::saturating_mul) > room {
        return Err(invalid(format!("{pattern:?} makes the list longer than {MOST_ENTRIES} entries")));
    }
    let mut made = vec![texts[0].to_string()];
    for (text, (from, to)) in texts[1..].iter().zip(ranges) {
        made = made.iter().flat_map(|head| (from..=to).map(move |n| format!("{head}{n}{text}"))).collect();
    }
    out.append(&mut made);
    Ok(())
}

fn cut(pattern: &str) -> Cut<'_> {
    let (mut texts, mut ranges) = (Vec::new(), Vec::new());
    let (mut text_from, mut look_from) = (0, 0);
    while let Some(open) = pattern[look_from..].find('[').map(|at| look_from + at) {
        let inside = pattern[open + 1..].split_once(']').map(|(inside, _)| inside);
        look_from = open + 1;
        if let Some(inside) = inside
            && let Some(range) = read_range(inside)
        {
            texts.push(&pattern[text_from..open]);
            ranges.push(range);
            text_from = open + inside.len() + 2;
            look_from = text_from;
        }
    }
    texts.push(&pattern[text_from..]);
    Cut { texts, ranges }
}

fn read_range(inside: &str) -> Option<(u64, u64)> {
    let (from, to) = inside.split_once(':')?;
    Some((read_number(from)?, read_number(to)?))
}

fn read_number(text: &str) -> Option<u64> {
    // `parse` alone would let a plus sign pass.
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn invalid(message: String) -> Error {
    Error::client(Kind::Invalid, message).advise("name fewer machines in one pattern")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn expand(pattern: &str) -> Vec<String> {
        let mut out = Vec::new();
        expand_into(pattern, &mut out).unwrap();
        out
    }

    #[test]
    fn expands_ranges_and_nothing_else() {
        for (pattern, expected) in [
            ("h:1", vec!["h:1"]),
            ("10.0.0.[1:3]:2375", vec!["10.0.0.1:2375", "10.0.0.2:2375", "10.0.0.3:2375"]),
            ("h:[2:4]375", vec!["h:2375", "h:3375", "h:4375"]),
            ("h[08:10]:1", vec!["h8:1", "h9:1", "h10:1"]),
            ("h[3:1]:1", vec![]),
            ("[fe80::1]:2375", vec!["[fe80::1]:2375"]),
            ("[::1]:[1:2]", vec!["[::1]:1", "[::1]:2"]),
            ("h[+1:2]:1", vec!["h[+1:2]:1"]),
            ("h[1:2:1", vec!["h[1:2:1"]),
            ("[[1:2]", vec!["[1", "[2"]),
            ("a[1:2]b[3:4]c", vec!["a1b3c", "a1b4c", "a2b3c", "a2b4c"]),
            (
                "10.0.1.[15:16]:[2:3]375",
                vec!["10.0.1.15:2375", "10.0.1.15:3375", "10.0.1.16:2375", "10.0.1.16:3375"],
            ),
        ] {
            assert_eq!(expand(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn bounds() {
        let mut out = Vec::new();
        expand_into("h[1:65536]:1", &mut out).unwrap();
        assert_eq!(out.len(), MOST_ENTRIES);
        assert!(expand_into("one:more", &mut out).is_err());
        for pattern in [
            "h[0:65536]:1",
            "h[1:18446744073709551615]:1",
            "h[0:18446744073709551615]x[0:18446744073709551615]",
            "[1:2][1:2][1:2]",
        ] {
            assert!(expand_into(pattern, &mut Vec::new()).is_err(), "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_never_exceeds_the_bound(pattern in "[\\[\\]:0-9a]{0,24}") {
            let mut out = Vec::new();
            let _ = expand_into(&pattern, &mut out);
            prop_assert!(out.len() <= MOST_ENTRIES);
        }

        #[test]
        fn counts_as_written(from in 0u64..500, count in 1u64..50) {
            let out = expand(&format!("h[{from}:{}]:1", from + count - 1));
            prop_assert_eq!(out.len() as u64, count);
            prop_assert_eq!(&out[0], &format!("h{from}:1"));
        }
    }
}
