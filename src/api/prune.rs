//! Prune: what an engine can decide by itself is asked of all of them; whether a network is unused only the
//! whole cluster knows.

use std::sync::Arc;

use futures_util::future::join_all;
use hyper::{Method, Response, StatusCode};
use serde_json::value::RawValue;

use crate::api::answer::Prune;
use crate::api::call::Call;
use crate::api::fanout::together;
use crate::api::gap::Gap;
use crate::api::proxy::version_prefix;
use crate::api::{Api, error};
use crate::clock;
use crate::cluster::nets;
use crate::docker::filters::Filters;
use crate::docker::http::{Body, empty, request};
use crate::docker::json::Object;
use crate::docker::version::ApiRange;
use crate::engine::Node;
use crate::engine::refresh::What;
use crate::error::{Error, Kind, Result};

/// What one node removed.
struct Pruned {
    answer: Object,
    removed: Vec<Box<RawValue>>,
    reclaimed: u64,
}

impl Prune {
    /// Path, the list in the answer, and what must be read again.
    fn facts(self) -> (&'static str, &'static str, Option<What>) {
        match self {
            Prune::Containers => ("/containers/prune", "ContainersDeleted", Some(What::Containers)),
            Prune::Images => ("/images/prune", "ImagesDeleted", Some(What::Images)),
            Prune::Networks => ("/networks/prune", "NetworksDeleted", Some(What::Networks)),
            Prune::Volumes => ("/volumes/prune", "VolumesDeleted", Some(What::Volumes)),
            Prune::BuildCache => ("/build/prune", "CachesDeleted", None),
        }
    }
}

impl Api {
    /// `POST /{containers,images,volumes,build}/prune`: on all usable nodes, or those that the filter `node`
    /// names. What all removed is one list.
    pub async fn prune(&self, what: Prune, mut call: Call, range: ApiRange) -> Result<Response<Body>> {
        // The same question for all: by its own newest version one node would spare volumes that another takes.
        call.version.get_or_insert(range.max);
        let mut filters = Filters::parse(call.query.get("filters"))?;
        let nodes = self.chosen(&mut filters)?;
        let asked = nodes.iter().map(|node| async {
            match self.prune_on(what, &call, node, filters.clone()).await {
                // Should another node fail, this is how the user hears what was done here.
                Ok(p) => {
                    (format!("{} ({} removed, {} bytes)", node.name(), p.removed.len(), p.reclaimed), Ok(p))
                }
                Err(e) => (node.name().to_string(), Err(e)),
            }
        });
        let done = together("pruned", join_all(asked).await)?;
        Ok(error::json(StatusCode::OK, &merge(what, done.into_iter().map(|(_, pruned)| pruned))))
    }

    async fn prune_on(
        &self,
        what: Prune,
        call: &Call,
        node: &Arc<Node>,
        mut filters: Filters,
    ) -> Result<Pruned> {
        let (path, list, reread) = what.facts();
        if what == Prune::Volumes {
            Gap::between(call.version, node).volume_prune(&mut filters);
        }
        let mut query = call.query.clone();
        match filters.is_empty() {
            true => query.remove("filters"),
            false => query.set("filters", &filters.to_json()),
        }
        let target = format!("{}{path}{}", version_prefix(call.version, node), query.to_text());
        let answer = self.ask(node, request(Method::POST, &target, empty())?).await;
        if let Some(reread) = reread {
            self.cluster.handle(node)?.refresh(reread).await;
        }
        let answer = Object::parse(&answer?)
            .map_err(|e| Error::engine(Kind::Protocol, format!("the answer to a prune is malformed: {e}")))?;
        let mut removed = answer.get::<Vec<Box<RawValue>>>(list).unwrap_or_default();
        if what == Prune::Volumes {
            removed = removed.iter().map(|name| prefixed(node, name)).collect();
        }
        Ok(Pruned { reclaimed: answer.get("SpaceReclaimed").unwrap_or(0), answer, removed })
    }

    /// The usable nodes, or those of them that the filter `node` names; takes that filter out.
    pub fn chosen(&self, filters: &mut Filters) -> Result<Vec<Arc<Node>>> {
        let view = self.cluster.view();
        let mut named = Vec::new();
        for name in filters.values("node") {
            let before = named.len();
            named.extend(view.named(name).cloned());
            if named.len() == before {
                return Err(Error::client(Kind::NotFound, format!("No such node: {name}")));
            }
        }
        named.iter().try_for_each(|n| self.cluster.healthy(n, "That is asked of something").map(drop))?;
        let all = !filters.has("node");
        filters.remove("node");
        let nodes = if all { view.healthy().cloned().collect() } else { named };
        match nodes.is_empty() {
            true => Err(Error::client(Kind::NoNode, "No healthy node available in the cluster")),
            false => Ok(nodes),
        }
    }

    /// `POST /networks/prune`: networks to which no running container of the cluster is attached, with all
    /// their copies. One whose copy is on a node that cannot be asked stays.
    pub async fn prune_networks(&self, call: Call) -> Result<Response<Body>> {
        let mut filters = Filters::parse(call.query.get("filters"))?;
        filters.known(&["label", "label!", "until", "node"])?;
        let until = filters.moment("until", clock::unix_nanos())?;
        let nodes = self.chosen(&mut filters)?;
        self.cluster.entries_known().await;
        let view = self.cluster.view();
        let reachable = |n: &Arc<Node>| nodes.iter().any(|c| c.addr == n.addr);
        let used = nets::in_use(&view);
        let unused = nets::all(&view).into_iter().filter(|group| {
            let (_, network) = group.representative();
            let created =
                network.entry().get::<String>("Created").and_then(|t| clock::parse_rfc3339_nanos(&t));
            let labels = &network.fields.labels;
            !group.is_predefined()
                && nets::nodes(group).all(reachable)
                && !used.contains(group.id.as_str())
                && until.is_none_or(|until| created.is_none_or(|c| c < until))
                && filters.labels("label", labels)
                && !(filters.has("label!") && filters.labels("label!", labels))
        });
        let (mut removed, mut failed) = (Vec::new(), Vec::new());
        for group in unused {
            match self.remove_group(&call, &group).await {
                Ok(()) => removed.push(group.shown()),
                // A container was faster.
                Err(e) if matches!(e.kind, Kind::Status(403 | 404)) => {}
                Err(e) => failed.push((group.shown(), e)),
            }
        }
        removed.sort();
        if let Some((_, first)) = failed.first() {
            let lines: Vec<_> = failed.iter().map(|(name, e)| format!("network {name}: {e}")).collect();
            let text = format!("{}\n(pruned: {})", lines.join("\n"), removed.join(", "));
            return Err(Error { message: text, advice: None, ..first.clone() });
        }
        let list = (!removed.is_empty()).then_some(removed);
        Ok(error::json(StatusCode::OK, &serde_json::json!({ "NetworksDeleted": list })))
    }
}

/// One answer of many. Engines write `null` for an empty list.
fn merge(what: Prune, all: impl Iterator<Item = Pruned>) -> Object {
    let (_, list, _) = what.facts();
    let mut merged = Object::default();
    let (mut removed, mut reclaimed): (Vec<Box<RawValue>>, u64) = (Vec::new(), 0);
    for pruned in all {
        if merged.is_empty() {
            merged = pruned.answer;
        }
        reclaimed = reclaimed.saturating_add(pruned.reclaimed);
        for item in pruned.removed {
            // Several nodes had the same image: said once.
            if what != Prune::Images || !removed.iter().any(|r| r.get() == item.get()) {
                removed.push(item);
            }
        }
    }
    merged.set(list, &(!removed.is_empty()).then_some(removed));
    merged.set("SpaceReclaimed", &reclaimed);
    merged
}

/// A volume as lists show it.
fn prefixed(node: &Node, name: &RawValue) -> Box<RawValue> {
    let bare: String = serde_json::from_str(name.get()).unwrap_or_default();
    serde_json::value::to_raw_value(&format!("{}/{bare}", node.name())).unwrap_or_else(|_| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pruned(text: &str) -> Pruned {
        let answer = Object::parse(text.as_bytes()).unwrap();
        let removed = answer.get("ImagesDeleted").unwrap_or_default();
        Pruned { reclaimed: answer.get("SpaceReclaimed").unwrap_or(0), answer, removed }
    }

    #[test]
    fn what_nodes_removed_is_one_list_and_one_sum() {
        let one = r#"{"ImagesDeleted":[{"Deleted":"a"},{"Untagged":"x"}],"SpaceReclaimed":5,"New":[1.0]}"#;
        let two = r#"{"ImagesDeleted":[{"Deleted":"a"}],"SpaceReclaimed":7}"#;
        let none = r#"{"ImagesDeleted":null,"SpaceReclaimed":0}"#;
        assert_eq!(
            merge(Prune::Images, [one, two, none].map(pruned).into_iter()).to_json(),
            r#"{"ImagesDeleted":[{"Deleted":"a"},{"Untagged":"x"}],"SpaceReclaimed":12,"New":[1.0]}"#
        );
        assert_eq!(merge(Prune::Images, [pruned(none)].into_iter()).to_json(), none);
    }
}
