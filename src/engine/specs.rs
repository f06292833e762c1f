//! What an engine says of itself, checked: identity, size, labels, API range, clock.

use crate::clock;
use crate::docker::platform::Platform;
use crate::docker::types::{Info, Labels, Version};
use crate::docker::version::{ApiRange, ApiVersion, OLDEST};
use crate::error::{Error, Kind, Result};

/// Keys that are no labels of the engine's owner or the operator: what engines say of themselves, and `node`,
/// a word of the constraint language.
pub const BUILT_IN: [&str; 7] = [
    "node",
    "storagedriver",
    "executiondriver",
    "kernelversion",
    "operatingsystem",
    "ostype",
    "architecture",
];

/// Clock differences below this are noise (nanoseconds).
const NEGLIGIBLE_SKEW: i64 = 2_000_000_000;

/// The facts about a validated engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Specs {
    /// The engine's own ID.
    pub id: String,
    /// Its host name: the node's name.
    pub name: String,
    /// CPUs, without overcommit.
    pub cpus: i64,
    /// Memory in bytes, without overcommit.
    pub memory: i64,
    /// Built-in labels (`storagedriver`, …) and the engine's own.
    pub labels: Labels,
    /// The engine's version, for people.
    pub version: String,
    /// API versions that it accepts.
    pub api: ApiRange,
    /// What its containers are made for.
    pub platform: Platform,
    /// The engine's clock when it told all this, in nanoseconds since the epoch; 0 if it did not tell.
    pub told_at: i64,
    /// Our clock minus the engine's, in nanoseconds; 0 below two seconds.
    pub skew: i64,
    /// The container runtimes that it is configured with; empty if it does not tell.
    pub runtimes: Vec<String>,
    /// The devices that it found specified (`nvidia.com/gpu=0`).
    pub devices: Vec<String>,
    /// Things an operator should know, such as labels that were ignored.
    pub warnings: Vec<String>,
}

impl Specs {
    /// Reads the two answers; `now` is our clock (nanoseconds) right after `/info` arrived. `addr` is for
    /// the error texts only.
    pub fn read(addr: &str, info: &Info, version: &Version, now: i64) -> Result<Specs> {
        if info.cpus == 0 || info.mem_total == 0 || info.id.is_empty() {
            let text = format!(
                "cannot get resources for this engine, make sure {addr} is a Docker Engine, not a Swarm manager"
            );
            return Err(Error::engine(Kind::Protocol, text));
        }
        let mut warnings = Vec::new();
        Ok(Specs {
            id: info.id.clone(),
            name: info.name.clone(),
            cpus: info.cpus,
            memory: info.mem_total,
            labels: labels(addr, info, &mut warnings)?,
            version: version.version.clone(),
            api: api_range(addr, version)?,
            platform: Platform::of_engine(&info.os_type, &info.architecture, &version.arch),
            told_at: clock::parse_rfc3339_nanos(&info.system_time).unwrap_or(0),
            skew: skew(info, now, &mut warnings),
            runtimes: info.runtimes.keys().cloned().collect(),
            devices: info.discovered_devices.iter().map(|d| d.id.clone()).collect(),
            warnings,
        })
    }
}

fn api_range(addr: &str, version: &Version) -> Result<ApiRange> {
    let max = ApiVersion::parse(&version.api_version).ok_or_else(|| {
        Error::engine(Kind::Protocol, format!("{addr} does not tell its API version"))
            .advise("make sure that a Docker Engine listens there")
    })?;
    // Engines before 1.12 did not tell their minimum; they accept what is older than themselves.
    let min = ApiVersion::parse(&version.min_api_version).unwrap_or(OLDEST);
    let range = ApiRange { min, max };
    match ApiRange::OURS.and(range).is_empty() {
        true => Err(Error::engine(
            Kind::Unsupported,
            format!(
                "{addr} accepts API versions {min} to {max}; swarmd speaks {} to {}",
                OLDEST,
                ApiRange::OURS.max
            ),
        )
        .advise("upgrade the engine, or swarmd")),
        false => Ok(range),
    }
}

/// Built-in labels cannot be overridden by the engine's own; `node` is a word of the constraint language.
fn labels(addr: &str, info: &Info, warnings: &mut Vec<String>) -> Result<Labels> {
    let built_in = [
        ("storagedriver", &info.driver),
        ("executiondriver", &info.execution_driver),
        ("kernelversion", &info.kernel_version),
        ("operatingsystem", &info.operating_system),
        ("ostype", &info.os_type),
        ("architecture", &info.architecture),
    ];
    let filled = built_in.iter().filter(|(_, v)| !v.is_empty());
    let mut labels: Labels = filled.map(|(k, v)| (k.to_string(), v.to_string())).collect();
    for label in &info.labels {
        let Some((key, value)) = label.split_once('=') else {
            let text = format!(
                "Engine (ID: {}, Addr: {addr}) contains an invalid label ({label}) not formatted as \"key=value\".",
                info.id
            );
            return Err(Error::engine(Kind::Invalid, text));
        };
        if key == "node" || labels.contains_key(key) {
            warnings.push(format!("engine label {label:?} is ignored: {key:?} is already taken"));
        } else {
            labels.insert(key.to_string(), value.to_string());
        }
    }
    Ok(labels)
}

fn skew(info: &Info, now: i64, warnings: &mut Vec<String>) -> i64 {
    let skew = clock::parse_rfc3339_nanos(&info.system_time).map_or(0, |theirs| now - theirs);
    if skew.abs() < NEGLIGIBLE_SKEW {
        return 0;
    }
    warnings
        .push(format!("the clock differs from the manager's by {} s: synchronise it", skew / 1_000_000_000));
    skew
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> Info {
        Info {
            id: "ID".into(),
            name: "pi1".into(),
            cpus: 4,
            mem_total: 1 << 30,
            driver: "overlay2".into(),
            ..Info::default()
        }
    }

    fn version(max: &str, min: &str) -> Version {
        Version {
            version: "28.5.2".into(),
            api_version: max.into(),
            min_api_version: min.into(),
            ..Version::default()
        }
    }

    #[test]
    fn built_in_labels_win() {
        let mut info = info();
        info.labels = ["disk=ssd", "storagedriver=mine", "node=x", "disk=hdd"].map(String::from).to_vec();
        let specs = Specs::read("a:1", &info, &version("1.51", "1.24"), 0).unwrap();
        assert_eq!(specs.labels["storagedriver"], "overlay2");
        assert_eq!(specs.labels["disk"], "ssd");
        assert!(!specs.labels.contains_key("node"));
        assert_eq!(specs.warnings.len(), 3);
    }

    #[test]
    fn what_is_no_engine_is_refused() {
        let read = |info: &Info, v: &Version| Specs::read("a:1", info, v, 0).unwrap_err().message;
        let empty = Info { cpus: 0, ..info() };
        assert!(read(&empty, &version("1.51", "1.24")).contains("make sure a:1 is a Docker Engine"));
        let bad = Info { labels: vec!["x".into()], ..info() };
        assert!(read(&bad, &version("1.51", "1.24")).contains("invalid label (x)"));
        assert!(read(&info(), &version("", "")).contains("API version"));
        assert!(read(&info(), &version("1.70", "1.60")).contains("1.60 to 1.70"));
    }

    #[test]
    fn small_clock_differences_are_noise() {
        let at = |text: &str| Info { system_time: text.into(), ..info() };
        let now = clock::parse_rfc3339_nanos("2026-01-01T00:00:10Z").unwrap();
        let skew = |text| Specs::read("a:1", &at(text), &version("1.41", "1.12"), now).unwrap().skew;
        assert_eq!(skew("2026-01-01T00:00:09Z"), 0);
        assert_eq!(skew("2026-01-01T00:00:00+00:00"), 10_000_000_000);
        assert_eq!(skew(""), 0);
    }
}
