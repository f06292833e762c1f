//! Where a request to the registry came from: decided by who accepted the connection, never by what it says.

use std::net::IpAddr;

/// Where a request came from, as far as rights depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// This process.
    InProcess,
    /// A unix socket.
    Unix,
    /// TCP from this machine.
    Loopback,
    /// TCP from elsewhere, with a client certificate that was verified.
    Verified,
    /// TCP from elsewhere.
    Remote,
}

impl Origin {
    /// The origin of a TCP connection from `peer`; `verified` = it showed a good client certificate.
    pub fn of_tcp(peer: IpAddr, verified: bool) -> Origin {
        match (peer.to_canonical().is_loopback(), verified) {
            (true, _) => Origin::Loopback,
            (false, true) => Origin::Verified,
            (false, false) => Origin::Remote,
        }
    }

    /// Whether it is on this machine, so that a unix socket means the same file.
    pub fn is_local(self) -> bool {
        matches!(self, Origin::InProcess | Origin::Unix | Origin::Loopback)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_seen_in_all_spellings() {
        for (peer, verified, origin) in [
            ("127.0.0.9", false, Origin::Loopback),
            ("::1", true, Origin::Loopback),
            ("::ffff:127.0.0.1", false, Origin::Loopback),
            ("10.0.0.1", false, Origin::Remote),
            ("10.0.0.1", true, Origin::Verified),
        ] {
            assert_eq!(Origin::of_tcp(peer.parse().unwrap(), verified), origin, "{peer}");
        }
    }
}
