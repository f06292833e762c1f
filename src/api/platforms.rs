//! What images were built for, asked for once for each image: only where nodes of several platforms make it
//! matter.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;
use futures_util::stream::StreamExt;

use crate::api::Api;
use crate::api::holders::ask;
use crate::cluster::View;
use crate::docker::platform::Platform;
use crate::docker::reference::of_repository;
use crate::engine::Node;
use crate::engine::inventory::Image;
use crate::scheduler::request::BuiltFor;

/// Images that are remembered: more than any honest cluster has.
const REMEMBERED: usize = 10_000;

/// Platforms by image ID. What an ID stands for never changes.
#[derive(Default)]
pub struct Platforms(Mutex<HashMap<String, Platform>>);

impl Platforms {
    fn get(&self, id: &str) -> Option<Platform> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    fn learn(&self, id: &str, platform: &Platform) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(id.to_string(), platform.clone());
    }
}

impl Api {
    /// What the images under a name were built for; `None` where it makes no difference, or none is known.
    pub async fn built_for(&self, view: &View, name: &str) -> Option<BuiltFor> {
        if is_uniform(view) {
            return None;
        }
        let mut images: BTreeMap<&str, (&Arc<Node>, &Image)> = BTreeMap::new();
        for node in view.healthy() {
            if let Some(image) = node.inventory.image(name) {
                images.entry(&image.fields.id).or_insert((node, image));
            }
        }
        let is_elsewhere = |image: &Image| of_repository(name, &image.fields.repo_digests).next().is_some();
        let elsewhere = images.values().any(|(_, image)| is_elsewhere(image));
        let learned = images
            .into_iter()
            .map(async |(id, (node, _))| Some((id.to_string(), self.platform_of(node, id).await?)));
        let copies: Vec<_> = join_all(learned).await.into_iter().flatten().collect();
        (!copies.is_empty()).then_some(BuiltFor { copies, elsewhere })
    }

    async fn platform_of(&self, node: &Arc<Node>, id: &str) -> Option<Platform> {
        if let Some(known) = self.platforms.get(id) {
            return Some(known);
        }
        let platform = ask(&self.cluster, [Arc::clone(node)], id).next().await?.platform()?;
        self.platforms.learn(id, &platform);
        Some(platform)
    }
}

/// Whether all nodes in use are of one platform.
fn is_uniform(view: &View) -> bool {
    view.different(|standing| standing.platform).nth(1).is_none()
}
