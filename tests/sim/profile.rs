//! What one simulated engine is: its version and make-up. Plain data; *not* its changing state.

use std::collections::BTreeMap;

/// Which engine is imitated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// Debian's stable engine: API 1.41, oldest client 1.12.
    V20_10,
    /// API 1.51, oldest client 1.24.
    V28_5,
    /// API 1.52, oldest client 1.44.
    V29_0,
}

impl Release {
    /// Reads `20.10`, `28.5` or `29.0`.
    pub fn parse(text: &str) -> Option<Release> {
        match text {
            "20.10" => Some(Release::V20_10),
            "28.5" => Some(Release::V28_5),
            "29.0" => Some(Release::V29_0),
            _ => None,
        }
    }

    /// The engine's version.
    pub fn version(self) -> &'static str {
        match self {
            Release::V20_10 => "20.10.24",
            Release::V28_5 => "28.5.2",
            Release::V29_0 => "29.0.4",
        }
    }

    /// Minor numbers of the newest and the oldest API version 1.x that it speaks.
    pub fn api(self) -> (u32, u32) {
        match self {
            Release::V20_10 => (41, 12),
            Release::V28_5 => (51, 24),
            Release::V29_0 => (52, 44),
        }
    }
}

/// What to start an engine with.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Its host name.
    pub name: String,
    /// Its ID; derived from the name if empty.
    pub id: String,
    /// Which release it imitates.
    pub release: Release,
    /// Where it listens; port 0 takes any.
    pub listen: String,
    /// Daemon labels.
    pub labels: BTreeMap<String, String>,
    /// Architecture, in the words of images: `amd64`, `arm64`, `arm/v7`.
    pub architecture: String,
    /// Processors.
    pub ncpu: u32,
    /// Memory in bytes.
    pub mem_total: u64,
    /// Images that are there from the start.
    pub images: Vec<String>,
    /// What the imaginary registry holds, without a tag: any tag can be pulled.
    pub registry: Vec<String>,
    /// How many containers run from the start.
    pub containers: usize,
    /// Whether those carry no swarm ID label, as if made past any manager.
    pub foreign: bool,
    /// Labels of those containers.
    pub container_labels: BTreeMap<String, String>,
    /// What `GET /containers/x/export` yields, in MiB.
    pub export_mib: usize,
}

impl Default for Profile {
    fn default() -> Profile {
        let strings = |all: &[&str]| all.iter().map(ToString::to_string).collect();
        Profile {
            name: "node-0".to_string(),
            id: String::new(),
            release: Release::V28_5,
            listen: "127.0.0.1:0".to_string(),
            labels: BTreeMap::new(),
            architecture: "amd64".to_string(),
            ncpu: 4,
            mem_total: 4 << 30,
            images: strings(&["busybox:latest"]),
            registry: strings(&["busybox", "alpine", "redis", "nginx", "hello-world"]),
            containers: 0,
            foreign: false,
            container_labels: BTreeMap::new(),
            export_mib: 1,
        }
    }
}

impl Profile {
    /// The default profile under another name.
    pub fn named(name: &str) -> Profile {
        Profile { name: name.to_string(), ..Profile::default() }
    }

    /// The same for another release.
    #[must_use]
    pub fn release(mut self, release: Release) -> Profile {
        self.release = release;
        self
    }

    /// The same on another architecture.
    #[must_use]
    pub fn architecture(mut self, architecture: &str) -> Profile {
        self.architecture = architecture.to_string();
        self
    }

    /// The architecture in the words of a kernel.
    pub fn machine(&self) -> &str {
        match self.architecture.as_str() {
            "amd64" => "x86_64",
            "386" => "i686",
            "arm64" => "aarch64",
            "arm/v7" => "armv7l",
            "arm/v6" => "armv6l",
            other => other,
        }
    }

    /// The ID: as given, else five groups of four letters that follow from the name.
    pub fn engine_id(&self) -> String {
        if !self.id.is_empty() {
            return self.id.clone();
        }
        let mut random = fastrand::Rng::with_seed(seed(&self.name));
        match self.release {
            Release::V20_10 => (0..12)
                .map(|_| {
                    (0..4)
                        .map(|_| char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[random.usize(..32)]))
                        .collect()
                })
                .collect::<Vec<String>>()
                .join(":"),
            _ => {
                let hex = format!("{:032x}", random.u128(..));
                format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
            }
        }
    }
}

/// A number that follows from a text and from nothing else.
pub fn seed(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// 64 hex digits that follow from a text: image and network IDs are the same at every start.
pub fn hex_id(text: &str) -> String {
    let mut random = fastrand::Rng::with_seed(seed(text));
    format!("{:032x}{:032x}", random.u128(..), random.u128(..))
}
