//! A container's volumes: which keep it on its node, which stay behind, and which come along by themselves.
//!
//! A volume is *node-local* if its data is on one machine only: that of the driver `local`, unless its options
//! mount a file system of the network, and that of any driver which does not say that it reaches all nodes.

use std::collections::BTreeSet;

use serde_json::json;

use crate::docker::json::Object;
use crate::docker::types::{Labels, Mount};
use crate::engine::Node;

/// The label by which a container says what becomes of its named volumes: `move` moves it without their data.
pub const LABEL: &str = "com.docker.swarm.reschedule-volumes";
const MOVE: &str = "move";

/// File systems that driver `local` may mount and that are the same on all machines.
const OF_THE_NETWORK: [&str; 8] = ["nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "9p", "afs"];

#[derive(Default)]
pub(super) struct Volumes {
    pub kept_by: Vec<String>,
    pub left: Vec<String>,
    pub paths: Vec<String>,
}

/// Reads the volumes, and makes anonymous ones anonymous again.
pub(super) fn take(body: &mut Object, host: &mut Object, inspected: &Object, node: &Node) -> Volumes {
    let mut volumes = Volumes::default();
    let mut named = BTreeSet::new();
    let mut fresh: Labels = Labels::new();
    take_binds(host, &mut volumes, &mut named, &mut fresh);
    take_mounts(host, &mut volumes, &mut named, &mut fresh);
    let given = body.object("Volumes");
    let mounts: Vec<Mount> = inspected.get("Mounts").unwrap_or_default();
    for mount in mounts.into_iter().filter(|m| m.r#type == "volume" && !named.contains(&m.name)) {
        if given.contains(&mount.destination) || fresh.contains_key(&mount.destination) {
            volumes.left.push(mount.name);
        }
    }
    let mut given = given;
    let paths = fresh.iter().filter(|(_, source)| !source.is_empty()).map(|(path, _)| path);
    paths.for_each(|path| given.set(path, &json!({})));
    if !given.is_empty() {
        body.set("Volumes", &given);
    }
    let labels: Labels = body.get("Labels").unwrap_or_default();
    let moves = labels.get(LABEL).is_some_and(|said| said.trim() == MOVE);
    let local = named.into_iter().filter(|name| is_node_local(node, name));
    let fate = if moves { &mut volumes.left } else { &mut volumes.kept_by };
    fate.extend(local);
    volumes.left.sort_unstable();
    volumes.left.dedup();
    volumes
}

/// `fresh` are mount points that get a new volume without a name: those that a body must ask for anew with
/// what they had.
fn take_binds(host: &mut Object, volumes: &mut Volumes, named: &mut BTreeSet<String>, fresh: &mut Labels) {
    let Some(binds) = host.get::<Vec<String>>("Binds") else { return };
    let mut kept = Vec::new();
    for bind in binds {
        let mut parts = bind.split(':');
        match (parts.next().unwrap_or_default(), parts.next()) {
            (source, Some(path)) if is_anonymous(source) => {
                volumes.left.push(source.to_string());
                fresh.insert(path.to_string(), source.to_string());
                continue;
            }
            (source, _) if source.starts_with('/') => volumes.paths.push(source.to_string()),
            (source, _) => drop(named.insert(source.to_string())),
        }
        kept.push(bind);
    }
    host.set("Binds", &kept);
}

fn take_mounts(host: &mut Object, volumes: &mut Volumes, named: &mut BTreeSet<String>, fresh: &mut Labels) {
    let Some(mut mounts) = host.get::<Vec<Object>>("Mounts") else { return };
    for mount in &mut mounts {
        let source: String = mount.get("Source").unwrap_or_default();
        match mount.get::<String>("Type").unwrap_or_default().as_str() {
            "bind" => volumes.paths.push(source),
            "volume" if source.is_empty() || is_anonymous(&source) => {
                volumes.left.extend(Some(source).filter(|s| !s.is_empty()));
                mount.remove("Source");
                fresh.insert(mount.get("Target").unwrap_or_default(), String::new());
            }
            "volume" => drop(named.insert(source)),
            _ => {}
        }
    }
    host.set("Mounts", &mounts);
}

/// A name that an engine gave: 64 hex digits.
pub fn is_anonymous(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Whether the data of a volume is on this node alone.
pub fn is_node_local(node: &Node, name: &str) -> bool {
    let volume = node.inventory.volumes.iter().find(|v| v.fields.name == name);
    // What is not listed yet was made with the container, by driver `local`.
    let Some(fields) = volume.map(|v| &v.fields) else { return true };
    let kind = fields.options.get("type").map(String::as_str).unwrap_or_default();
    fields.scope != "global" && !(fields.driver == "local" && OF_THE_NETWORK.contains(&kind))
}

/// Whether a container with these labels moves without the data of its named volumes.
pub fn may_leave(labels: &Labels) -> bool {
    labels.get(LABEL).is_some_and(|said| said.trim() == MOVE)
}
