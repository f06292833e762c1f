//! Containers that share volumes, links or a namespace must be on the same node as what they share with.

use std::sync::Arc;

use super::Rule;
use crate::cluster::View;
use crate::cluster::lookup;
use crate::scheduler::candidate::{Candidate, Field};
use crate::scheduler::explain::Objection;
use crate::scheduler::request::Request;

/// The filter `dependency`.
pub struct Dependency<'a>(Vec<Need<'a>>);

/// A container that must be on the node.
struct Need<'a> {
    /// The option that asks for it, as users write it.
    option: &'static str,
    /// Its value.
    text: &'a str,
    /// Name or ID of the container.
    container: &'a str,
    /// It can be no part of an ID and no `NODE/name`, or it is the whole ID of a container that is there: no need
    /// to look for more on each node.
    only_exact: bool,
}

impl<'a> Dependency<'a> {
    /// Reads `--volumes-from`, `--link`, and the namespaces of other containers.
    pub fn new(request: &'a Request, field: &Field<'_>) -> Dependency<'a> {
        let host = &request.host;
        let need = |option, text: &'a str, container: &'a str| {
            let part_of_id = container.bytes().all(|b| b.is_ascii_hexdigit());
            let is_there = || lookup::by_full_id(field.view(), container).is_some();
            let only_exact = !(part_of_id || container.contains('/')) || is_there();
            Need { option, text, container, only_exact }
        };
        let before_colon = |option, list: &'a [String]| {
            list.iter().map(move |text| need(option, text, text.split(':').next().unwrap_or(text)))
        };
        let shared = |option, mode: &'a str| {
            mode.strip_prefix("container:").map(|container| need(option, mode, container))
        };
        let namespaces = [
            shared("--net", &host.network_mode),
            shared("--ipc", &host.ipc_mode),
            shared("--pid", &host.pid_mode),
        ];
        let listed = before_colon("--volumes-from", &host.volumes_from)
            .chain(before_colon("--link", &host.links))
            .chain(before_colon("--link", &request.endpoint_links));
        Dependency(listed.chain(namespaces.into_iter().flatten()).collect())
    }
}

impl Rule for Dependency<'_> {
    fn name(&self) -> &'static str {
        "dependency"
    }

    fn check<'c>(&'c self, node: &'c Candidate<'_>, _: bool) -> Result<(), Objection<'c>> {
        match self.0.iter().find(|need| !need.is_met(node)) {
            None => Ok(()),
            Some(need) => Err(Objection::Missing(need.container)),
        }
    }

    /// Where the first of them that is in few places is.
    fn places(&self, field: &Field<'_>, _: bool) -> Option<Vec<usize>> {
        self.0.iter().find_map(|need| field.places_of_container(need.container))
    }

    fn cost(&self) -> u8 {
        1
    }

    fn items(&self) -> Vec<String> {
        self.0.iter().map(|need| format!("{}={}", need.option, need.text)).collect()
    }
}

impl Need<'_> {
    /// Whether the look-up of the container, limited to this node, finds one; promised ones have only a name.
    fn is_met(&self, node: &Candidate<'_>) -> bool {
        let name = self.container.strip_prefix('/').unwrap_or(self.container);
        let inventory = &node.node.inventory;
        let at_once = inventory.containers.named(name).is_some() || inventory.containers.contains_key(name);
        let promised = || node.pending.iter().any(|c| !name.is_empty() && c.name() == name);
        let looked_up = || lookup::container(&View::of([Arc::clone(node.node)]), self.container).is_ok();
        at_once || promised() || (!self.only_exact && looked_up())
    }
}
