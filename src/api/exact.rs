//! A container that has something of its host is made anew of the very image that it was made of, not of what has that
//! name now: whoever may tag images, but not make such a container, would else have an image of its own run with the
//! rights that an admin gave to another.
//!
//! It holds where certificates may limit somebody (`roles`). All other containers keep the name: what that means moves on
//! with a build, as on one engine, and an image that was built on each node has another ID on each.

use std::sync::Arc;

use futures_util::stream::StreamExt;
use hyper::HeaderMap;
use serde::Deserialize;
use serde_json::json;

use crate::api::Api;
use crate::api::call::{Ask, Query, encode};
use crate::api::holders::ask;
use crate::api::proxy::own_prefix;
use crate::api::supply::{Brought, Wanted};
use crate::cluster::Recipe;
use crate::docker::http::CALL_DEADLINE;
use crate::docker::reference;
use crate::engine::Node;
use crate::error::{Error, Kind, Result};

/// The image that a container must be made of.
#[derive(Debug, Clone)]
pub struct Exact {
    id: String,
    /// By what the registry that it came from has it, `name@sha256:...`.
    digests: Vec<String>,
}

impl Exact {
    fn of(recipe: &Recipe) -> Exact {
        let name = recipe.body.get::<String>("Image").unwrap_or_default();
        let own = reference::of_repository(&name, &recipe.image_digests);
        Exact { id: recipe.image_id.clone(), digests: own.cloned().collect() }
    }
}

/// The same on a node that has it.
pub struct OnNode {
    /// What to create by: its name where that means it now, else its ID.
    pub name: String,
    /// Its ID there.
    id: String,
}

impl Api {
    /// What a container by this recipe must be made of, if the name will not do.
    pub fn exact_image(&self, recipe: &Recipe) -> Option<Exact> {
        let limited = self.roles.may_limit(&self.config()) && !recipe.image_id.is_empty();
        (limited && self.has_of_host(&recipe.body)).then(|| Exact::of(recipe))
    }

    /// Makes it be on a node: it is there, another node has it, or a registry has it by its digest.
    ///
    /// # Errors
    /// `Kind::Unavailable`: it is nowhere any more.
    pub async fn provide_exactly(&self, exact: &Exact, name: &str, node: &Arc<Node>) -> Result<OnNode> {
        let id = self.id_on(exact, node).await.ok_or_else(|| {
            let text = format!(
                "the container has something of its host and was made of the image {}, which cannot be had any more: what \
                 is called {name} now may be another one",
                exact.id
            );
            Error::engine(Kind::Unavailable, text).advise("remove it, and make it anew, if that is the right one")
        })?;
        let means = self.image_id(node, name).await;
        let name = if means.as_ref() == Some(&id) { name.to_string() } else { id.clone() };
        Ok(OnNode { name, id })
    }

    async fn id_on(&self, exact: &Exact, node: &Arc<Node>) -> Option<String> {
        if self.image_id(node, &exact.id).await.as_ref() == Some(&exact.id) {
            return Some(exact.id.clone());
        }
        let wanted = Wanted { image: exact.id.clone(), platform: None, id: Some(exact.id.clone()) };
        let brought = self.supply.bring(wanted, node, self.config().manager.image_copy).await;
        if matches!(brought, Brought::There(_)) {
            return Some(exact.id.clone());
        }
        let nobody = Ask { version: None, query: Query::default(), headers: HeaderMap::new() };
        for digest in &exact.digests {
            // For another platform it has another ID: that which its own repository says. Others say what they like:
            // anybody's index may have this very image in it for one platform, and something else for the next.
            if self.pull_on(node, &nobody, digest).await.is_ok()
                && let Some(id) = self.image_id(node, digest).await
            {
                return Some(id);
            }
        }
        None
    }

    async fn image_id(&self, node: &Arc<Node>, name: &str) -> Option<String> {
        ask(&self.cluster, [Arc::clone(node)], name).next().await.map(|found| found.image.id)
    }

    /// Whether a container that was just made is of that image: a name may have got another meaning meanwhile. Else it is
    /// removed.
    ///
    /// # Errors
    /// `Kind::Unavailable`: it was another one, or its engine does not tell.
    pub async fn confirm_exactly(&self, wanted: &OnNode, node: &Arc<Node>, container: &str) -> Result<()> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Made {
            image: String,
        }
        let client = self.cluster.handle(node)?.client;
        let path = format!("{}/containers/{}/json", own_prefix(node), encode(container));
        let made = client.get_json::<Made>(&path, CALL_DEADLINE).await;
        if made.as_ref().is_ok_and(|made| made.image == wanted.id) {
            return Ok(());
        }
        self.discard(node, container).await?;
        let why =
            made.map_or_else(|e| e.to_string(), |made| format!("{} means {} now", wanted.name, made.image));
        Err(Error::engine(Kind::Unavailable, format!("the container was to be made of {}: {why}", wanted.id)))
    }

    /// Whether a container with this create body has something that only admins may give.
    fn has_of_host(&self, body: &crate::docker::json::Object) -> bool {
        let seen =
            json!({ "HostConfig": body.get::<serde_json::Value>("HostConfig").unwrap_or_else(|| json!({})) });
        self.admit_inside(seen.to_string().as_bytes()).is_err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::json::Object;

    #[test]
    fn only_its_own_repository_says_what_it_is_for_another_platform() {
        let exact = |image: &str| {
            let mut recipe = Recipe { image_id: "sha256:1".into(), ..Recipe::default() };
            recipe.image_digests = vec!["evil/x@sha256:bad".into(), "busybox@sha256:feed".into()];
            recipe.body = Object::default();
            recipe.body.set("Image", &image);
            Exact::of(&recipe).digests
        };
        for name in ["busybox", "docker.io/library/busybox:1.36", "busybox@sha256:feed"] {
            assert_eq!(exact(name), ["busybox@sha256:feed"], "{name}");
        }
        for name in ["other", "reg:5000/busybox", "sha256:1", ""] {
            assert!(exact(name).is_empty(), "{name}");
        }
    }
}
