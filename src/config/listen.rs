//! Listening addresses: `[proto://]addr` of `--host` and `manager.host`.
//!
//! It only reads and prints them, and says which are reachable from elsewhere. Binding is `systemd::sockets`.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use super::Listen;

impl Listen {
    /// Reads `[tcp://][host]:port`, `unix:///path`, `fd://` or `fd://name`.
    ///
    /// # Errors
    /// The classic `unsupported protocol: "x"`, or what is wrong with the address.
    pub fn parse(text: &str) -> Result<Listen, String> {
        let (proto, address) = text.split_once("://").unwrap_or(("tcp", text));
        match proto {
            "tcp" => tcp(address),
            "unix" if address.starts_with('/') => Ok(Listen::Unix(PathBuf::from(address))),
            "unix" => Err(format!("address {text}: a unix socket needs an absolute path (unix:///run/...)")),
            "fd" => Ok(Listen::Inherited(Some(address).filter(|name| !name.is_empty()).map(str::to_string))),
            _ => Err(format!("unsupported protocol: {proto:?}")),
        }
    }

    /// Whether other machines can reach this address, as far as the address alone tells: TCP beyond
    /// loopback. Inherited sockets are judged when they are known, see [`super::exposure::guard_inherited`].
    pub fn is_exposed(&self) -> bool {
        match self {
            Listen::Tcp { host, .. } if host == "localhost" => false,
            Listen::Tcp { host, .. } => !host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()),
            Listen::Unix(_) | Listen::Inherited(_) => false,
        }
    }
}

fn tcp(address: &str) -> Result<Listen, String> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, tail) =
                rest.split_once(']').ok_or_else(|| format!("address {address}: missing ']' in address"))?;
            (host, tail.strip_prefix(':').ok_or_else(|| no_port(address))?)
        }
        None => address.rsplit_once(':').ok_or_else(|| no_port(address))?,
    };
    if host.contains(':') && !address.starts_with('[') {
        return Err(format!("address {address}: too many colons in address"));
    }
    if host.contains(|c: char| c.is_whitespace() || c == '/') {
        return Err(format!("address {address}: malformed host"));
    }
    match port.parse::<u16>() {
        Ok(port) if !host.contains('%') || host.contains(':') => {
            Ok(Listen::Tcp { host: host.to_string(), port })
        }
        Ok(_) => Err(format!("address {address}: malformed host")),
        Err(_) => Err(format!("address {address}: port must be a number up to 65535")),
    }
}

fn no_port(address: &str) -> String {
    format!("address {address}: missing port in address")
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Listen::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
            Listen::Unix(path) => write!(f, "unix://{}", path.display()),
            Listen::Inherited(name) => write!(f, "fd://{}", name.as_deref().unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_all_forms() {
        for (text, printed, exposed) in [
            (":3376", "tcp://:3376", true),
            ("0.0.0.0:3376", "tcp://0.0.0.0:3376", true),
            ("[::]:3376", "tcp://[::]:3376", true),
            ("tcp://127.0.0.1:2375", "tcp://127.0.0.1:2375", false),
            ("tcp://127.9.9.9:0", "tcp://127.9.9.9:0", false),
            ("[::1]:1", "tcp://[::1]:1", false),
            ("localhost:3376", "tcp://localhost:3376", false),
            ("pi1:3376", "tcp://pi1:3376", true),
            ("unix:///run/swarmd.sock", "unix:///run/swarmd.sock", false),
            ("fd://", "fd://", false),
            ("fd://api", "fd://api", false),
        ] {
            let listen = Listen::parse(text).unwrap();
            assert_eq!(listen.to_string(), printed);
            assert_eq!(listen.is_exposed(), exposed, "{text}");
            assert_eq!(Listen::parse(printed), Ok(listen));
        }
    }

    #[test]
    fn refuses_with_the_reason() {
        for (text, error) in [
            ("udp://1.2.3.4:5", "unsupported protocol: \"udp\""),
            ("http://x:1", "unsupported protocol: \"http\""),
            ("127.0.0.1", "address 127.0.0.1: missing port in address"),
            ("", "address : missing port in address"),
            ("a:b:1", "address a:b:1: too many colons in address"),
            ("[::1:1", "address [::1:1: missing ']' in address"),
            ("[::1]", "address [::1]: missing port in address"),
            ("h:99999", "address h:99999: port must be a number up to 65535"),
            ("h:1/x", "address h:1/x: port must be a number up to 65535"),
            ("a b:1", "address a b:1: malformed host"),
            ("unix://rel", "address unix://rel: a unix socket needs an absolute path (unix:///run/...)"),
        ] {
            assert_eq!(Listen::parse(text), Err(error.into()), "{text}");
        }
    }
}
