//! What goes wrong on the way to a store or registry, in words that name the cure.

use crate::docker::http::Client;
use crate::error::{Error, Kind};

/// How a peer is called in texts.
#[derive(Clone, Copy)]
pub struct Peer<'a> {
    /// With its article: `the token registry`, `etcd`.
    pub name: &'a str,
    /// The URL.
    pub shown: &'a str,
    /// Whether it is spoken to in TLS.
    pub secure: bool,
    /// The options that make TLS: `the tls options`, `kv.cacertfile, kv.certfile and kv.keyfile`.
    pub tls_options: &'a str,
}

/// The HTTP client speaks of Docker daemons; here it is `peer`.
pub fn explain(peer: Peer<'_>, client: &Client, error: &Error) -> Error {
    let Peer { name, shown, .. } = peer;
    // The reason stands behind the address, which ends with the port.
    let address = client.endpoint().to_string();
    let reasons = [format!("{address}: "), format!("{address} broke off: ")];
    let why =
        reasons.iter().find_map(|mark| Some(error.message.split_once(mark)?.1)).unwrap_or(&error.message);
    let message = match error.kind {
        Kind::Timeout => format!("{name} at {shown} did not answer in time"),
        Kind::Protocol => format!("{name} at {shown} cannot be understood: {why}"),
        _ => format!("cannot reach {name} at {shown}: {why}"),
    };
    Error::store(error.kind, message).advise(advice(peer, error.kind, why))
}

fn advice(peer: Peer<'_>, kind: Kind, why: &str) -> String {
    let Peer { name, secure, tls_options, .. } = peer;
    let says = |words: &[&str]| words.iter().any(|word| why.contains(word));
    match kind {
        Kind::Timeout => "is that machine up, and does a firewall drop packets to that port?".to_string(),
        _ if secure && says(&["InvalidContentType", "corrupt message", "handshake eof"]) => {
            format!("that port does not speak https: name the one that does, or leave {tls_options} out")
        }
        _ if secure && says(&["UnknownIssuer"]) => {
            format!("its certificate was signed by another CA than the one in {tls_options}")
        }
        _ if secure && says(&["NotValidForName"]) => {
            "its certificate does not carry this name or address: write one that it carries".to_string()
        }
        _ if secure && says(&["alert"]) => {
            format!(
                "it refuses our certificate: is the one in {tls_options} signed by the CA that it trusts?"
            )
        }
        Kind::Protocol if secure => "does it speak https, and with a certificate of your CA?".to_string(),
        Kind::Protocol => format!("does it want https? Then give {tls_options}"),
        Kind::Broken if !secure => {
            format!("is it running there? If it wants https, give {tls_options}")
        }
        _ => format!("is {name} running, and listening on that address?"),
    }
}
