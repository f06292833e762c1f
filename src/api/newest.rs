//! Several images under one name: after a build on one node, others may still have what the name meant
//! before. On one engine the name would have moved; here it moves when a container needs it.
//!
//! An image replaces another only if it was made later *and* got the name later, on a node of the same
//! platform and not from a registry. So nothing ever undoes a `docker tag` that goes back to an older image,
//! and machines of several architectures keep theirs.

use std::sync::Arc;

use futures_util::stream::StreamExt;

use crate::api::Api;
use crate::api::holders::{Found, ask};
use crate::api::supply::{Brought, Wanted};
use crate::clock;
use crate::cluster::View;
use crate::docker::reference::{Reference, names_image};
use crate::engine::Node;
use crate::engine::inventory::Image;
use crate::error::Result;

impl Api {
    /// Before a create on a node: brings the newest image of a name there, if that node has an older one.
    pub async fn renew(&self, name: &str, node: &Arc<Node>) -> Result<()> {
        let view = self.cluster.view();
        let rivals = rivals(&view, node, name);
        if rivals.is_empty() || !self.config().manager.image_copy {
            return Ok(());
        }
        let mut own = ask(&self.cluster, [Arc::clone(node)], name);
        let Some(own) = own.next().await else { return Ok(()) };
        let others: Vec<Found> = ask(&self.cluster, rivals, name).collect().await;
        let alike = others.into_iter().filter(|other| other.platform() == own.platform());
        let Some(newest) = alike.max_by_key(named_at).filter(|n| named_at(n) > named_at(&own)) else {
            return Ok(());
        };
        let wanted = Wanted { image: name.to_string(), platform: None, id: Some(newest.image.id) };
        match self.supply.bring(wanted, node, true).await {
            Brought::Elsewhere { why, .. } => Err(why),
            Brought::There(_) | Brought::Nowhere => Ok(()),
        }
    }
}

impl Api {
    /// For a node that has no image of a name: the ID of the one that it should get, if others have several.
    pub async fn newest(&self, name: &str, node: &Node) -> Option<String> {
        let view = self.cluster.view();
        let holders: Vec<_> = view.healthy().filter(|n| tagged(n, name).is_some()).cloned().collect();
        let id = |node: &Node| tagged(node, name).map(|image| image.fields.id.clone());
        if holders.iter().all(|n| id(n) == id(&holders[0])) {
            return None;
        }
        let made_at = |found: &Found| tagged(&found.node, name).map(|image| image.fields.created);
        let runs = |found: &Found| match (found.platform(), &node.specs) {
            (Some(platform), Some(specs)) => specs.platform.runs(&platform),
            _ => true,
        };
        let found: Vec<Found> = ask(&self.cluster, holders, name).collect().await;
        let newest = found.into_iter().filter(runs).max_by_key(|found| (named_at(found), made_at(found)));
        newest.map(|found| found.image.id)
    }
}

/// The nodes that have an image under the name which was not made before that of `node`.
fn rivals(view: &View, node: &Node, name: &str) -> Vec<Arc<Node>> {
    let Some(own) = tagged(node, name) else { return Vec::new() };
    let overtakes = |other: &Image| {
        let (own, other) = (&own.fields, &other.fields);
        other.id != own.id && other.created >= own.created && other.repo_digests.is_empty()
    };
    let has_one = |n: &&Arc<Node>| tagged(n, name).is_some_and(overtakes);
    // Mostly there is none, and nearly all nodes have the same images.
    match view.different(|standing| standing.images).any(|n| has_one(&n)) {
        true => view.healthy().filter(has_one).cloned().collect(),
        false => Vec::new(),
    }
}

/// The image that has this name as a tag.
fn tagged<'a>(node: &'a Node, name: &str) -> Option<&'a Image> {
    let by_tag = Reference::parse(name).digest.is_none();
    let image = node.inventory.image(name).filter(|_| by_tag)?;
    names_image(name, &image.fields.repo_tags, &[]).then_some(image)
}

/// When the image got its name on its node, by our clock (nanoseconds). An engine does not tell that of a
/// copy, which is never the newest.
fn named_at(found: &Found) -> i64 {
    let skew = found.node.specs.as_ref().map_or(0, |s| s.skew);
    clock::parse_rfc3339_nanos(&found.image.metadata.last_tag_time).map_or(0, |at| at + skew)
}
