//! The container's own configuration: what its engine filled in goes, what the user said stays.

use serde_json::value::RawValue;

use crate::docker::json::Object;

/// Length of the short form of an ID, which is the host name of who got none.
const SHORT: usize = 12;

/// Cleans the `Config` of an inspect answer, given its `HostConfig`.
pub(super) fn clean(config: &mut Object, host: &Object, id: &str, node: &str) {
    let mode: String = host.get("NetworkMode").unwrap_or_default();
    let joined = mode.starts_with("container:");
    let hostname: String = config.get("Hostname").unwrap_or_default();
    let by_engine = hostname == id.get(..SHORT).unwrap_or(id) || (mode == "host" && hostname == node);
    let of_host = host.get::<String>("UTSMode").as_deref() == Some("host");
    if by_engine || of_host || joined {
        config.remove("Hostname");
    }
    if joined {
        // Engines refuse these together with another container's network, though they fill them in.
        config.remove("Domainname");
        config.remove("ExposedPorts");
        config.remove("MacAddress");
    }
    if config.get::<String>("MacAddress").is_some_and(|mac| mac.is_empty()) {
        config.remove("MacAddress");
    }
    // With none at all the image's would come back. That is how `--entrypoint ""` is said.
    if config.get::<Vec<String>>("Entrypoint").is_none_or(|words| words.is_empty()) {
        config.set("Entrypoint", &[""]);
    }
    for key in ["OnBuild", "ArgsEscaped"] {
        if config.get::<Box<RawValue>>(key).is_none() {
            config.remove(key);
        }
    }
}
