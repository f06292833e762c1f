//! What it takes to make a container once more, elsewhere: a create body, read from what its engine tells of it.
//!
//! Engines tell what became of a request, not the request: names became IDs, shares are those of one machine,
//! volumes have got names, addresses are those that it happened to get. `read` undoes that. It does *not* choose
//! a node and does not create anything: `api::recreate` does.

mod config;
mod networks;
#[cfg(test)]
mod tests;
pub mod volumes;

pub use volumes::LABEL as VOLUMES_LABEL;

use serde::{Deserialize, Serialize};

use crate::cluster::view::View;
use crate::docker::json::Object;
use crate::docker::types::Labels;
use crate::engine::Node;
use crate::engine::container::{REPLACES, SWARM_ID};
use crate::engine::resources::cpus_of_shares;

/// A container that can be made once more.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Recipe {
    /// ID of the container that it was read from.
    pub id: String,
    /// Its name, without a leading `/`; empty if it had none.
    pub name: String,
    /// Name of the node that it was on.
    pub node: String,
    /// Whether it ran. Paused and restarting ones did.
    pub running: bool,
    /// ID of the image that it was made of; empty in records of before.
    #[serde(default)]
    pub image_id: String,
    /// By what registries have that image, `name@sha256:...`, if any does. Not all are of the repository that its name
    /// is of.
    #[serde(default)]
    pub image_digests: Vec<String>,
    /// The create body. CPU shares are a number of CPUs, as users give them.
    pub body: Object,
    /// Bodies by which its networks are made where nobody has them any more.
    pub networks: Vec<Object>,
    /// Named volumes whose data is on its node alone: they keep it there.
    pub kept_by: Vec<String>,
    /// Volumes that stay behind with their data, while the new container gets empty ones.
    pub left: Vec<String>,
    /// Paths of its node that it mounts. The new container gets what is there on its own node.
    pub paths: Vec<String>,
}

impl Recipe {
    /// Reads the answer of `GET /containers/{id}/json`. `view` knows the networks, and what names other
    /// containers have. `None` if this is no container.
    pub fn read(inspected: &Object, node: &Node, view: &View) -> Option<Recipe> {
        let id: String = inspected.get("Id").filter(|id: &String| !id.is_empty())?;
        let name: String = inspected.get("Name").unwrap_or_default();
        let mut host = inspected.object("HostConfig");
        let mut body = inspected.object("Config");
        let settings = inspected.object("NetworkSettings").object("Networks");
        resolve(node, &mut host);
        host.remove("ContainerIDFile");
        if let Some(shares) = host.get::<i64>("CpuShares").filter(|shares| *shares > 0) {
            let cpus = node.specs.as_ref().map_or(0, |s| s.cpus);
            host.set("CpuShares", &cpus_of_shares(shares, cpus));
        }
        let endpoints = networks::endpoints(&id, &mut host, &settings);
        config::clean(&mut body, &host, &id, node.name());
        let volumes = volumes::take(&mut body, &mut host, inspected, node);
        label(&mut body, &id);
        body.set("HostConfig", &host);
        if !endpoints.is_empty() {
            let mut networking = Object::default();
            networking.set("EndpointsConfig", &endpoints);
            body.set("NetworkingConfig", &networking);
        }
        let image_id: String = inspected.get("Image").unwrap_or_default();
        let image = node.inventory.images.iter().find(|image| image.fields.id == image_id);
        Some(Recipe {
            image_digests: image.map(|image| image.fields.repo_digests.clone()).unwrap_or_default(),
            image_id,
            running: inspected.object("State").get("Running").unwrap_or(false),
            name: name.trim_start_matches('/').to_string(),
            node: node.name().to_string(),
            networks: networks::models(view, node, &endpoints),
            kept_by: volumes.kept_by,
            left: volumes.left,
            paths: volumes.paths,
            id,
            body,
        })
    }

    /// Whether it insists on addresses of its own.
    pub fn has_addresses(&self) -> bool {
        networks::has_addresses(&self.body)
    }

    /// The same without them: the networks give it others.
    #[must_use]
    pub fn without_addresses(&self) -> Recipe {
        let mut recipe = self.clone();
        networks::drop_addresses(&mut recipe.body);
        recipe
    }
}

/// Says whose place the new container takes. Whoever has no ID in the cluster gets that of its engine, so that
/// both are known to be one.
fn label(body: &mut Object, id: &str) {
    let mut labels: Labels = body.get("Labels").unwrap_or_default();
    labels.entry(SWARM_ID.to_string()).or_insert_with(|| id.to_string());
    labels.insert(REPLACES.to_string(), id.to_string());
    body.set("Labels", &labels);
}

/// IDs of other containers become names: whoever is moved, too, gets another ID. Links lose the name of the one
/// that they belong to.
fn resolve(node: &Node, host: &mut Object) {
    let name = |id: &str| {
        let container = node.inventory.containers.get(id);
        container.map(|c| c.name()).filter(|n| !n.is_empty()).unwrap_or(id).to_string()
    };
    for key in ["NetworkMode", "IpcMode", "PidMode"] {
        let mode: String = host.get(key).unwrap_or_default();
        if let Some(id) = mode.strip_prefix("container:") {
            host.set(key, &format!("container:{}", name(id)));
        }
    }
    if let Some(from) = host.get::<Vec<String>>("VolumesFrom") {
        let named = |entry: &String| match entry.split_once(':') {
            Some((id, mode)) => format!("{}:{mode}", name(id)),
            None => name(entry),
        };
        host.set("VolumesFrom", &from.iter().map(named).collect::<Vec<_>>());
    }
    if let Some(links) = host.get::<Vec<String>>("Links") {
        host.set("Links", &links.iter().map(|link| as_given(link)).collect::<Vec<_>>());
    }
}

/// `/db:/web/alias` was given as `db:alias`.
fn as_given(link: &str) -> String {
    let (target, alias) = link.split_once(':').unwrap_or((link, link));
    let alias = alias.rsplit('/').next().unwrap_or(alias);
    format!("{}:{alias}", target.trim_start_matches('/'))
}
