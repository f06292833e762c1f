//! The strategies by the predecessor's own examples (`classic-scheduler` 1.3, 1.4, 6.2, 6.3).

use serde_json::{Value, json};

use crate::cluster::pending::Pending;
use crate::config::Strategy::{self, Binpack, Random, Spread};
use crate::docker::json::Object;
use crate::scheduler::Request;
use crate::scheduler::overcommit_percent;
use crate::scheduler::rig::{
    Bed, GB, container, decided, node, options, placed, plain, promise, request, run, try_place, view,
};
use crate::scheduler::strategy::with_overcommit;

const NO_ROOM: &str = "no resources available to schedule container";

fn memory(gb: i64) -> Request {
    request(json!({"HostConfig": {"Memory": gb * GB}}))
}

fn cpus(n: i64) -> Request {
    request(json!({"HostConfig": {"CpuShares": n}}))
}

fn beds(count: usize, cpus: i64, memory: i64) -> Vec<Bed> {
    (1..=count).map(|i| node(&format!("n{i}")).size(cpus, memory)).collect()
}

/// Places one after the other; the nodes, or the error.
fn sequence(nodes: &mut [Bed], strategy: Strategy, percent: i64, requests: &[Request]) -> Vec<String> {
    let options = options(strategy, percent);
    let each = requests.iter().enumerate();
    each.map(|(i, r)| run(nodes, r, &options, i).unwrap_or_else(|rejection| rejection.message)).collect()
}

fn count(nodes: &[Bed]) -> Vec<usize> {
    nodes.iter().map(|n| n.containers.len()).collect()
}

#[test]
fn weights_of_the_worked_example() {
    for (health, spread, binpack) in [(100, -800, 1200), (67, -470, 870), (34, -140, 540)] {
        let weight = |strategy| {
            decided(&[node("a").health(health)], &Request::default(), &options(strategy, 5)).ranking[0].weight
        };
        assert_eq!((weight(Spread), weight(Binpack)), (spread, binpack), "health {health}");
    }
}

#[test]
fn weights_are_truncated_percentages() {
    let bed = || {
        node("a").size(4, 4 * GB).holds(container(
            "c",
            &["c"],
            json!({"HostConfig": {"Memory": GB, "CpuShares": 256}}),
        ))
    };
    let scores = |body: Value| {
        let ranked =
            &decided(&[bed()], &request(json!({"HostConfig": body})), &options(Spread, 0)).ranking[0];
        (ranked.cpu_score, ranked.memory_score, ranked.weight)
    };
    assert_eq!(scores(json!({})), (100, 100, -800));
    // 256 shares of 4 CPUs are one.
    assert_eq!(scores(json!({"CpuShares": 1})), (50, 100, -850));
    assert_eq!(scores(json!({"Memory": GB})), (100, 50, -850));
    assert_eq!(scores(json!({"Memory": 1})), (100, 25, -875));
    assert_eq!(scores(json!({"NanoCpus": 500_000_000})), (37, 100, -863));
}

#[test]
fn what_remains_equal_is_decided_by_containers_then_by_name() {
    let nodes = || vec![node("n10"), node("n2").holds(plain("x")), node("n9")];
    let by = |strategy| decided(&nodes(), &Request::default(), &options(strategy, 0));
    let order = |strategy| by(strategy).ranking.into_iter().map(|r| r.node).collect::<Vec<_>>().join(" ");
    assert_eq!(order(Spread), "n9 n10 n2");
    assert_eq!(order(Binpack), "n2 n9 n10");
}

#[test]
fn one_failed_contact_outweighs_everything_else() {
    let full = node("full").holds(container("c", &["c"], json!({"HostConfig": {"Memory": 3 * GB}})));
    let nodes = [full, node("shaky").health(67)];
    assert_eq!(try_place(&nodes, &memory(1)).unwrap(), "full");
}

#[test]
fn place_equal_weight() {
    let nodes = || {
        let mut nodes = beds(2, 2, 2 * GB);
        nodes[0].containers.push(container("a", &["a"], json!({"HostConfig": {"Memory": GB}})));
        for id in ["b1", "b2"] {
            nodes[1].containers.push(container(id, &[id], json!({"HostConfig": {"Memory": GB / 2}})));
        }
        nodes
    };
    assert_eq!(sequence(&mut nodes(), Binpack, 5, &[memory(1)]), ["n2"]);
    assert_eq!(sequence(&mut nodes(), Spread, 5, &[memory(1)]), ["n1"]);
}

#[test]
fn two_halves_go_together_or_apart() {
    for what in [memory(1), cpus(1)] {
        let pair = [what.clone(), what];
        let packed = sequence(&mut beds(2, 2, 2 * GB), Binpack, 5, &pair);
        assert_eq!(packed[0], packed[1]);
        let spread = sequence(&mut beds(2, 2, 2 * GB), Spread, 5, &pair);
        assert_ne!(spread[0], spread[1]);
    }
}

#[test]
fn a_hundred_nodes_take_a_hundred_of_each() {
    for strategy in [Binpack, Spread] {
        let mut nodes = beds(100, 1, GB);
        let all: Vec<Request> = (0..100)
            .map(|_| cpus(1))
            .chain([cpus(1)])
            .chain((0..100).map(|_| memory(1)))
            .chain([memory(1)])
            .collect();
        let results = sequence(&mut nodes, strategy, 5, &all);
        assert_eq!(results[100], NO_ROOM);
        assert_eq!(results[201], NO_ROOM);
        assert_eq!(count(&nodes), vec![2; 100]);
    }
}

#[test]
fn five_percent_of_a_hundred_gigabytes() {
    for strategy in [Binpack, Spread] {
        for (gb, fits) in [(90, true), (100, true), (105, true), (106, false)] {
            let placed = sequence(&mut [node("n").size(100, 100 * GB)], strategy, 5, &[memory(gb)]);
            assert_eq!(placed[0] == "n", fits, "{gb} GB: {placed:?}");
        }
    }
}

#[test]
fn the_binpack_demo() {
    let mut nodes = beds(3, 2, 2 * GB);
    assert_eq!(sequence(&mut nodes, Binpack, 5, &[memory(10)]), [NO_ROOM]);
    let placed =
        sequence(&mut nodes, Binpack, 5, &[memory(1), memory(1), memory(2), memory(1), memory(1), memory(1)]);
    assert_eq!(placed, ["n1", "n1", "n2", "n3", "n3", NO_ROOM]);
    nodes[1].containers.clear();
    assert_eq!(sequence(&mut nodes, Binpack, 5, &[memory(1)]), ["n2"]);
}

#[test]
fn complex_placement() {
    let three = [memory(2), memory(3), memory(1)];
    let packed = sequence(&mut beds(2, 4, 4 * GB), Binpack, 5, &three);
    assert_ne!(packed[0], packed[1]);
    assert_eq!(packed[2], packed[1], "joins the 3 GB one");
    let spread = sequence(&mut beds(2, 4, 4 * GB), Spread, 5, &three);
    assert_ne!(spread[0], spread[1]);
    assert_eq!(spread[2], spread[0], "joins the 2 GB one");
}

#[test]
fn sizes_count_only_for_reservations() {
    let sizes = || vec![node("n1").size(21, 21 * GB), node("n2").size(42, 42 * GB)];
    let mut nodes = sizes();
    sequence(&mut nodes, Spread, 5, &vec![Request::default(); 60]);
    assert_eq!(count(&nodes), [30, 30]);
    let mut nodes = sizes();
    sequence(&mut nodes, Spread, 5, &vec![cpus(1); 60]);
    assert_eq!(count(&nodes), [20, 40]);
}

#[test]
fn random_looks_at_no_resources_and_repeats_with_its_seed() {
    let nodes = beds(5, 1, GB);
    let huge = memory(1000);
    let ask = |seed| {
        let mut rng = fastrand::Rng::with_seed(seed);
        let view = view(&nodes);
        crate::scheduler::place(&view, &Pending::default(), &huge, &options(Random, 0), &mut rng)
            .unwrap()
            .node
            .name()
            .to_string()
    };
    let drawn: std::collections::BTreeSet<String> = (0..200).map(ask).collect();
    assert_eq!(drawn.len(), 5);
    assert_eq!(ask(3), ask(3));
}

#[test]
fn overcommit_in_floating_point_and_whole_numbers() {
    for (ratio, percent) in
        [(0.05, 5), (0.29, 28), (0.57, 56), (1.1, 110), (0.005, 0), (-0.5, -50), (0.0, 0), (2.0, 200)]
    {
        assert_eq!(overcommit_percent(ratio), percent, "{ratio}");
    }
    for (capacity, percent, total) in
        [(1024, 5, 1075), (1024, 0, 1024), (2, 5, 2), (19, 5, 19), (20, 5, 21), (4, -50, 2)]
    {
        assert_eq!(with_overcommit(capacity, percent), total, "{capacity} + {percent} %");
    }
}

#[test]
fn a_full_node_takes_up_to_a_hundred_and_a_bit() {
    // 1009 of 1000 is 100 % after truncation, 1010 is not.
    let ask = |bytes: i64| {
        let bed =
            node("n").size(1, 1000).holds(container("c", &["c"], json!({"HostConfig": {"Memory": 500}})));
        try_place(&[bed], &request(json!({"HostConfig": {"Memory": bytes}}))).is_ok()
    };
    assert!(ask(500) && ask(509) && !ask(510));
}

#[test]
fn limits_weigh_but_only_one_too_large_for_the_node_is_refused() {
    let limited = |nano: i64| request(json!({"HostConfig": {"NanoCpus": nano}}));
    let running = json!({"Running": true, "StartedAt": "2026-01-01T00:00:00Z"});
    let busy = json!({"HostConfig": {"NanoCpus": 6_000_000_000_i64}, "State": running});
    let nodes = [node("a").size(4, GB).holds(container("c", &["c"], busy)), node("b").size(4, GB)];
    let weights = |nodes: &[Bed]| -> Vec<_> {
        let decision = decided(nodes, &limited(4_000_000_000), &options(Spread, 0));
        decision.ranking.iter().map(|r| (r.node.clone(), r.cpu_score)).collect()
    };
    assert_eq!(weights(&nodes), [("b".into(), 100), ("a".into(), 250)]);
    // Who reserves CPUs does not mind what others may use at most.
    let decision = decided(&nodes[..1], &cpus(4), &options(Spread, 0));
    assert_eq!(decision.node.as_deref(), Some("a"));
    let refused = decided(&nodes, &limited(4_100_000_000), &options(Spread, 0));
    assert_eq!(refused.turned_away[0].text, "is asked for 4.1 CPUs (--cpus), has 4");
}

#[test]
fn who_counts_for_what() {
    let used = |state: Value, host: Value| {
        let held = container("c", &["c"], json!({"HostConfig": host, "State": state}));
        let decision = decided(&[node("n").holds(held)], &Request::default(), &options(Spread, 0));
        let ranked = &decision.ranking[0];
        (ranked.memory_reserved, ranked.milli_cpus_reserved, ranked.containers)
    };
    let host = || json!({"Memory": 100, "CpuShares": 512});
    let begun = "2026-01-01T00:00:00Z";
    for (state, expected) in [
        (json!({"Running": true, "StartedAt": begun}), (100, 2000, 1)),
        (json!({"Running": true, "Paused": true, "StartedAt": begun}), (100, 2000, 1)),
        (json!({"Running": true, "Restarting": true, "StartedAt": begun}), (100, 2000, 1)),
        (json!({"StartedAt": "0001-01-01T00:00:00Z"}), (100, 2000, 1)),
        (json!({"StartedAt": begun, "FinishedAt": begun}), (0, 0, 1)),
        (json!({"Dead": true, "StartedAt": begun}), (0, 0, 1)),
    ] {
        assert_eq!(used(state.clone(), host()), expected, "{state}");
    }
    let running = || json!({"Running": true, "StartedAt": begun});
    for (host, expected) in [
        (json!({"MemoryReservation": 70}), (70, 0, 1)),
        (json!({"Memory": 100, "MemoryReservation": 70}), (100, 0, 1)),
        (json!({"NanoCpus": 250_000_000}), (0, 0, 1)),
        (json!({"CpuQuota": 50_000, "CpuPeriod": 100_000}), (0, 0, 1)),
        (json!({"CpusetCpus": "0-3", "MemorySwap": 500}), (0, 0, 1)),
    ] {
        assert_eq!(used(running(), host.clone()), expected, "{host}");
    }
}

#[test]
fn promises_count_once_and_for_everything() {
    let bed = node("n").size(4, 4 * GB).labels("containerslots=2");
    let mut pending = Pending::default();
    let mut first = request(json!({
        "HostConfig": {"Memory": 3 * GB, "CpuShares": 3, "PortBindings": {"80/tcp": [{"HostPort": "80"}]}},
        "Labels": {"app": "web"},
    }));
    first.name = Some("first".into());
    first.set_label(&mut Object::default(), "com.docker.swarm.id", "s1");
    promise(&mut pending, &bed, &first);
    let ask = |bed: &Bed, body: Value| {
        placed(&view(std::slice::from_ref(bed)), &pending, &request(body), &options(Spread, 0)).is_ok()
    };
    assert!(ask(&bed, json!({})));
    assert!(!ask(&bed, json!({"HostConfig": {"Memory": 2 * GB}})));
    assert!(ask(&bed, json!({"HostConfig": {"CpuShares": 1}})));
    assert!(!ask(&bed, json!({"HostConfig": {"CpuShares": 2}})));
    assert!(!ask(&bed, json!({"HostConfig": {"PortBindings": {"8080/tcp": [{"HostPort": "80"}]}}})));
    assert!(ask(&bed, json!({"Env": ["affinity:app==web", "affinity:container==first"]})));
    assert!(!ask(&bed, json!({"Env": ["affinity:container!=first"]})));
    assert!(ask(&bed, json!({"HostConfig": {"VolumesFrom": ["first:ro"]}})));
    // Once the engine shows it, it counts as that.
    let mut shown = first.reservation(&bed.build());
    shown.id = "c1".into();
    let bed = bed.holds(shown);
    assert!(ask(&bed, json!({"HostConfig": {"CpuShares": 1}})));
    // A second promise fills the slots.
    promise(&mut pending, &bed, &Request::default());
    let full = placed(&view(&[bed]), &pending, &Request::default(), &options(Spread, 0)).unwrap_err();
    assert_eq!(full.reasons[0].text, "holds 2 containers, containerslots=2");
}
