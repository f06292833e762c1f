//! `POST /swarmd/v1/nodes/{name}/drain`: nothing new goes to a node, and what can leaves it.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::Response;

use super::carry::{Carrier, Trouble};
use super::{Taken, Teller};
use crate::api::Api;
use crate::api::call::Call;
use crate::api::swarmd::progress::{Done, Drain, Moving, Planned, Progress};
use crate::cluster::View;
use crate::docker::http::Body;
use crate::engine::{Availability, Container, Node, Orders};
use crate::error::Result;
use crate::scheduler::moves::{Left, empty};

impl Api {
    /// Drains a node, or says what that would mean.
    pub(in crate::api::swarmd) async fn drain_node(
        self: &Arc<Self>,
        call: &Call,
        name: &str,
        drain: Drain,
    ) -> Result<Response<Body>> {
        let told = self.tell_node(name)?;
        if drain.dry_run {
            let api = Arc::clone(self);
            return Ok(self.progress(drain.timeout, |teller| async move {
                let plan = api.plan_of_drain(&told.address).await;
                let done =
                    Done { moved: plan.moves.len(), complete: complete(&plan.left), ..Done::default() };
                teller.tell(&Progress::Planned(plan)).await;
                teller.tell(&Progress::Done(done)).await;
            }));
        }
        let shown = if told.name.is_empty() { told.address } else { told.name };
        let turn = self.take_turn(format!("{shown} is being drained"))?;
        let ordered = self.order_drain(call, name, &drain.reason).await?;
        let api = Arc::clone(self);
        Ok(self.progress(drain.timeout, |teller| async move {
            let addr = ordered.address.clone();
            teller.tell(&Progress::Ordered(ordered)).await;
            Emptier { api, addr, teller, _turn: turn, moved: 0, failed: BTreeMap::new() }.run().await;
        }))
    }

    /// What would happen, were the node drained now.
    async fn plan_of_drain(&self, addr: &str) -> Planned {
        // What containers ask of their host decides where they can go, and what they mount whether.
        self.cluster.details_known().await;
        self.cluster.entries_known().await;
        let view = drained(&self.cluster.view(), addr);
        let Some(node) = view.at(addr).filter(|n| n.specs.is_some()) else {
            let note = "its engine was never reached, so nothing is known of its containers".to_string();
            return Planned { note, ..Planned::default() };
        };
        let name = node.name().to_string();
        if !node.is_healthy() {
            return Planned { node: name, left: unreachable(node), ..Planned::default() };
        }
        let (containers, mut left) = empty::sorted(node);
        let mut movers = Vec::new();
        for container in containers {
            match self.mover(&view, node, container).await {
                Ok(mover) => movers.push(mover),
                Err(error) => left.push(failed(node, container, error.to_string())),
            }
        }
        let emptying = empty::plan(self.rehearsal(&view), movers, left);
        Planned { node: name, moves: emptying.moves, left: emptying.left, ..Planned::default() }
    }
}

/// A drain under way.
struct Emptier {
    api: Arc<Api>,
    addr: String,
    teller: Teller,
    _turn: Taken,
    moved: usize,
    failed: BTreeMap<String, Left>,
}

impl Emptier {
    async fn run(mut self) {
        let plan = self.api.plan_of_drain(&self.addr).await;
        let expected = plan.moves.len();
        self.teller.tell(&Progress::Planned(plan)).await;
        let mut stopped = None;
        // What finds no place may find one after others moved; and what was on its way here may arrive.
        while stopped.is_none() {
            let before = self.moved;
            stopped = self.round(expected).await;
            if self.moved == before {
                break;
            }
        }
        self.end(stopped).await;
    }

    /// Moves what can be moved now. Returns why it ended early.
    async fn round(&mut self, expected: usize) -> Option<&'static str> {
        let plan = self.api.plan_of_drain(&self.addr).await;
        for planned in plan.moves {
            if let Some(why) = self.teller.must_stop() {
                return Some(why);
            }
            let view = self.api.cluster.view();
            let Some(node) = view.at(&self.addr) else { return Some("the node is gone") };
            let Some(container) = node.inventory.containers.get(&planned.id) else { continue };
            if !self.failed.contains_key(&planned.id) {
                self.one(node, container, expected).await;
            }
        }
        None
    }

    async fn one(&mut self, node: &Arc<Node>, container: &Arc<Container>, expected: usize) {
        let number = self.moved + self.failed.len() + 1;
        let moving = Moving {
            container: container.name().to_string(),
            id: container.id.clone(),
            from: node.name().to_string(),
            number,
            of: expected.max(number),
        };
        self.teller.tell(&Progress::Moving(moving)).await;
        let excluded = vec![node.addr.clone()];
        let carrier = Carrier { api: &self.api, teller: &self.teller, node, container, excluded };
        match carrier.carry().await {
            Ok(moved) => {
                self.moved += 1;
                self.teller.tell(&Progress::Moved(moved)).await;
            }
            Err(trouble) => {
                let why = match trouble {
                    Trouble::Failed(why) => why,
                    Trouble::Nowhere => "the room that was there for it is taken meanwhile".to_string(),
                };
                let left = failed(node, container, why);
                self.teller.tell(&Progress::Failed(left.clone())).await;
                self.failed.insert(container.id.clone(), left);
            }
        }
    }

    async fn end(self, stopped: Option<&'static str>) {
        let plan = self.api.plan_of_drain(&self.addr).await;
        let not_done = |m: &crate::scheduler::moves::Move| Left {
            container: m.container.clone(),
            id: m.id.clone(),
            node: m.from.clone(),
            why: stopped.map_or("it came meanwhile".to_string(), |why| format!("not begun with: {why}")),
            holds_up: true,
        };
        let mut left = plan.left;
        left.extend(plan.moves.iter().map(not_done));
        // What failed is told as that, whatever might be said of it now.
        left.retain(|l| !self.failed.contains_key(&l.id));
        left.extend(self.failed.into_values());
        let note = stopped.map(str::to_string).unwrap_or(plan.note);
        let complete = note.is_empty() && complete(&left);
        tracing::info!(
            ENGINE = self.addr,
            "drain of {}: {} moved, {} left",
            self.addr,
            self.moved,
            left.len()
        );
        self.teller.tell(&Progress::Done(Done { moved: self.moved, left, complete, note })).await;
    }
}

/// The view in which a node is drained.
fn drained(view: &View, addr: &str) -> View {
    let Some(node) = view.at(addr) else { return view.clone() };
    let mut orders = Orders::clone(&node.orders);
    orders.set_availability(Availability::Drained, "", 0);
    view.with(Arc::new(Node { orders: Arc::new(orders), ..Node::clone(node) }))
}

fn complete(left: &[Left]) -> bool {
    !left.iter().any(|l| l.holds_up)
}

fn failed(node: &Node, container: &Container, why: String) -> Left {
    let (container, id) = (container.name().to_string(), container.id.clone());
    Left { container, id, node: node.name().to_string(), why, holds_up: true }
}

/// All that is on a node that does not answer.
fn unreachable(node: &Node) -> Vec<Left> {
    let state = node.state.word();
    let why = match &node.error {
        Some(error) => format!("its node is {state}: {error}"),
        None => format!("its node is {state}"),
    };
    node.inventory.containers.values().map(|c| failed(node, c, why.clone())).collect()
}
