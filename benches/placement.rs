//! How long one placement takes: `cargo bench --bench placement [-- NODES CONTAINERS_EACH]`.
//!
//! Plain `std::time`, no framework: each question is asked many times; best, median and 99th percentile are printed (the best
//! is what a busy machine falsifies least). The clusters are built as the engines' tasks build them.

#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "a benchmark")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use swarmd::cluster::View;
use swarmd::cluster::pending::{Pending, Reservation};
use swarmd::config::{Filter, Strategy};
use swarmd::docker::json::Object;
use swarmd::docker::types::{Info, Inspected, ListedImage, Version};
use swarmd::engine::container::Place;
use swarmd::engine::inventory::Image;
use swarmd::engine::ledger::Ledger;
use swarmd::engine::machine::State;
use swarmd::engine::specs::Specs;
use swarmd::engine::{Container, Node};
use swarmd::scheduler::{self, Options, Request};

/// Time spent on each question.
const BUDGET: Duration = Duration::from_secs(2);
const FILTERS: [Filter; 7] = [
    Filter::Health,
    Filter::Port,
    Filter::ContainerSlots,
    Filter::Dependency,
    Filter::Affinity,
    Filter::Constraint,
    Filter::Whitelist,
];

fn main() {
    let sizes: Vec<usize> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    match sizes.as_slice() {
        [nodes, each] => measure(*nodes, *each),
        // `cargo test --benches`: does it run at all?
        _ if !std::env::args().any(|a| a == "--bench") => measure(3, 3),
        _ => [(10, 30), (1_000, 30), (10_000, 30)].into_iter().for_each(|(nodes, each)| measure(nodes, each)),
    }
}

fn measure(nodes: usize, each: usize) {
    let view = View::of((0..nodes).map(|n| Arc::new(node(n, each))));
    let pending = promised(&view, 20);
    println!("{nodes} nodes, {} containers, 20 promised", nodes * each);
    println!("  {:<52} {:>9} {:>9} {:>9}  result", "question", "best", "median", "99 %");
    for (what, body) in questions(nodes) {
        for strategy in [Strategy::Spread, Strategy::Binpack] {
            let options = Options { strategy, filters: FILTERS.to_vec(), overcommit_percent: 5 };
            let (best, median, late, result) = ask(&view, &pending, &request(&body), &options);
            println!(
                "  {:<52} {best:>9.1?} {median:>9.1?} {late:>9.1?}  {result}",
                format!("{what}, {strategy:?}")
            );
        }
    }
}

fn ask(
    view: &View,
    pending: &Pending,
    request: &Request,
    options: &Options,
) -> (Duration, Duration, Duration, String) {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut times = Vec::new();
    let begun = Instant::now();
    let mut result = String::new();
    while times.len() < 21 || (begun.elapsed() < BUDGET && times.len() < 10_000) {
        let start = Instant::now();
        let placed = black_box(scheduler::place(view, pending, black_box(request), options, &mut rng));
        times.push(start.elapsed());
        result =
            placed.map_or_else(|r| format!("none of {}", r.reasons.len()), |p| p.node.name().to_string());
    }
    times.sort();
    (times[0], times[times.len() / 2], times[times.len() * 99 / 100], result)
}

/// From a bare `docker run` to one that uses every filter, to those that only one node or none satisfies.
fn questions(nodes: usize) -> Vec<(&'static str, Value)> {
    let everything = json!({
        "Labels": {"app": "web"},
        "HostConfig": {
            "Memory": 64 << 20, "NanoCpus": 100_000_000,
            "PortBindings": {"80/tcp": [{"HostPort": "8001"}], "53/udp": [{"HostPort": "5300-5310"}]},
        },
        "Env": [
            "affinity:app!=app-7", "affinity:container!=/^web-1..$/", "affinity:image==~img-3:*",
            "constraint:disk==ssd", "constraint:region==/^(eu|us|ap)-/", "constraint:storagedriver==overlay*",
        ],
    });
    let some = (0..40).map(|n| format!("node-{}", n * 7 % nodes)).collect::<Vec<_>>().join("|");
    let with = |env: &str, host: Value| {
        let mut body = everything.clone();
        body["Env"].as_array_mut().unwrap().push(json!(env));
        for (key, value) in host.as_object().unwrap() {
            body["HostConfig"][key] = value.clone();
        }
        body
    };
    // The last one with an SSD and with room for the rest of what is asked.
    let last =
        (0..nodes).rev().find(|n| n.is_multiple_of(2) && (0..30).all(|c| (n + c) % 50 != 7)).unwrap_or(0);
    vec![
        ("no wishes", json!({})),
        ("memory and CPUs", json!({"HostConfig": {"Memory": 64 << 20, "NanoCpus": 100_000_000}})),
        ("every filter but whitelist", everything.clone()),
        ("every filter", with(&format!("whitelist:node=={some}"), json!({}))),
        ("every filter, one node by name", with(&format!("constraint:node==node-{last}"), json!({}))),
        (
            "every filter, one node by volumes-from",
            with("affinity:app!=x", json!({"VolumesFrom": [format!("c-{last}-0")]})),
        ),
        ("every filter, one node by affinity", with(&format!("affinity:container==c-{last}-1"), json!({}))),
        (
            "a port that is taken everywhere",
            json!({"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "9000"}]}}}),
        ),
        ("every filter, no node by label", with("affinity:app==nobody", json!({}))),
    ]
}

fn request(body: &Value) -> Request {
    let mut body = Object::parse(body.to_string().as_bytes()).unwrap();
    Request::from_create(&mut body, Some("new")).unwrap()
}

fn promised(view: &View, count: usize) -> Pending {
    let mut pending = Pending::default();
    for node in view.nodes().step_by((view.nodes().len() / count).max(1)) {
        let container = request(&json!({"HostConfig": {"Memory": 1 << 20}})).reservation(node);
        pending.reserve(Reservation { addr: node.addr.clone(), container });
    }
    pending
}

fn node(number: usize, each: usize) -> Node {
    let disk = if number.is_multiple_of(2) { "ssd" } else { "sd" };
    let region = ["eu-west", "eu-north", "us-east", "us-west", "ap-south"][number / 2 % 5];
    let info = Info {
        id: format!("ID-{number}"),
        name: format!("node-{number}"),
        cpus: 16,
        mem_total: 64 << 30,
        driver: "overlay2".into(),
        kernel_version: "6.12.0".into(),
        operating_system: "Debian GNU/Linux 13".into(),
        os_type: "linux".into(),
        architecture: "x86_64".into(),
        labels: vec![format!("disk={disk}"), format!("region={region}"), "containerslots=100".into()],
        ..Info::default()
    };
    let version = json!({"Version": "28", "ApiVersion": "1.51", "MinAPIVersion": "1.24"});
    let version: Version = serde_json::from_value(version).unwrap();
    let addr = format!("10.{}.{}.{}:2375", number >> 16, number >> 8 & 255, number & 255);
    let mut ledger = Ledger::default();
    // Not all equally full, so that the ranking has something to do.
    for n in 0..each - number * 7 % 3 {
        let asked = ledger.ask();
        let container = container(number, n);
        ledger.learn(asked, &container.id.clone(), Some(Arc::new(container)));
    }
    ledger.images((0..10).map(|i| image(number, i)).collect());
    Node {
        state: State::Healthy,
        health: 100,
        specs: Some(Arc::new(Specs::read(&addr, &info, &version, 0).unwrap())),
        inventory: Arc::new(ledger.publish(info.cpus)),
        ..Node::unknown(addr, 0)
    }
}

fn container(node: usize, n: usize) -> Container {
    let id = format!("{:064x}", (node * 1000 + n) as u128 * 0x9E37_79B9_7F4A_7C15);
    let name = format!("/c-{node}-{n}");
    let listed = json!({
        "Id": id, "Names": [name], "Image": format!("img-{}:latest", n % 10),
        "Labels": {
            "app": format!("app-{}", (node + n) % 50), "tier": "back", "com.docker.swarm.id": format!("s{id}"),
            "com.docker.compose.project": "shop", "com.docker.compose.service": "web", "com.docker.compose.oneoff": "False",
        },
        "Ports": if n == 0 { json!([{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 9000, "Type": "tcp"}]) } else { json!([]) },
    });
    let ports = if n < 3 { json!({"80/tcp": [{"HostPort": format!("{}", 9000 + n)}]}) } else { json!({}) };
    let inspected = json!({
        "HostConfig": {"Memory": (n as i64 % 4) << 26, "NanoCpus": 50_000_000, "PortBindings": ports},
        "Config": {"ExposedPorts": {"80/tcp": {}}},
        "State": {"Running": true, "StartedAt": "2026-01-01T00:00:00Z"},
    });
    let listed = Object::parse(listed.to_string().as_bytes()).unwrap();
    let inspected: Inspected = serde_json::from_value(inspected).unwrap();
    Container::build(&listed, &inspected, &Place::default()).unwrap()
}

fn image(node: usize, n: usize) -> Image {
    let fields = ListedImage {
        id: format!("sha256:{:064x}", n * 77),
        repo_tags: vec![format!("img-{}:latest", (n + node) % 12), format!("registry:5000/img-{n}:1.{n}")],
        ..ListedImage::default()
    };
    Image { fields, entry: Object::default() }
}
