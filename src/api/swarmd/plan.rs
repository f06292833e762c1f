//! `POST /swarmd/v1/plan`: where things would go. Each step sees the ones before it as promised; nothing is
//! created, nothing is reserved.

use std::sync::Arc;

use serde_json::json;

use crate::api::Api;
use crate::api::call::Query;
use crate::api::create::Wanted;
use crate::api::swarmd::talk::{Create, Plan, Planned, Step};
use crate::cluster::View;
use crate::cluster::lookup;
use crate::cluster::pending::{Pending, Reservation};
use crate::docker::form::Form;
use crate::docker::json::Object;
use crate::engine::Node;
use crate::engine::inventory::{Inventory, Network};
use crate::error::{Error, Kind, Result};
use crate::scheduler::{self, Request};

/// Steps of one plan: it is worked out while nobody else is kept waiting, but still in one go.
const LONGEST_PLAN: usize = 10_000;

/// The cluster as it would be after the steps so far.
struct Rehearsal<'a> {
    api: &'a Api,
    view: View,
    pending: Pending,
    chance: fastrand::Rng,
}

impl Api {
    /// Works a plan out.
    pub(super) async fn plan(&self, plan: Plan) -> Result<Planned> {
        if plan.networks.len() + plan.creates.len() > LONGEST_PLAN {
            return Err(Error::client(
                Kind::Invalid,
                format!("a plan has at most {LONGEST_PLAN} steps: split it"),
            ));
        }
        let mut rehearsal = Rehearsal {
            api: self,
            pending: self.cluster.pending().clone(),
            view: View::clone(&self.cluster.view()),
            chance: self.chance().clone(),
        };
        let mut steps: Vec<Step> = plan.networks.iter().filter_map(|n| rehearsal.network(n)).collect();
        for create in plan.creates {
            steps.push(rehearsal.container(create).await);
        }
        Ok(Planned { steps })
    }
}

impl Rehearsal<'_> {
    /// A network for which a driver is named is made on one node, to which it draws its containers. Others,
    /// and those that are there, change nothing.
    fn network(&mut self, body: &Object) -> Option<Step> {
        let name: String = body.get("Name").unwrap_or_default();
        let driver: String = body.get("Driver").unwrap_or_default();
        let known = lookup::networks(&self.view, &name).iter().any(|(_, net)| net.fields.name == name);
        if known || matches!(driver.as_str(), "" | "default") {
            return None;
        }
        let (node, step) = self.decide("network", &name, &Request::default());
        if let Some(node) = node {
            self.add_network(&node, &name, &driver);
        }
        Some(step)
    }

    async fn container(&mut self, create: Create) -> Step {
        let name = create.name.clone();
        let step =
            |node, why| Step { kind: "container".into(), name: name.clone(), node, why, decision: None };
        if create.keep
            && let Some(node) = self.holder(&name)
        {
            return step(Some(node), "it is there already".into());
        }
        let wanted = match self.understood(create).await {
            Ok(wanted) => wanted,
            Err(error) => return step(None, error.to_string()),
        };
        let (node, step) = self.decide("container", &name, &wanted.request);
        if let Some(node) = node {
            let container = wanted.request.reservation(&node);
            self.pending.reserve(Reservation { addr: node.addr.clone(), container });
        }
        step
    }

    async fn understood(&self, create: Create) -> Result<Wanted> {
        let mut query = Query::default();
        create.query.iter().for_each(|(key, value)| query.set(key, value));
        query.set("name", &create.name);
        let wanted = self.api.understand(&self.view, &query, create.body).await?;
        self.pending.check_name(&self.view, &wanted.name, None)?;
        Ok(wanted)
    }

    fn decide(&mut self, kind: &str, name: &str, request: &Request) -> (Option<Arc<Node>>, Step) {
        // Both draw the same lot.
        let mut chance = self.chance.clone();
        let (view, pending, options) = (&self.view, &self.pending, &self.api.placement());
        let decision = scheduler::explain(view, pending, request, options, &mut chance);
        let placed = scheduler::place(view, pending, request, options, &mut self.chance);
        let (node, why) = match placed {
            Ok(placement) => (Some(placement.node), decision.decided_by.to_string()),
            Err(rejection) => (None, rejection.into_error().to_string()),
        };
        let shown = node.as_ref().map(|n| n.name().to_string());
        let step = Step { kind: kind.into(), name: name.into(), node: shown, why, decision: Some(decision) };
        (node, step)
    }

    /// The node with the container of exactly this name.
    fn holder(&self, name: &str) -> Option<String> {
        let named = |n: &&Arc<Node>| n.inventory.containers.named(name).is_some();
        self.view.validated().find(named).map(|n| n.name().to_string())
    }

    fn add_network(&mut self, node: &Node, name: &str, driver: &str) {
        let fields =
            json!({ "Id": format!("planned {name}"), "Name": name, "Driver": driver, "Scope": "local" });
        let fields = serde_json::from_value(fields).unwrap_or_default();
        let network = Network { fields, form: Form::default() };
        let networks = node.inventory.networks.iter().cloned().chain([network]).collect();
        let inventory = Arc::new(Inventory { networks, ..Inventory::clone(&node.inventory) });
        self.view = self.view.with(Arc::new(Node { inventory, ..node.clone() }));
    }
}
