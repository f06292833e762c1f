//! What an engine holds: the published `Inventory`. How the next one comes about is in `ledger`.

use std::collections::HashMap;
use std::sync::Arc;

use crate::docker::form::Form;
use crate::docker::json::Object;
use crate::docker::reference;
use crate::docker::types::{ListedImage, ListedNetwork, ListedVolume};
use crate::engine::container::Container;
use crate::engine::containers::Containers;
use crate::engine::resources::Resources;

/// A network on an engine, with its list entry but for its name and ID.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct Network {
    pub fields: ListedNetwork,
    pub form: Form,
}

pub use crate::access::ORIGIN;

impl Network {
    /// Reads a list entry; `None` if it is none.
    pub fn read(entry: &Object) -> Option<Network> {
        let fields = serde_json::from_str(&entry.to_json()).ok()?;
        Some(Network { fields, form: Form::of(entry, &["Name", "Id"]) })
    }

    /// Appends its list entry, with this name and ID, to a list under construction.
    pub fn write(&self, name: &str, id: &str, out: &mut Vec<u8>) {
        self.form.write(&[name, id], out);
    }

    /// Its list entry, as the engine has it.
    pub fn entry(&self) -> Object {
        let mut text = Vec::new();
        self.write(&self.fields.name, &self.fields.id, &mut text);
        Object::parse(&text).unwrap_or_default()
    }

    /// The ID that users know it by: a copy's is that of the first one.
    pub fn known_id(&self) -> &str {
        let origin = self.fields.labels.get(ORIGIN).filter(|_| self.fields.scope == "local");
        origin.map_or(&self.fields.id, |id| id)
    }

    /// Whether it is a copy.
    pub fn is_copy(&self) -> bool {
        self.known_id() != self.fields.id
    }
}

/// A volume on an engine, with its list entry.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct Volume {
    pub fields: ListedVolume,
    pub entry: Object,
}

/// An image on an engine, with its list entry.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct Image {
    pub fields: ListedImage,
    pub entry: Object,
}

/// Everything on one engine. Immutable.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// Containers.
    pub containers: Containers,
    /// Networks.
    pub networks: Arc<[Network]>,
    /// Volumes.
    pub volumes: Arc<[Volume]>,
    /// Images, intermediate layers included.
    pub images: Arc<[Image]>,
    /// A number for all images and what they are called: equal for equal ones, and hardly ever for others.
    pub images_key: u64,
    /// What the containers reserve, together.
    pub used: Resources,
    /// All their names, one on each line: what is in none of them is found out at a glance.
    pub names: Box<str>,
    /// When the newest of them was made, in nanoseconds since the epoch; 0 if there is none.
    pub newest: i64,
    /// How many of them are known roughly: what those reserve is not in that.
    pub rough: usize,
    /// About how many of them events have not told all: see `Container::stale`.
    pub stale: usize,
    /// Containers that are here and do not count: others have taken their place. See `cluster::moves`.
    pub hidden: Vec<Arc<Container>>,
    /// Containers that are here and do not count yet: they are about to take others' places.
    pub awaited: Vec<Arc<Container>>,
}

impl Inventory {
    /// The image that a name, a digest, an ID or the beginning of one means here.
    pub fn image(&self, name: &str) -> Option<&Image> {
        let means =
            |i: &&Image| reference::matches(name, &i.fields.id, &i.fields.repo_tags, &i.fields.repo_digests);
        self.images.iter().find(means)
    }

    /// The same, where the containers for which `hide` holds do not count.
    #[must_use]
    pub fn hiding(&self, hide: impl Fn(&str) -> bool, cpus: i64) -> Inventory {
        let all = self.containers.values().chain(&self.hidden).cloned();
        let (hidden, counting): (Vec<_>, Vec<_>) = all.partition(|c| hide(&c.id));
        Inventory { hidden, awaited: self.awaited.clone(), ..self.with(counting, cpus) }
    }

    /// The same, where the containers for which `comes` holds do not count yet.
    #[must_use]
    pub fn awaiting(&self, comes: impl Fn(&Container) -> bool, cpus: i64) -> Inventory {
        let all = self.containers.values().chain(&self.awaited).cloned();
        let (awaited, counting): (Vec<_>, Vec<_>) = all.partition(|c| comes(c));
        Inventory { awaited, hidden: self.hidden.clone(), ..self.with(counting, cpus) }
    }

    fn with(&self, counting: Vec<Arc<Container>>, cpus: i64) -> Inventory {
        Inventory {
            networks: Arc::clone(&self.networks),
            volumes: Arc::clone(&self.volumes),
            images: Arc::clone(&self.images),
            images_key: self.images_key,
            ..Inventory::of(counting, cpus)
        }
    }

    /// These containers and nothing else. `cpus` are the engine's.
    pub fn of(containers: impl IntoIterator<Item = Arc<Container>>, cpus: i64) -> Inventory {
        let containers = Containers::of(containers);
        let used = containers.values().map(|c| Resources::held(c, cpus)).sum();
        let rough = containers.values().filter(|c| c.rough).count();
        let stale = containers.values().filter(|c| c.stale).count();
        let names: Vec<&str> = containers.values().flat_map(|c| &c.names).map(String::as_str).collect();
        let (names, newest) = (names.join("\n").into(), containers.values().map(|c| c.created).max());
        Inventory {
            containers,
            used,
            rough,
            stale,
            names,
            newest: newest.unwrap_or(0),
            ..Inventory::default()
        }
    }
}

/// The copies among networks: their IDs, with those that users know them by.
pub fn copies(networks: &[Network]) -> HashMap<String, String> {
    let copies = networks.iter().filter(|n| n.is_copy());
    copies.map(|n| (n.fields.id.clone(), n.known_id().to_string())).collect()
}
