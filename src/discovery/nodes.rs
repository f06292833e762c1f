//! `nodes://`: the list is in the URL itself. Read once, never again.

use crate::discovery::{Entry, entry, range};
use crate::error::{Error, Kind, Result, Side};

/// The classic hint: whoever passes a bare token without its scheme ends up here.
const HINT: &str = "please check you are using the correct discovery (missing token:// ?)";

/// Reads `pattern,pattern,...`. An empty item is an error, as is one malformed entry.
pub fn parse(rest: &str) -> Result<Vec<Entry>> {
    let mut expanded = Vec::new();
    for pattern in rest.split(',') {
        range::expand_into(pattern.trim(), &mut expanded).map_err(hint)?;
    }
    expanded.iter().map(|text| entry::parse(text).map_err(hint)).collect()
}

fn hint(error: Error) -> Error {
    Error {
        side: Side::Us,
        kind: Kind::Config,
        message: format!("{}, {HINT}", error.message),
        advice: error.advice,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(rest: &str) -> Vec<String> {
        parse(rest).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn reads_lists_ranges_and_sockets() {
        assert_eq!(printed("a:1, b:2"), ["a:1", "b:2"]);
        assert_eq!(printed("10.0.0.[1:2]:2375,[::1]:1"), ["10.0.0.1:2375", "10.0.0.2:2375", "[::1]:1"]);
        assert_eq!(printed("unix:///var/run/docker.sock"), ["unix:///var/run/docker.sock"]);
        assert_eq!(printed("h[2:1]:1"), Vec::<String>::new());
    }

    #[test]
    fn malformed_lists_hint_at_the_missing_scheme() {
        for (rest, start) in [
            ("0123456789abcdef", "address 0123456789abcdef: missing port in address, "),
            ("a:1,,b:1", "missing port in address, "),
            ("", "missing port in address, "),
            ("h[1:2]x[3:4]:1:1", "address h1x3:1:1: too many colons in address, "),
        ] {
            let error = parse(rest).unwrap_err();
            assert_eq!(error.message, format!("{start}{HINT}"), "{rest}");
            assert_eq!(error.kind, Kind::Config);
        }
        assert!(parse("10.[0:255].[0:256].1:1").unwrap_err().message.ends_with(HINT));
    }
}
