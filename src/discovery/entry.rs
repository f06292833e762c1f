//! Reads one entry of a discovery list. The texts are the classic ones, since users search for them.

use crate::discovery::Entry;
use crate::docker::endpoint::{Endpoint, split_host_port};
use crate::error::{Error, Kind, Result};

/// Reads `host:port`, `[v6]:port` or `unix:///path`; blanks around it are ignored.
///
/// Stricter than the classic tool where an entry could never be dialled: the port must be a number, the
/// host must not be empty and holds only characters of names and addresses.
pub fn parse(text: &str) -> Result<Entry> {
    let text = text.trim();
    let is_url = text.starts_with("unix://") || text.starts_with("tcp://");
    if !is_url && let Err(why) = split_host_port(text) {
        // Go, whose texts these are, leaves the address out when it is empty.
        let why = why.strip_prefix("address : ").unwrap_or(&why);
        return Err(
            Error::client(Kind::Invalid, why).advise("write host:port, [v6-address]:port or unix:///path")
        );
    }
    let entry = Endpoint::parse(text)?;
    match printable(&entry) {
        true => Ok(entry),
        false => {
            Err(Error::client(Kind::Invalid, format!("malformed address {text:?}: unexpected character"))
                .advise("write host:port, [v6-address]:port or unix:///path"))
        }
    }
}

/// Reads all; beside the entries what is wrong with those that are none. One malformed entry must not blind everybody.
pub fn parse_all(texts: impl IntoIterator<Item = String>) -> (Vec<Entry>, Vec<String>) {
    let (mut entries, mut ignored) = (Vec::new(), Vec::new());
    for text in texts.into_iter().filter(|text| !text.is_empty()) {
        match parse(&text) {
            Ok(entry) => entries.push(entry),
            Err(error) => ignored.push(error.message),
        }
    }
    (entries, ignored)
}

fn printable(entry: &Entry) -> bool {
    match entry {
        // `_` occurs in names of Docker networks, `%` in scoped IPv6 addresses.
        Endpoint::Tcp { host, .. } => {
            host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%'))
        }
        Endpoint::Unix(path) => path.to_str().is_some_and(|path| !path.chars().any(char::is_control)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_can_be_dialled() {
        for (text, printed) in [
            ("127.0.0.1:2375", "127.0.0.1:2375"),
            ("  pi_1.local:2376\r\n", "pi_1.local:2376"),
            ("[fe80::1%eth0]:2375", "[fe80::1%eth0]:2375"),
            ("unix:///run/docker.sock", "unix:///run/docker.sock"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), printed);
        }
    }

    #[test]
    fn classic_texts_for_malformed_entries() {
        for (text, message) in [
            ("badline", "address badline: missing port in address"),
            ("", "missing port in address"),
            ("a:b:c", "address a:b:c: too many colons in address"),
        ] {
            assert_eq!(parse(text).unwrap_err().message, message);
        }
        for text in ["x:http", ":2375", "a:0", "a\"b:1", "a\u{7}b:1", "h/p:1", "unix://rel"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
