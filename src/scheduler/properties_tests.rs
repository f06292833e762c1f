//! What holds for any cluster and any request: never over capacity, never a forbidden node, the same for the same
//! input, every node explained once; and parallel creates never book anything twice.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::cluster::View;
use crate::cluster::pending::{Pending, Reservation};
use crate::config::Strategy as Order;
use crate::engine::{Node, Resources};
use crate::scheduler::rig::{ALL, Bed, container, node, request};
use crate::scheduler::{Options, Request, explain, place};

fn label() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just(""),
        Just("disk=ssd"),
        Just("disk=sd room=attic"),
        Just("containerslots=2"),
        Just("devices=/dev/x")
    ]
}

fn host() -> impl Strategy<Value = Value> {
    let memory = prop_oneof![Just(0), 0i64..2000];
    let nano = prop_oneof![Just(0), (1i64..40).prop_map(|n| n * 100_000_000)];
    let ports = prop_oneof![Just(""), Just("80"), Just("81"), Just("80-82")];
    (memory, nano, 0i64..3, ports).prop_map(|(memory, nano, shares, port)| {
        let bindings = if port.is_empty() { json!({}) } else { json!({"80/tcp": [{"HostPort": port}]}) };
        json!({"Memory": memory, "NanoCpus": nano, "CpuShares": shares, "PortBindings": bindings})
    })
}

fn body() -> impl Strategy<Value = Value> {
    const ENV: [&str; 15] = [
        "constraint:node==n2",
        "constraint:node==ID-n1",
        "constraint:disk==ssd",
        "constraint:disk!=~/s+d/",
        "constraint:node==~n1",
        "affinity:app==~web",
        "affinity:app!=web",
        "affinity:container!=c00-web",
        "affinity:container==c10-web",
        "affinity:container==~c0de00",
        "affinity:container==c0de",
        "affinity:container==~c*",
        "whitelist:node==~n0|n1|n2",
        "constraint:room==attic",
        "affinity:image==busybox",
    ];
    let env = proptest::sample::subsequence(ENV.to_vec(), 0..3);
    let device = prop_oneof![4 => Just(json!([])), 1 => Just(json!([{"PathOnHost": "/dev/x"}]))];
    let shared = prop_oneof![
        8 => Just(json!([])),
        1 => Just(json!(["c10-web:ro"])),
        1 => Just(json!(["c0de1"])),
        1 => Just(json!(["c0"])),
        1 => Just(json!(["n1/c11-web"]))
    ];
    (host(), env, any::<bool>(), device, shared).prop_map(|(mut host, env, web, device, shared)| {
        host["Devices"] = device;
        host["VolumesFrom"] = shared;
        json!({"HostConfig": host, "Env": env, "Labels": if web { json!({"app": "web"}) } else { json!({}) }})
    })
}

/// Labels, CPUs, memory, health, what it holds (and whether that runs), whether it has the image.
type Draft = (&'static str, i64, i64, i64, Vec<(Value, bool)>, bool);

fn beds() -> impl Strategy<Value = Vec<Bed>> {
    let held = vec((host(), any::<bool>()), 0..4);
    let bed =
        (label(), 1i64..8, 100i64..4000, prop_oneof![Just(100i64), Just(67), Just(0)], held, any::<bool>());
    vec(bed, 0..6).prop_map(|beds| {
        let bed = |(i, (labels, cpus, memory, health, held, image)): (usize, Draft)| {
            let mut bed = node(&format!("n{i}")).labels(labels).size(cpus, memory).health(health);
            if image {
                bed = bed.image("sha256:1", &["busybox:latest"]);
            }
            for (j, (host, running)) in held.into_iter().enumerate() {
                let begun = "2026-01-01T00:00:00Z";
                let state = json!({"Running": running, "StartedAt": begun, "FinishedAt": begun});
                let (id, name) = (format!("c0de{i}{j}"), format!("c{i}{j}-web"));
                bed = bed.holds(container(&id, &[&name], json!({"HostConfig": host, "State": state})));
            }
            bed
        };
        beds.into_iter().enumerate().map(bed).collect()
    })
}

fn options() -> impl Strategy<Value = Options> {
    let order = prop_oneof![Just(Order::Spread), Just(Order::Binpack), Just(Order::Random)];
    let filters = proptest::sample::subsequence(ALL.to_vec(), 0..=7);
    let all = Just(ALL.to_vec());
    (order, prop_oneof![2 => all, 1 => filters], prop_oneof![Just(0i64), Just(5), Just(-20)])
        .prop_map(|(strategy, filters, overcommit_percent)| Options { strategy, filters, overcommit_percent })
}

fn nodes(beds: &[Bed]) -> Vec<Arc<Node>> {
    beds.iter().map(|b| Arc::new(b.build())).collect()
}

fn name(
    view: &View,
    pending: &Pending,
    request: &Request,
    options: &Options,
    seed: u64,
) -> Result<String, String> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let placed = place(view, pending, request, options, &mut rng);
    placed.map(|p| p.node.name().to_string()).map_err(|r| r.message)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn equal_input_gives_equal_output(beds in beds(), body in body(), options in options(), seed: u64, shuffle: u64) {
        let (mut nodes, request) = (nodes(&beds), request(body));
        let first = name(&View::of(nodes.clone()), &Pending::default(), &request, &options, seed);
        fastrand::Rng::with_seed(shuffle).shuffle(&mut nodes);
        let grown = nodes.iter().fold(View::default(), |view, n| view.with(Arc::clone(n)));
        prop_assert_eq!(name(&grown, &Pending::default(), &request, &options, seed), first);
    }

    #[test]
    fn every_node_is_explained_once(beds in beds(), body in body(), options in options(), seed: u64) {
        let (view, request) = (View::of(nodes(&beds)), request(body));
        let mut rng = fastrand::Rng::with_seed(seed);
        let decision = explain(&view, &Pending::default(), &request, &options, &mut rng);
        let ranked = decision.ranking.iter().map(|r| &r.addr);
        let mut explained: Vec<&String> = ranked.chain(decision.turned_away.iter().map(|r| &r.addr)).collect();
        explained.sort();
        let all: Vec<&String> = view.nodes().map(|n| &n.addr).collect();
        prop_assert_eq!(explained, all);
        // Whoever is not ranked has a reason: no rule leaves out a node that it would let pass.
        let sound = |r: &crate::scheduler::NodeReason| !r.text.is_empty() && r.text != "is Healthy";
        prop_assert!(decision.turned_away.iter().all(sound), "{decision}");
        // It is the decision that `place` makes.
        let placed = name(&view, &Pending::default(), &request, &options, seed);
        prop_assert_eq!(placed.clone().ok(), decision.node.clone());
        prop_assert_eq!(placed.err(), decision.error.clone());
        let order = |a: &crate::scheduler::decision::Ranked| match options.strategy {
            Order::Binpack => (-a.weight, usize::MAX - a.containers),
            _ => (a.weight, a.containers),
        };
        let sorted = decision.ranking.windows(2).all(|w| order(&w[0]) <= order(&w[1]));
        prop_assert!(sorted || options.strategy == Order::Random);
    }

    #[test]
    fn never_over_capacity_and_never_where_it_must_not(beds in beds(), body in body(), seed: u64, percent in 0i64..20) {
        let (view, request) = (View::of(nodes(&beds)), request(body));
        let options = Options { strategy: Order::Spread, filters: ALL.to_vec(), overcommit_percent: percent };
        if let Ok(chosen) = name(&view, &Pending::default(), &request, &options, seed) {
            let node = view.named(&chosen).next().unwrap();
            let (specs, used) = (node.specs.as_ref().unwrap(), node.inventory.used.plus(request.resources()));
            prop_assert!(node.is_healthy());
            // Up to 100.99 %, as ever, of capacity with overcommit.
            let asked = request.resources();
            let total = |capacity: i64| capacity + capacity * percent / 100;
            prop_assert!(asked.memory == 0 || used.memory * 100 < total(specs.memory) * 101);
            prop_assert!(asked.milli_cpus == 0 || used.milli_cpus * 100 < total(specs.cpus) * 1000 * 101);
            prop_assert!(asked.milli_limit <= total(specs.cpus) * 1000);
            for constraint in request.hints.constraints.iter().filter(|c| !c.contains('~')) {
                let (key, value) = constraint.split_once("==").unwrap();
                match key {
                    "node" => prop_assert!(value == specs.name || value == specs.id),
                    key => prop_assert_eq!(specs.labels.get(key).map(String::as_str), Some(value)),
                }
            }
            let slots = specs.labels.get("containerslots").map_or(usize::MAX, |s| s.parse().unwrap());
            prop_assert!(node.inventory.containers.len() < slots);
            let asks_device = !request.host.devices.is_empty();
            let known = view.validated().any(|n| n.specs.as_ref().unwrap().labels.contains_key("devices"));
            prop_assert!(!(asks_device && known) || specs.labels.contains_key("devices"));
        }
    }

    /// Creates that overlap in any way: each is promised before the next is decided, shows up some time
    /// later, and only then is the promise dropped.
    #[test]
    fn overlapping_creates_book_nothing_twice(bodies in vec(host(), 1..24), delays in vec(0usize..6, 24), seed: u64) {
        let mut beds: Vec<Bed> = (0..3).map(|i| node(&format!("n{i}")).size(4, 4000)).collect();
        let options = Options { strategy: Order::Spread, filters: ALL.to_vec(), overcommit_percent: 0 };
        let mut pending = Pending::default();
        let mut under_way: Vec<(usize, u64, usize, crate::engine::Container)> = Vec::new();
        for (step, host) in bodies.into_iter().enumerate() {
            let (shown, open): (Vec<_>, Vec<_>) = under_way.into_iter().partition(|u| u.0 <= step);
            under_way = open;
            for (_, ticket, bed, made) in shown {
                beds[bed].containers.push(made);
                pending.release(ticket);
            }
            let mut request = request(json!({"HostConfig": host}));
            request.labels.insert("com.docker.swarm.id".into(), format!("s{step}"));
            let view = View::of(nodes(&beds));
            let Ok(chosen) = name(&view, &pending, &request, &options, seed) else { continue };
            let node = Arc::clone(view.named(&chosen).next().unwrap());
            let mut made = request.reservation(&node);
            let ticket = pending.reserve(Reservation { addr: node.addr.clone(), container: made.clone() });
            made.id = format!("c{step}");
            let bed = chosen[1..].parse::<usize>().unwrap();
            under_way.push((step + delays[step % delays.len()], ticket, bed, made));
        }
        for (_, _, bed, made) in under_way {
            beds[bed].containers.push(made);
        }
        for bed in &beds {
            let used: Resources = bed.containers.iter().map(|c| Resources::held(c, 4)).sum();
            prop_assert!(used.memory * 100 < 4000 * 101 && used.milli_cpus * 100 < 4000 * 101, "{:?}", used);
            let fixed = |port: &str| {
                let holds = |c: &&crate::engine::Container| {
                    c.host.port_bindings.values().flatten().flatten().any(|b| b.host_port == port)
                };
                bed.containers.iter().filter(holds).count()
            };
            prop_assert!(fixed("80") <= 1 && fixed("81") <= 1);
        }
    }
}
