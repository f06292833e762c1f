//! What containers reserve of their engine: memory and CPUs. The rules are told in `scheduler/README.md`.
//!
//! Memory is the limit (`-m`), else `--memory-reservation`. CPUs are reserved by shares, read as a number of CPUs
//! as ever (`-c 2`). A limit (`--cpus`, or quota by period) reserves none: it says what a container may use at
//! most, and how busy that can make its node. A container that was stopped holds nothing until it is started again.

use std::fmt;

use crate::docker::types::HostConfig;
use crate::engine::container::Container;

/// The kernel's period in microseconds where none is given.
const DEFAULT_PERIOD: i64 = 100_000;

/// An amount of them. CPUs are in thousandths, so that `--cpus 0.5` is exact.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resources {
    /// Bytes.
    pub memory: i64,
    /// CPUs that are reserved.
    pub milli_cpus: i64,
    /// CPUs that may be used: the limit, or what is reserved if that is more.
    pub milli_limit: i64,
}

impl Resources {
    /// What a host configuration asks for. `share_cpus` is what its CPU shares stand for, in CPUs.
    pub fn asked(host: &HostConfig, share_cpus: i64) -> Resources {
        let memory = if host.memory > 0 { host.memory } else { host.memory_reservation };
        let reserved = share_cpus.saturating_mul(1000).max(0);
        Resources { memory: memory.max(0), milli_cpus: reserved, milli_limit: reserved.max(cpu_limit(host)) }
    }

    /// What a container holds on an engine with so many CPUs.
    pub fn held(container: &Container, engine_cpus: i64) -> Resources {
        match container.life.word() {
            "exited" | "dead" => Resources::default(),
            _ => Resources::asked(&container.host, cpus_of_shares(container.host.cpu_shares, engine_cpus)),
        }
    }

    /// All of both.
    #[must_use]
    pub fn plus(self, other: Resources) -> Resources {
        Resources {
            memory: self.memory.saturating_add(other.memory),
            milli_cpus: self.milli_cpus.saturating_add(other.milli_cpus),
            milli_limit: self.milli_limit.saturating_add(other.milli_limit),
        }
    }

    /// Without the other.
    #[must_use]
    pub fn minus(self, other: Resources) -> Resources {
        Resources {
            memory: self.memory.saturating_sub(other.memory),
            milli_cpus: self.milli_cpus.saturating_sub(other.milli_cpus),
            milli_limit: self.milli_limit.saturating_sub(other.milli_limit),
        }
    }

    /// The reserved CPUs for people: `2`, `0.5`.
    pub fn cpus(self) -> Cpus {
        Cpus(self.milli_cpus)
    }
}

impl std::iter::Sum for Resources {
    fn sum<I: Iterator<Item = Resources>>(parts: I) -> Resources {
        parts.fold(Resources::default(), Resources::plus)
    }
}

/// Thousandths of a CPU, displayed as CPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpus(pub i64);

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 1000, self.0.unsigned_abs() % 1000) {
            (whole, 0) => write!(f, "{whole}"),
            (whole, part) => write!(f, "{whole}.{}", format!("{part:03}").trim_end_matches('0')),
        }
    }
}

/// The CPU limit in thousandths, rounded up; 0 if there is none.
fn cpu_limit(host: &HostConfig) -> i64 {
    if host.nano_cpus > 0 {
        return host.nano_cpus.saturating_add(999_999) / 1_000_000;
    }
    let period = if host.cpu_period > 0 { host.cpu_period } else { DEFAULT_PERIOD };
    host.cpu_quota.max(0).saturating_mul(1000).saturating_add(period - 1) / period
}

/// The engine's CPU shares as the CPUs that the user asked for with `-c N`.
pub fn cpus_of_shares(shares: i64, engine_cpus: i64) -> i64 {
    shares.saturating_mul(engine_cpus) / 1024
}

/// The shares that stand for `cpus` CPUs on an engine with `engine_cpus`, rounded up so that
/// `cpus_of_shares` gives `cpus` back.
pub fn shares_of_cpus(cpus: i64, engine_cpus: i64) -> i64 {
    match engine_cpus {
        ..=0 => cpus,
        n => cpus.saturating_mul(1024).saturating_add(n - 1) / n,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_configuration_asks_for() {
        let asked = |json: &str, share_cpus| {
            let r = Resources::asked(&serde_json::from_str(json).unwrap(), share_cpus);
            (r.memory, r.milli_cpus, r.milli_limit)
        };
        for (host, share_cpus, expected) in [
            ("{}", 0, (0, 0, 0)),
            (r#"{"Memory":500}"#, 2, (500, 2000, 2000)),
            (r#"{"Memory":500,"MemoryReservation":100}"#, 0, (500, 0, 0)),
            (r#"{"MemoryReservation":100,"MemorySwap":900}"#, 0, (100, 0, 0)),
            (r#"{"NanoCpus":1500000000}"#, 0, (0, 0, 1500)),
            (r#"{"NanoCpus":1500000000}"#, 1, (0, 1000, 1500)),
            (r#"{"NanoCpus":1500000000}"#, 2, (0, 2000, 2000)),
            (r#"{"NanoCpus":1}"#, 0, (0, 0, 1)),
            (r#"{"CpuQuota":50000}"#, 0, (0, 0, 500)),
            (r#"{"CpuQuota":50000,"CpuPeriod":25000}"#, 0, (0, 0, 2000)),
            (r#"{"CpuQuota":-1,"CpuPeriod":25000,"Memory":-1}"#, 0, (0, 0, 0)),
            (
                r#"{"NanoCpus":9223372036854775807,"Memory":9223372036854775807}"#,
                i64::MAX,
                (i64::MAX, i64::MAX, i64::MAX),
            ),
        ] {
            assert_eq!(asked(host, share_cpus), expected, "{host}");
        }
    }

    #[test]
    fn cpus_for_people() {
        for (milli, text) in
            [(0, "0"), (2000, "2"), (500, "0.5"), (1250, "1.25"), (1, "0.001"), (12_340, "12.34")]
        {
            assert_eq!(Cpus(milli).to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn shares_round_trip(cpus in 1i64..256, wanted in 1i64..256) {
            prop_assume!(wanted <= cpus);
            prop_assert_eq!(cpus_of_shares(shares_of_cpus(wanted, cpus), cpus), wanted);
        }
    }
}
