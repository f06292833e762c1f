//! Brings an image to a node that lacks it: a copy of what another node has, else a pull. All who need the
//! same image on the same node wait for one copy.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::{BoxFuture, FutureExt, Shared, WeakShared};
use futures_util::stream::StreamExt;
use hyper::Method;
use tokio::sync::Semaphore;

use crate::api::Api;
use crate::api::call::{Ask, Query, encode};
use crate::api::copy::Copy;
use crate::api::holders::{Found, ask};
use crate::api::proxy::own_prefix;
use crate::cluster::Cluster;
use crate::docker::http::{CALL_DEADLINE, answered};
use crate::docker::platform::Platform;
use crate::docker::reference::{Reference, names_image};
use crate::docker::types::InspectedImage;
use crate::engine::Node;
use crate::engine::refresh::What;
use crate::error::{Error, Kind, Result};

/// Copies under way at once. Each keeps two engines and their disks busy.
const COPIES: usize = 4;

/// How an attempt to bring an image to a node ended.
#[derive(Debug, Clone)]
pub enum Brought {
    /// The node has it; under this name, where it cannot be had under the one that was asked for.
    There(Option<String>),
    /// No other node has it.
    Nowhere,
    /// Other nodes have it, and that did not help.
    Elsewhere {
        /// Why not.
        why: Error,
        /// Whether a pull may help, with the right to do so.
        pullable: bool,
    },
}

/// Why a node's image was not brought over.
struct Refused {
    why: Error,
    /// Whether that of another node may do better.
    another: bool,
    /// Whether a pull may help.
    pullable: bool,
}

/// An image that is needed on a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Wanted {
    /// Its name, as the client wrote it.
    pub image: String,
    /// The platform that the client asks for.
    pub platform: Option<Platform>,
    /// The ID that it must have, where nodes have several images under the name.
    pub id: Option<String>,
}

type Attempt = BoxFuture<'static, Brought>;

/// The attempts under way, by image and address. One is driven by those who wait for it, and ends when all of
/// them are gone.
pub struct Supply {
    cluster: Arc<Cluster>,
    under_way: Mutex<HashMap<(Wanted, String), WeakShared<Attempt>>>,
    room: Arc<Semaphore>,
}

impl Supply {
    /// For the nodes of a cluster.
    pub fn new(cluster: Arc<Cluster>) -> Supply {
        Supply { cluster, under_way: Mutex::default(), room: Arc::new(Semaphore::new(COPIES)) }
    }

    /// Brings an image to a node that does not have it (under that name). `copying` is the switch: without
    /// it, only the outlook is told.
    pub async fn bring(&self, wanted: Wanted, target: &Arc<Node>, copying: bool) -> Brought {
        self.attempt(wanted, target, copying).await
    }

    /// The attempt under way, or a new one.
    fn attempt(&self, wanted: Wanted, target: &Arc<Node>, copying: bool) -> Shared<Attempt> {
        let name = Reference::parse(&wanted.image).with_default_tag();
        let key = (Wanted { image: name, ..wanted.clone() }, target.addr.clone());
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.retain(|_, attempt| attempt.upgrade().is_some_and(|a| a.peek().is_none()));
        if let Some(attempt) = under_way.get(&key).and_then(WeakShared::upgrade) {
            return attempt;
        }
        let (cluster, room) = (Arc::clone(&self.cluster), Arc::clone(&self.room));
        let attempt = Try { cluster, room, wanted, target: Arc::clone(target), copying };
        let attempt = attempt.run().boxed().shared();
        under_way.extend(attempt.downgrade().map(|weak| (key, weak)));
        attempt
    }
}

/// One attempt: asks who has the image, and copies from the first that will do.
struct Try {
    cluster: Arc<Cluster>,
    room: Arc<Semaphore>,
    wanted: Wanted,
    target: Arc<Node>,
    copying: bool,
}

impl Try {
    async fn run(self) -> Brought {
        let view = self.cluster.view();
        let others: Vec<_> = view.healthy().filter(|n| n.addr != self.target.addr).cloned().collect();
        let mut answers = ask(&self.cluster, others, &self.wanted.image);
        let mut outcome = Brought::Nowhere;
        while let Some(found) = answers.next().await {
            match self.take(&found).await {
                Ok(name) => return Brought::There(name),
                Err(Refused { why, another, pullable }) => {
                    outcome = Brought::Elsewhere { why, pullable };
                    if !another {
                        break;
                    }
                }
            }
        }
        outcome
    }

    /// Takes over what another node has. Returns how it is called here then, if differently.
    async fn take(&self, found: &Found) -> Result<Option<String>, Refused> {
        let refused = |another, pullable, why: &str| {
            let (from, to) = (found.node.name(), self.target.name());
            let text = format!("cannot copy {} from {from} to {to}: {why}", self.wanted.image);
            Refused { why: Error::engine(Kind::Unavailable, text), another, pullable }
        };
        if let Some(why) = self.unfit(found) {
            return Err(refused(true, found.is_of_registry(), &why));
        }
        if !self.copying {
            return Err(refused(false, found.is_of_registry(), "image-copy is off"));
        }
        let (reference, name) = names(&self.wanted.image, &found.image);
        // The semaphore is never closed.
        let _room = self.room.acquire().await.ok();
        if !self.is_there_by_id(&found.image.id).await {
            let copy = Copy { cluster: &self.cluster, found, reference: &reference, target: &self.target };
            copy.run().await.map_err(|broken| refused(broken.by_source, false, &broken.error.to_string()))?;
        } else if reference != found.image.id {
            let tagged = self.tag(&found.image.id, &reference).await;
            tagged.map_err(|error| refused(false, false, &error.to_string()))?;
        }
        Ok(name)
    }

    /// Why the target would not run what was found, or why that is not what was asked for.
    fn unfit(&self, found: &Found) -> Option<String> {
        if self.wanted.id.as_ref().is_some_and(|id| *id != found.image.id) {
            return Some("it is another image of that name".to_string());
        }
        let (platform, here) = (found.platform()?, &self.target.specs.as_ref()?.platform);
        match &self.wanted.platform {
            Some(asked) if !asked.is(&platform) => Some(format!("it is {platform}, not {asked}")),
            // A machine of the same kind runs what the other runs, be it by emulation.
            _ if !here.runs(&platform) && !is_of(&found.node, here) => {
                Some(format!("it is {platform}, {} is {here}", self.target.name()))
            }
            _ => None,
        }
    }

    async fn is_there_by_id(&self, id: &str) -> bool {
        let here = ask(&self.cluster, [Arc::clone(&self.target)], id).next().await;
        here.is_some_and(|here| here.image.id == id)
    }

    /// Gives an image that the target has one more name.
    async fn tag(&self, id: &str, reference: &str) -> Result<()> {
        let handle = self.cluster.handle(&self.target)?;
        let Reference { name, tag, .. } = Reference::parse(reference);
        let mut query = Query::default();
        query.set("repo", &name);
        query.set("tag", tag.as_deref().unwrap_or("latest"));
        let path = format!("{}/images/{}/tag{}", own_prefix(&self.target), encode(id), query.to_text());
        let (status, answer) = handle.client.call(Method::POST, &path, CALL_DEADLINE).await?;
        if !status.is_success() {
            return Err(answered(status, &answer));
        }
        tracing::info!(
            NODE = self.target.name(),
            IMAGE = reference,
            "{} has {id}: now {reference}",
            self.target.name()
        );
        handle.refresh(What::Images).await;
        Ok(())
    }
}

fn is_of(node: &Node, platform: &Platform) -> bool {
    node.specs.as_ref().is_some_and(|s| s.platform == *platform)
}

/// What to save an image by, and how it is called where it is loaded, if not as before. A digest does not
/// survive a copy (it belongs to the pull), and an ID stays what it is.
fn names(wanted: &str, found: &InspectedImage) -> (String, Option<String>) {
    let reference = Reference::parse(wanted);
    match reference.digest.is_none() && names_image(wanted, &found.repo_tags, &[]) {
        true => (reference.with_default_tag(), None),
        false => (found.id.clone(), reference.digest.is_some().then(|| found.id.clone())),
    }
}

impl Api {
    /// Makes an image be on a node that lacks it. Returns how it is called there, if differently. `missing` is
    /// the engine's own error.
    ///
    /// Who is told that there is no such image gets the engine's words with 404, although we tried to pull:
    /// docker CLI, compose and the SDKs then pull by themselves, which shows the progress, uses credentials
    /// that a create does not carry, and ends in the registry's own words if the image does not exist.
    pub async fn provide(
        &self,
        ask: &Ask,
        image: &str,
        node: &Arc<Node>,
        missing: Error,
    ) -> Result<Option<String>> {
        let by_digest = Reference::parse(image).digest.is_some();
        // Nothing but a pull brings a digest.
        if by_digest && self.pull_on(node, ask, image).await.is_ok() {
            return Ok(None);
        }
        let platform = ask.query.get("platform").and_then(Platform::parse);
        let id = self.newest(image, node).await;
        let wanted = Wanted { image: image.to_string(), platform, id };
        let brought = self.supply.bring(wanted, node, self.config().manager.image_copy).await;
        if let Brought::There(name) = brought {
            return Ok(name);
        }
        let failed = match by_digest {
            true => missing.clone(),
            false => match self.pull_on(node, ask, image).await {
                Ok(()) => return Ok(None),
                Err(error) => error,
            },
        };
        // A node that is gone got no create, either: another one may.
        let kind = if failed.is_connection() { Kind::Connect } else { Kind::Unavailable };
        match brought {
            Brought::Elsewhere { why, pullable: false } => {
                let text = format!("{}; pull: {}", why.message, failed.message);
                Err(Error::engine(kind, text))
            }
            _ if failed.is_connection() => Err(Error { kind, ..failed }),
            Brought::Elsewhere { why, .. } => {
                tracing::info!(NODE = node.name(), IMAGE = image, "{why}; pull: {failed}");
                Err(Error::client(Kind::NotFound, missing.message))
            }
            _ => Err(Error::client(Kind::NotFound, missing.message)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_image_is_saved_by() {
        let id = format!("sha256:{}", "ab".repeat(32));
        let image = InspectedImage {
            id: id.clone(),
            repo_tags: vec!["team/app:1".into(), "busybox:latest".into()],
            repo_digests: vec!["busybox@sha256:feed".into()],
            ..InspectedImage::default()
        };
        for (wanted, reference, name) in [
            ("busybox", "busybox:latest", None),
            ("docker.io/library/busybox:latest", "busybox:latest", None),
            ("team/app:1", "team/app:1", None),
            ("busybox@sha256:feed", &id, Some(&id)),
            ("busybox:latest@sha256:feed", &id, Some(&id)),
            ("abab", &id, None),
            (&id, &id, None),
        ] {
            assert_eq!(names(wanted, &image), (reference.to_string(), name.cloned()), "{wanted}");
        }
    }
}
