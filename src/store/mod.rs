//! Key-value stores: consul, etcd and ZooKeeper, as much of them as discovery and election need.
//!
//! Each client makes one attempt for each call, over its endpoints in turn, and says what came of it. It never
//! retries and never sleeps: who calls owns the loop. What the keys mean is *not* known here.

pub mod access;
pub mod address;
pub mod codec;
pub mod consul;
pub mod etcd;
pub mod etcd_v2;
#[cfg(test)]
mod fake_tests;
pub mod fault;
pub mod hosts;
pub mod zk;

use std::fmt;
use std::time::Duration;

pub use access::Access;
pub use address::Address;

/// How long one call may take when its owner says nothing else: connecting, asking and answering, over all
/// endpoints together.
pub const DEADLINE: Duration = Duration::from_secs(5);
/// How long a wait for a change lasts at most. Its owner then looks again, which also finds out whether the
/// store is still there.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The key-value stores of the classic tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum StoreKind {
    Consul,
    Etcd,
    Zookeeper,
}

impl StoreKind {
    /// The port where a URL names none.
    pub fn port(self) -> u16 {
        match self {
            StoreKind::Consul => 8500,
            StoreKind::Etcd => 2379,
            StoreKind::Zookeeper => 2181,
        }
    }
}

/// The scheme of its URLs.
impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StoreKind::Consul => "consul",
            StoreKind::Etcd => "etcd",
            StoreKind::Zookeeper => "zk",
        })
    }
}
