//! Decisions as a whole: the two passes, the error texts word for word, explanations.

use std::sync::Arc;

use serde_json::json;

use crate::cluster::View;
use crate::cluster::pending::Pending;
use crate::config::{Filter, Strategy};
use crate::engine::Node;
use crate::scheduler::decision::DecidedBy;
use crate::scheduler::rig::{
    ALL, Bed, GB, asking, container, decided, fitting, node, options, plain, request, try_place, view,
};
use crate::scheduler::{Options, Request, place};

const NONE: &str = "Unable to find a node that satisfies the following conditions ";

fn error(nodes: &[Bed], request: &Request) -> String {
    try_place(nodes, request).unwrap_err().into_error().message
}

#[test]
fn a_soft_wish_gives_way_to_resources() {
    let nodes = [node("a").size(1, GB).labels("group=1"), node("b").size(8, GB)];
    let mut request = asking(&["constraint:group==~1"]);
    request.host.cpu_shares = 2;
    let decision = decided(&nodes, &request, &options(Strategy::Spread, 0));
    assert_eq!((decision.node.as_deref(), decision.soft_dropped), (Some("b"), true));
    assert_eq!(decision.ranking.len(), 1);
    assert_eq!(decision.turned_away[0].text, "needs 2 CPUs (-c), 0 free of 1".replace("0 free", "1 free"));
}

#[test]
fn constraints_choose_between_platforms() {
    let nodes =
        [node("w").info(|i| i.os_type = "windows".into()), node("l").info(|i| i.os_type = "linux".into())];
    for (os, name) in [("windows", "w"), ("linux", "l")] {
        let mut request = Request::default();
        request.extra_constraints.push(format!("ostype=={os}"));
        assert_eq!(fitting(&nodes, &request), name);
    }
}

#[test]
fn the_classic_first_lines() {
    let nodes = [node("n1").holds(container(
        "c",
        &["c"],
        json!({"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "80"}]}}}),
    ))];
    let slots = "\n[available container slots]";
    for (request, list) in [
        (
            asking(&["affinity:container==zzz", "affinity:image==~foo"]),
            format!("{slots}\n[container==zzz (soft=false) image==foo (soft=true)]"),
        ),
        (
            asking(&["constraint:foo=bar"]),
            format!("{slots}\nerror from constraint filter: One of operator ==, != is expected"),
        ),
        (
            asking(&["constraint:", "affinity:image!=x"]),
            format!(
                "{slots}\n[image!=x (soft=false)]\nerror from constraint filter: One of operator ==, != is expected"
            ),
        ),
        (
            request(
                json!({"HostConfig": {"VolumesFrom": ["a:ro"], "Links": ["b:c"], "NetworkMode": "container:d"}}),
            ),
            format!("{slots}\n[--volumes-from=a:ro --link=b:c --net=container:d]"),
        ),
        (asking(&["whitelist:node==n5|n6"]), format!("{slots}\n[node==n5|n6 (soft=false)]")),
        (
            asking(&["constraint:disk==ssd", "constraint:room==~attic", "constraint:node!=n1"]),
            format!("{slots}\n[disk==ssd room==attic node!=n1]"),
        ),
        (
            request(json!({"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "80"}]}}})),
            "\n[port 80 (Bridge mode)]".to_string(),
        ),
    ] {
        assert_eq!(try_place(&nodes, &request).unwrap_err().message, format!("{NONE}{list}"));
    }
    let mut huge = Request::default();
    huge.host.memory = 5 * GB;
    assert_eq!(try_place(&nodes, &huge).unwrap_err().message, "no resources available to schedule container");
    let none = Options { filters: vec![Filter::Constraint], ..options(Strategy::Spread, 0) };
    assert_eq!(decided(&[], &Request::default(), &none).error.unwrap(), "No nodes available in the cluster");
}

#[test]
fn the_order_of_filters_is_that_of_the_configuration() {
    let nodes = [node("n").labels("containerslots=1").holds(plain("c"))];
    let request = asking(&["constraint:disk==ssd"]);
    let text = |filters: &[Filter]| {
        let options = Options { filters: filters.to_vec(), ..options(Strategy::Spread, 0) };
        decided(&nodes, &request, &options).error.unwrap_or_default()
    };
    assert_eq!(text(&ALL), format!("{NONE}\n[available container slots]"));
    assert_eq!(text(&[Filter::Constraint, Filter::ContainerSlots]), format!("{NONE}\n[disk==ssd]"));
    assert_eq!(text(&[Filter::Health]), "");
}

#[test]
fn every_node_in_one_line_with_numbers() {
    const MB: i64 = 1 << 20;
    let unknown =
        Node { error: Some("connection refused".into()), ..Node::unknown("10.0.0.9:2375".into(), 0) };
    let held = |mb: i64| container("c", &["db"], json!({"HostConfig": {"Memory": mb * MB}}));
    let nodes = [
        node("pi1").size(4, 900 * MB).labels("disk=sd"),
        node("pi2").size(4, 900 * MB).labels("disk=sd"),
        node("pi3").size(4, 900 * MB).labels("disk=ssd").holds(held(645)),
        node("pi4").size(4, 900 * MB).labels("disk=ssd").health(0),
    ];
    let all = nodes.iter().map(Bed::build).chain([unknown]).map(Arc::new);
    let mut request = asking(&["constraint:disk==ssd"]);
    request.host.memory = 512 * MB;
    let rejection = place(
        &View::of(all),
        &Pending::default(),
        &request,
        &options(Strategy::Spread, 5),
        &mut fastrand::Rng::with_seed(1),
    )
    .unwrap_err();
    assert_eq!(
        rejection.into_error().message,
        "no resources available to schedule container\
         \n  10.0.0.9:2375: is Pending: connection refused\
         \n  pi1, pi2: does not satisfy disk==ssd\
         \n  pi3: needs 512 MiB, 300 MiB free of 945 MiB, 5 % overcommit\
         \n  pi4: is Unhealthy"
    );
}

#[test]
fn each_filter_has_its_words() {
    let slot = node("n").labels("containerslots=1 disk=sd").holds(container("c1", &["web"], json!({})));
    let full = error(&[node("n").labels("containerslots=1").holds(plain("x"))], &asking(&[]));
    assert_eq!(
        full,
        format!("{NONE}\n[available container slots]\n  n: holds 1 containers, containerslots=1")
    );
    let words = |request: &Request| {
        try_place(&[node("n").labels("disk=sd")], request).unwrap_err().reasons[0].text.clone()
    };
    assert_eq!(words(&asking(&["affinity:container==web"])), "does not satisfy container==web");
    assert_eq!(words(&asking(&["constraint:disk==ssd"])), "does not satisfy disk==ssd");
    assert_eq!(words(&asking(&["constraint:disk==foo["])), "disk==foo[ is not a valid pattern");
    assert_eq!(words(&asking(&["constraint:d==x"])), "Key 'd' is invalid");
    assert_eq!(words(&asking(&["whitelist:node==x"])), "does not satisfy node==x");
    assert_eq!(
        words(&request(json!({"HostConfig": {"VolumesFrom": ["a"]}}))),
        "does not have the container a"
    );
    assert_eq!(
        words(&request(json!({"HostConfig": {"NanoCpus": 4_500_000_000_i64}}))),
        "is asked for 4.5 CPUs (--cpus), has 4"
    );
    let mut holder = Request { image: "busybox".into(), image_holders_only: true, ..Request::default() };
    assert_eq!(words(&holder), "does not have the image busybox");
    holder.image_holders_only = false;
    assert_eq!(fitting(&[slot], &Request { replaces: Some("c1".into()), ..holder }), "n");
}

#[test]
fn an_error_names_fifty_nodes_at_most() {
    let nodes: Vec<Bed> = (0..60).map(|i| node(&format!("n{i}"))).collect();
    let text = error(&nodes, &asking(&["constraint:disk==ssd"]));
    assert!(
        text.contains("n0, n1, n2,") && text.ends_with("does not satisfy disk==ssd\n  and 10 more nodes"),
        "{text}"
    );
}

#[test]
fn decisions_tell_what_decided() {
    let by = |nodes: &[Bed], strategy| decided(nodes, &Request::default(), &options(strategy, 0)).decided_by;
    use Strategy::{Random, Spread};
    assert_eq!(by(&[], Spread), DecidedBy::Nothing);
    assert_eq!(by(&[node("a")], Spread), DecidedBy::OnlyOne);
    assert_eq!(by(&[node("a"), node("b")], Spread), DecidedBy::Name);
    assert_eq!(by(&[node("a").holds(plain("x")), node("b")], Spread), DecidedBy::Containers);
    assert_eq!(by(&[node("a").health(67), node("b")], Spread), DecidedBy::Weight);
    assert_eq!(by(&[node("a"), node("b")], Random), DecidedBy::Chance);
}

#[test]
fn a_decision_as_text_and_as_json() {
    let held = container("c", &["db"], json!({"HostConfig": {"Memory": GB, "CpuShares": 256}}));
    let nodes = [node("pi1").holds(held), node("pi2"), node("pi3").labels("disk=sd")];
    let mut request = asking(&["constraint:disk!=sd"]);
    request.host.memory = GB;
    let decision = decided(&nodes, &request, &options(Strategy::Spread, 5));
    assert_eq!(
        decision.to_string(),
        "pi2 (spread): the best weight
  node  weight  cpu %  memory %  health  containers  memory reserved  CPUs reserved
  pi2     -877    100        23     100           0    0 B / 4.2 GiB          0 / 4
  pi1     -853    100        47     100           1  1 GiB / 4.2 GiB          1 / 4
  pi3: does not satisfy disk!=sd [constraint]
"
    );
    let json = serde_json::to_value(&decision).unwrap();
    assert_eq!(json["decided_by"], "weight");
    assert_eq!(json["ranking"][1]["milli_cpus_reserved"], 1000);
    assert_eq!(
        json["turned_away"][0],
        json!({"node": "pi3", "addr": "pi3:1", "filter": "constraint", "text": "does not satisfy disk!=sd"})
    );
    assert_eq!(serde_json::from_value::<crate::scheduler::Decision>(json).unwrap(), decision);
    let none = decided(
        &nodes,
        &asking(&["constraint:node==x", "constraint:disk==~y"]),
        &options(Strategy::Spread, 0),
    );
    assert!(none.to_string().starts_with(&format!("{NONE}\n[available container slots]\n[node==x disk==y]\n  pi1: does not satisfy node==x [constraint]\n")), "{none}");
}

/// Nodes of a view are in the order of their names, whatever the order in which they came.
#[test]
fn the_order_of_arrival_does_not_matter() {
    let (a, b) = (view(&[node("b"), node("a")]), view(&[node("a"), node("b")]));
    let names = |v: &View| v.nodes().map(|n| n.name().to_string()).collect::<Vec<_>>();
    assert_eq!(names(&a), names(&b));
}

/// What `explain` asks about a container that is there: as if it were not.
#[test]
fn a_container_placed_once_more() {
    let held = |id: &str, what: serde_json::Value| container(id, &[id], what);
    let mine = json!({
        "Labels": {"app": "web", "com.docker.swarm.affinities": r#"["app!=web"]"#},
        "HostConfig": {"Memory": 3 * GB, "CpuShares": 512, "PortBindings": {"80/tcp": [{"HostPort": "80"}]}},
        "Config": {"ExposedPorts": {"80/tcp": {}}},
    });
    let nodes = [node("a").holds(held("me", mine.clone())), node("b").holds(held("other", mine)), node("c")];
    let home = nodes[0].build();
    let request = Request::again(&home.inventory.containers["me"], &home);
    assert_eq!((request.resources().memory, request.resources().milli_cpus), (3 * GB, 2000));
    let decision = decided(&nodes, &request, &options(Strategy::Spread, 0));
    let ranked: Vec<_> = decision.ranking.iter().map(|r| (r.node.as_str(), r.containers)).collect();
    assert_eq!(ranked, [("a", 0), ("c", 0)]);
    assert_eq!(decision.turned_away[0].text, "port 80 is taken by other");
}
