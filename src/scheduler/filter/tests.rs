//! The filters by the predecessor's own examples (`classic-scheduler` 2.3 to 2.5, 6.4). Ports are in
//! `port_tests`.

use serde_json::json;

use crate::scheduler::rig::{Bed, asking, container, fitting, node, plain, request};

const NONE: &str = "Unable to find a node that satisfies the following conditions ";

/// Asks with each environment entry and compares the nodes that would do; `""` stands for an error.
fn table(nodes: &[Bed], cases: &[(&[&str], &str)]) {
    for (env, expected) in cases {
        let found = fitting(nodes, &asking(env));
        let found = if found.starts_with(NONE) { "" } else { &found };
        assert_eq!(found, *expected, "{env:?}");
    }
}

fn labelled() -> Vec<Bed> {
    vec![
        node("node-0").labels("name=node0 group=1 region=us-west"),
        node("node-1").labels("name=node1 group=1 region=us-east"),
        node("node-2").labels("name=node2 group=2 region=eu"),
        node("node-3"),
    ]
}

#[test]
fn constraints() {
    table(
        &labelled(),
        &[
            (&[], "node-0 node-1 node-2 node-3"),
            (&["constraint:does_not_exist==true"], ""),
            (&["constraint:name==node0"], "node-0"),
            (&["constraint:group==1"], "node-0 node-1"),
            (&["constraint:node==ID-node-1"], "node-1"),
            (&["constraint:node==node-1"], "node-1"),
            (&["constraint:name==node0", "constraint:group==1"], "node-0"),
            (&["constraint:name==node0", "constraint:group==2"], ""),
            (&["constraint:region==us"], ""),
            (&["constraint:region==us*"], "node-0 node-1"),
            (&["constraint:region==*us*"], "node-0 node-1"),
            (&["constraint:region==us.east"], "node-1"),
            // `!=`, also where there is no label
            (&["constraint:name!=node0"], "node-1 node-2 node-3"),
            (&["constraint:name!=absent"], "node-0 node-1 node-2 node-3"),
            (&["constraint:name!=node*"], "node-3"),
            (&["constraint:node!=ID-node-0"], "node-1 node-2 node-3"),
            // no label is the empty text
            (&["constraint:name==*"], "node-0 node-1 node-2 node-3"),
            (&["constraint:name==/.+/"], "node-0 node-1 node-2"),
            // regular expressions
            (&[r"constraint:name==/node\d/"], "node-0 node-1 node-2"),
            (&["constraint:name==/node[12]/"], "node-1 node-2"),
            (&["constraint:name!=/node[12]/"], "node-0 node-3"),
            (&["constraint:node==/ID-node-[13]/"], "node-1 node-3"),
            (&["constraint:name==/NODE[12]/"], ""),
            (&["constraint:name==/(?i)NODE[12]/"], "node-1 node-2"),
            (&["constraint:name!=/(?i)NODE[12]/"], "node-0 node-3"),
            // a pattern that does not compile matches nothing
            (&["constraint:name==foo["], ""),
            (&["constraint:name!=foo["], "node-0 node-1 node-2 node-3"),
            // soft ones
            (&["constraint:name==~node1"], "node-1"),
            (&["constraint:name==~absent"], "node-0 node-1 node-2 node-3"),
            (&["constraint:name!=~/(?i)NODE[12]/"], "node-0 node-3"),
            (&["constraint:name!=~node*", "constraint:node==node-0"], "node-0"),
            // all soft ones are given up together
            (&["constraint:name==~node1", "constraint:group==~2"], "node-0 node-1 node-2 node-3"),
            (&["constraint:node==~node-2~"], ""),
            (&["constraint:name=node0"], ""),
            (&["constraint:name=!node0"], ""),
        ],
    );
}

#[test]
fn built_in_labels() {
    let nodes = [
        node("new").info(|i| (i.driver, i.os_type) = ("overlay2".into(), "linux".into())),
        node("old").info(|i| {
            (i.driver, i.kernel_version) = ("aufs".into(), "3.13.0".into());
            (i.operating_system, i.execution_driver) = ("Ubuntu 14.04.1 LTS".into(), "native-0.2".into());
        }),
    ];
    table(
        &nodes,
        &[
            (&["constraint:storagedriver==overlay2"], "new"),
            (&["constraint:kernelversion==3.1*"], "old"),
            (&["constraint:operatingsystem==Ubuntu 14.04*"], "old"),
            (&["constraint:executiondriver==native*"], "old"),
            (&["constraint:ostype==linux"], "new"),
            (&["constraint:ostype==/(linux)|(windows)/"], "new"),
            (&["constraint:StorageDriver==overlay2"], ""),
        ],
    );
}

fn inhabited() -> Vec<Bed> {
    vec![
        node("node-0")
            .holds(container(
                "container-n0-0-id",
                &["container-n0-0-name"],
                json!({"Labels": {"tier": "web"}}),
            ))
            .holds(container("container-n0-1-id", &["container-n0-1-name"], json!({})))
            .image("sha256:06a1f00", &["image-0:tag1", "image-0:tag2", "reg:5000/im:1"]),
        node("node-1")
            .holds(container(
                "container-n1-0-id",
                &["container-n1-0-name", "other/alias"],
                json!({"Labels": {"tier": "db"}}),
            ))
            .image("sha256:77b2f00", &["image-1:tag1"]),
        node("node-2"),
    ]
}

#[test]
fn affinities() {
    table(
        &inhabited(),
        &[
            (&["affinity:container==does_not_exist"], ""),
            (&["affinity:container==container-n0*"], "node-0"),
            (&["affinity:container==container-n0-0-id"], "node-0"),
            (&["affinity:container==container-n0-0"], ""),
            (&["affinity:container==container-n1-0-name"], "node-1"),
            (&["affinity:container!=container-n0*"], "node-1 node-2"),
            (&["affinity:container!=container-n0-0-id"], "node-1 node-2"),
            (&["affinity:container!=container-n1-0-name"], "node-0 node-2"),
            (&["affinity:container==container-n1-0-id", "affinity:container!=container-n1-0-id"], ""),
            (&["affinity:image==sha256:06a1f00"], "node-0"),
            (&["affinity:image==sha256:06a1*"], "node-0"),
            (&["affinity:image==06a1f00"], ""),
            (&["affinity:image==image-0:tag2"], "node-0"),
            (&["affinity:image==image-0"], "node-0"),
            (&["affinity:image==reg:5000/im"], "node-0"),
            (&["affinity:image==reg"], ""),
            (&["affinity:image!=image-0"], "node-1 node-2"),
            (&["affinity:image!=image-0:tag3"], "node-0 node-1 node-2"),
            (&["affinity:image==image-0", "affinity:container!=container-n0-0-id"], ""),
            (&["affinity:image==~image-1"], "node-1"),
            (&["affinity:image==~none-such"], "node-0 node-1 node-2"),
            (&["affinity:container!=~container-n0*"], "node-1 node-2"),
            (&["affinity:container==~/container-n[0-1].*id/"], "node-0 node-1"),
            (&["affinity:image~==image-0"], ""),
            (&["affinity:image=image-0"], ""),
            (&["affinity:image=!image-0"], ""),
            // labels of containers; without one they offer the empty text
            (&["affinity:tier==web"], "node-0"),
            (&["affinity:tier!=web"], "node-1 node-2"),
            (&["affinity:tier==/^(web|db)$/"], "node-0 node-1"),
            (&["affinity:nothing==*"], "node-0 node-1"),
        ],
    );
}

#[test]
fn affinities_come_from_labels_too() {
    let stored =
        request(json!({"Labels": {"com.docker.swarm.affinities": r#"["container==container-n0*"]"#}}));
    assert_eq!(fitting(&inhabited(), &stored), "node-0");
    let stored =
        request(json!({"Labels": {"com.docker.swarm.constraints": r#"["node!=node-0","node!=node-1"]"#}}));
    assert_eq!(fitting(&inhabited(), &stored), "node-2");
}

#[test]
fn whitelists_list_names() {
    table(
        &labelled(),
        &[
            (&["whitelist:node==node-9"], ""),
            (&["whitelist:node==node-8|node-9"], ""),
            (&["whitelist:node==node-0"], "node-0"),
            (&["whitelist:node==node-0|node-2"], "node-0 node-2"),
            (&["whitelist:node==node-0|node-9"], "node-0"),
            (&["whitelist:node==node-0|node-1", "whitelist:node==node-1|node-2"], "node-1"),
            // key and operator are not looked at; there are no globs and no IDs
            (&["whitelist:disk!=node-0"], "node-0"),
            (&["whitelist:node==node-*"], ""),
            (&["whitelist:node==ID-node-0"], ""),
            (&["whitelist:node==~node-9"], "node-0 node-1 node-2 node-3"),
            (&["whitelist:node==~node-3"], "node-3"),
            (&["whitelist:node==node-0,node-1"], ""),
        ],
    );
}

#[test]
fn dependencies() {
    let nodes = [
        node("node-0").holds(plain("c0")).holds(plain("c0bis")),
        node("node-1").holds(container(
            "c1",
            &["c1", "other/friend"],
            json!({"Labels": {"com.docker.swarm.id": "feedbeef"}}),
        )),
        node("node-2").holds(plain("c2")),
    ];
    let with = |host: serde_json::Value| fitting(&nodes, &request(json!({"HostConfig": host})));
    for (host, expected) in [
        (json!({}), "node-0 node-1 node-2"),
        (json!({"VolumesFrom": ["c0"]}), "node-0"),
        (json!({"VolumesFrom": ["c0:rw"]}), "node-0"),
        (json!({"VolumesFrom": ["c0:ro"]}), "node-0"),
        (json!({"VolumesFrom": ["feedbeef"]}), "node-1"),
        (json!({"VolumesFrom": ["node-1/c1"]}), "node-1"),
        (json!({"Links": ["c1:foobar"]}), "node-1"),
        (json!({"Links": ["/c1:/me/foobar"]}), "node-1"),
        (json!({"NetworkMode": "container:c2"}), "node-2"),
        (json!({"NetworkMode": "bridge"}), "node-0 node-1 node-2"),
        (json!({"IpcMode": "container:c2"}), "node-2"),
        (json!({"PidMode": "container:c2"}), "node-2"),
        (json!({"VolumesFrom": ["c0", "c0bis"]}), "node-0"),
        (json!({"VolumesFrom": ["c0"], "Links": ["c0bis:x"], "NetworkMode": "container:c0"}), "node-0"),
    ] {
        assert_eq!(with(host.clone()), expected, "{host}");
    }
    for host in [
        json!({"VolumesFrom": ["c0", "c1"]}),
        json!({"VolumesFrom": ["c0"], "Links": ["c1:x"]}),
        json!({"VolumesFrom": ["c0"], "Links": ["c0bis:x"], "NetworkMode": "container:c1"}),
        json!({"NetworkMode": "container:nobody"}),
    ] {
        assert!(with(host.clone()).starts_with(NONE), "{host}");
    }
}

#[test]
fn slots() {
    let bed = |name: &str, label: &str, held: usize| {
        (0..held).fold(node(name).labels(label), |bed, i| bed.holds(plain(&format!("{name}-{i}"))))
    };
    for (nodes, expected) in [
        ([bed("a", "containerslots=3", 2), bed("b", "containerslots=2", 1)], "a b"),
        ([bed("a", "containerslots=2", 2), bed("b", "containerslots=2", 1)], "b"),
        ([bed("a", "", 9), bed("b", "", 9)], "a b"),
        ([bed("a", "containerslots=foo", 9), bed("b", "containerslots=1", 9)], "a"),
        ([bed("a", "containerslots=0", 0), bed("b", "containerslots=-1", 0)], ""),
    ] {
        let found = fitting(&nodes, &asking(&[]));
        let expected = if expected.is_empty() {
            format!("{NONE}\n[available container slots]")
        } else {
            expected.into()
        };
        assert_eq!(found, expected);
    }
}

#[test]
fn health() {
    let nodes = |a, b| [node("a").health(a), node("b").health(b)];
    assert_eq!(fitting(&nodes(100, 34), &asking(&[])), "a b");
    assert_eq!(fitting(&nodes(0, 34), &asking(&[])), "b");
    assert_eq!(fitting(&nodes(0, 0), &asking(&[])), "No healthy node available in the cluster");
    assert_eq!(fitting(&[], &asking(&[])), "No healthy node available in the cluster");
    // A soft wish that only an unhealthy node could fulfil is given up.
    let nodes = [node("a").health(0).image("id", &["foo:1"]), node("b")];
    assert_eq!(fitting(&nodes, &asking(&["affinity:image==~foo"])), "b");
}

#[test]
fn what_gives_way_keeps_nobody_away() {
    let old = container(
        "c0de01d",
        &["web-1"],
        json!({"Labels": {"app": "web"}, "HostConfig": {"Memory": 1 << 30}}),
    );
    let others = |name: &str| node(name).holds(container(name, &[name], json!({"Labels": {"app": "web"}})));
    let nodes = [node("a").size(4, 1 << 30).labels("containerslots=1").holds(old), others("b"), others("c")];
    let mut request = request(json!({"Env": ["affinity:app!=web"], "HostConfig": {"Memory": 1 << 30}}));
    assert!(fitting(&nodes, &request).starts_with(NONE));
    request.replaces = Some("c0de01d".into());
    assert_eq!(fitting(&nodes, &request), "a");
    // Compose 1 ties the new container to the old one by its ID.
    request.hints.affinities = vec!["container==c0de01d".into()];
    assert_eq!(fitting(&nodes, &request), "a");
}
