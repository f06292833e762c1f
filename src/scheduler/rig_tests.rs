//! What the scheduler's tests are written with: nodes and containers in a line each, and questions to them.

#![allow(clippy::needless_pass_by_value, reason = "`json!` reads best as an argument")]

use std::sync::Arc;

use serde_json::{Value, json};

use crate::cluster::View;
use crate::cluster::pending::{Pending, Reservation};
use crate::config::{Filter, Strategy};
use crate::docker::json::Object;
use crate::docker::types::{Info, Inspected, ListedImage, Version};
use crate::engine::container::Place;
use crate::engine::inventory::Image;
use crate::engine::ledger::Ledger;
use crate::engine::machine::State;
use crate::engine::specs::Specs;
use crate::engine::{Container, Node};
use crate::scheduler::{self, Decision, Options, Rejection, Request};

pub const GB: i64 = 1 << 30;

/// The filters in their default order.
pub const ALL: [Filter; 7] = [
    Filter::Health,
    Filter::Port,
    Filter::ContainerSlots,
    Filter::Dependency,
    Filter::Affinity,
    Filter::Constraint,
    Filter::Whitelist,
];

/// A node in the making: healthy, 4 CPUs, 4 GB.
#[derive(Debug)]
pub struct Bed {
    info: Info,
    images: Vec<Image>,
    pub containers: Vec<Container>,
    health: i64,
    state: State,
}

/// A node of this name. Its ID is `ID-<name>`, its address `<name>:1`.
pub fn node(name: &str) -> Bed {
    let info =
        Info { id: format!("ID-{name}"), name: name.into(), cpus: 4, mem_total: 4 * GB, ..Info::default() };
    Bed { info, images: Vec::new(), containers: Vec::new(), health: 100, state: State::Healthy }
}

impl Bed {
    pub fn size(mut self, cpus: i64, memory: i64) -> Bed {
        (self.info.cpus, self.info.mem_total) = (cpus, memory);
        self
    }

    /// Blank-separated engine labels: `disk=ssd region=us-east`.
    pub fn labels(mut self, labels: &str) -> Bed {
        self.info.labels.extend(labels.split_whitespace().map(String::from));
        self
    }

    pub fn info(mut self, change: impl FnOnce(&mut Info)) -> Bed {
        change(&mut self.info);
        self
    }

    pub fn health(mut self, health: i64) -> Bed {
        self.health = health;
        if health == 0 {
            self.state = State::Unhealthy;
        }
        self
    }

    pub fn image(mut self, id: &str, tags: &[&str]) -> Bed {
        let repo_tags = tags.iter().map(|t| t.to_string()).collect();
        let fields = ListedImage { id: id.into(), repo_tags, ..ListedImage::default() };
        self.images.push(Image { fields, entry: Object::default() });
        self
    }

    pub fn holds(mut self, container: Container) -> Bed {
        self.containers.push(container);
        self
    }

    pub fn build(&self) -> Node {
        let version = json!({"Version": "28", "ApiVersion": "1.51", "MinAPIVersion": "1.24"});
        let version: Version = serde_json::from_value(version).unwrap();
        let addr = format!("{}:1", self.info.name);
        let mut ledger = Ledger::default();
        for container in &self.containers {
            let asked = ledger.ask();
            ledger.learn(asked, &container.id, Some(Arc::new(container.clone())));
        }
        ledger.images(self.images.clone());
        Node {
            state: self.state,
            health: self.health,
            specs: Some(Arc::new(Specs::read(&addr, &self.info, &version, 0).unwrap())),
            inventory: Arc::new(ledger.publish(self.info.cpus)),
            ..Node::unknown(addr, 0)
        }
    }
}

/// A running container from `{"HostConfig":…, "Config":…, "Labels":…, "Ports":…, "State":…}`.
pub fn container(id: &str, names: &[&str], what: Value) -> Container {
    let names: Vec<String> = names.iter().map(|n| format!("/{n}")).collect();
    let listed = json!({"Id": id, "Names": names, "Labels": what["Labels"], "Ports": what["Ports"]});
    let mut inspected = what;
    if inspected["State"].is_null() {
        inspected["State"] = json!({"Running": true, "StartedAt": "2026-01-01T00:00:00Z"});
    }
    let listed = Object::parse(listed.to_string().as_bytes()).unwrap();
    let inspected: Inspected = serde_json::from_value(inspected).unwrap();
    Container::build(&listed, &inspected, &Place::default()).unwrap()
}

/// A running container without anything.
pub fn plain(id: &str) -> Container {
    container(id, &[id], json!({}))
}

/// A request as a client sends it.
pub fn request(body: Value) -> Request {
    let mut body = Object::parse(body.to_string().as_bytes()).unwrap();
    Request::from_create(&mut body, None).unwrap()
}

/// A request with these expressions in its environment: `constraint:disk==ssd`.
pub fn asking(env: &[&str]) -> Request {
    request(json!({"Env": env}))
}

pub fn view(nodes: &[Bed]) -> View {
    View::of(nodes.iter().map(|n| Arc::new(n.build())))
}

pub fn options(strategy: Strategy, percent: i64) -> Options {
    Options { strategy, filters: ALL.to_vec(), overcommit_percent: percent }
}

pub fn try_place(nodes: &[Bed], request: &Request) -> Result<String, Rejection> {
    placed(&view(nodes), &Pending::default(), request, &options(Strategy::Spread, 0))
}

pub fn placed(
    view: &View,
    pending: &Pending,
    request: &Request,
    options: &Options,
) -> Result<String, Rejection> {
    let mut rng = fastrand::Rng::with_seed(7);
    scheduler::place(view, pending, request, options, &mut rng).map(|p| p.node.name().to_string())
}

pub fn decided(nodes: &[Bed], request: &Request, options: &Options) -> Decision {
    let mut rng = fastrand::Rng::with_seed(7);
    scheduler::explain(&view(nodes), &Pending::default(), request, options, &mut rng)
}

/// Names of the nodes that would do, sorted and joined; or the error text, up to its reasons.
pub fn fitting(nodes: &[Bed], request: &Request) -> String {
    let decision = decided(nodes, request, &options(Strategy::Spread, 0));
    let mut names: Vec<String> = decision.ranking.into_iter().map(|r| r.node).collect();
    names.sort();
    decision.error.unwrap_or_else(|| names.join(" "))
}

/// Places and then holds what was placed, as if the engine had created it.
pub fn run(
    nodes: &mut [Bed],
    request: &Request,
    options: &Options,
    number: usize,
) -> Result<String, Rejection> {
    let name = placed(&view(nodes), &Pending::default(), request, options)?;
    let bed = nodes.iter_mut().find(|n| n.info.name == name).unwrap();
    let mut made = request.reservation(&bed.build());
    made.id = format!("made-{number}");
    bed.containers.push(made);
    Ok(name)
}

/// A promise to a node.
pub fn promise(pending: &mut Pending, node: &Bed, request: &Request) -> u64 {
    let node = node.build();
    pending.reserve(Reservation { addr: node.addr.clone(), container: request.reservation(&node) })
}
