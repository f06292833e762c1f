//! Which nodes have an image: by the view, and where that may be behind (an image is listed a moment after it
//! was built), by asking the engines themselves.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{BoxStream, FuturesUnordered, StreamExt};

use crate::api::Api;
use crate::api::call::encode;
use crate::api::proxy::own_prefix;
use crate::cluster::Cluster;
use crate::docker::platform::Platform;
use crate::docker::reference::Reference;
use crate::docker::types::InspectedImage;
use crate::engine::Node;
use crate::error::{Error, Kind, Result};

/// How long an engine may take to tell whether it has an image.
const ASK_DEADLINE: Duration = Duration::from_secs(4);

/// An image on a node, as its engine tells.
pub struct Found {
    /// Where.
    pub node: Arc<Node>,
    /// What.
    pub image: InspectedImage,
}

impl Found {
    /// What the image was built for; `None` if it does not tell.
    pub fn platform(&self) -> Option<Platform> {
        let image = &self.image;
        let told = !image.architecture.is_empty();
        told.then(|| Platform::new(&image.os, &image.architecture, &image.variant))
    }

    /// Whether a registry has it, too.
    pub fn is_of_registry(&self) -> bool {
        !self.image.repo_digests.is_empty()
    }
}

/// Asks nodes for an image, all at once. Those that have it, as their answers come.
pub fn ask(
    cluster: &Cluster,
    nodes: impl IntoIterator<Item = Arc<Node>>,
    name: &str,
) -> BoxStream<'static, Found> {
    let question = |node: Arc<Node>| {
        let handle = cluster.handle(&node);
        let path = format!("{}/images/{}/json", own_prefix(&node), encode(name));
        async move {
            let image = handle.ok()?.client.get_json(&path, ASK_DEADLINE).await.ok()?;
            Some(Found { node, image })
        }
    };
    let questions: FuturesUnordered<_> = nodes.into_iter().map(question).collect();
    questions.filter_map(async |found| found).boxed()
}

impl Api {
    /// The usable nodes that have an image; at least one. If several images have the name, the newest is
    /// first: all calls that look at one image mean the same.
    pub async fn holders(&self, name: &str) -> Result<Vec<Arc<Node>>> {
        let view = self.cluster.view();
        let made_at = |node: &Arc<Node>| node.inventory.image(name).map(|image| image.fields.created);
        let mut holders: Vec<_> = view.healthy().filter(|n| made_at(n).is_some()).cloned().collect();
        holders.sort_by_key(|node| std::cmp::Reverse(made_at(node)));
        if holders.is_empty() {
            let told = ask(&self.cluster, view.healthy().cloned(), name);
            holders = told.map(|found| found.node).collect().await;
        }
        match holders.is_empty() {
            true => Err(no_such_image(name)),
            false => Ok(holders),
        }
    }

    /// The usable nodes that have an image of this repository under any tag; at least one.
    pub fn holders_of_repository(&self, name: &str) -> Result<Vec<Arc<Node>>> {
        let wanted = Reference::parse(name).name;
        let view = self.cluster.view();
        let has = |node: &&Arc<Node>| {
            let mut tags = node.inventory.images.iter().flat_map(|i| &i.fields.repo_tags);
            tags.any(|tag| Reference::parse(tag).name == wanted)
        };
        let holders: Vec<_> = view.healthy().filter(has).cloned().collect();
        match holders.is_empty() {
            true => Err(Error::client(
                Kind::NotFound,
                format!("An image does not exist locally with the tag: {wanted}"),
            )),
            false => Ok(holders),
        }
    }
}

/// The engine's words for an image that is nowhere.
pub fn no_such_image(name: &str) -> Error {
    Error::client(Kind::NotFound, format!("No such image: {}", shown(name)))
}

/// Engines name what they miss in its familiar form with a tag; an ID stays an ID.
fn shown(name: &str) -> String {
    match name.starts_with("sha256:") || name.bytes().all(|b| b.is_ascii_hexdigit()) {
        true => name.to_string(),
        false => Reference::parse(name).with_default_tag(),
    }
}
