//! Host ports: who holds them, and which claims collide (`classic-scheduler` 2.3, with protocols and ranges).

use serde_json::{Value, json};

use crate::cluster::pending::Pending;
use crate::config::Strategy;
use crate::scheduler::rig::{Bed, container, fitting, node, options, placed, promise, request, view};

fn bound(port: &str, ip: &str, host_port: &str) -> Value {
    json!({"HostConfig": {"PortBindings": {port: [{"HostIp": ip, "HostPort": host_port}]}}})
}

/// Whether a node with what is held takes what is wanted.
fn fits(held: Value, wanted: Value) -> bool {
    fitting(&[node("n").holds(container("c", &["c"], held))], &request(wanted)) == "n"
}

#[test]
fn bindings_against_bindings() {
    for (held, wanted, fit) in [
        (("80/tcp", "", "80"), ("80/tcp", "", "80"), false),
        (("80/tcp", "", "80"), ("8080/tcp", "", "80"), false),
        (("80/tcp", "", "80"), ("80/tcp", "", "81"), true),
        (("80/tcp", "", ""), ("80/tcp", "", "80"), true),
        (("80/tcp", "", "80"), ("80/tcp", "", ""), true),
        (("80/tcp", "", "80"), ("80/tcp", "", "0"), true),
        // interfaces
        (("80/tcp", "127.0.0.1", "80"), ("80/tcp", "", "80"), false),
        (("80/tcp", "", "80"), ("80/tcp", "127.0.0.1", "80"), false),
        (("80/tcp", "0.0.0.0", "80"), ("80/tcp", "127.0.0.1", "80"), false),
        (("80/tcp", "0.0.0.0", "80"), ("80/tcp", "", "80"), false),
        (("80/tcp", "::", "80"), ("80/tcp", "127.0.0.1", "80"), false),
        (("80/tcp", "127.0.0.1", "80"), ("80/tcp", "127.0.0.1", "80"), false),
        (("80/tcp", "127.0.0.1", "80"), ("80/tcp", "127.0.0.2", "80"), true),
        (("80/tcp", "::1", "80"), ("80/tcp", "0:0:0:0:0:0:0:1", "80"), false),
        // protocols
        (("53/udp", "", "53"), ("53/tcp", "", "53"), true),
        (("53/udp", "", "53"), ("53/udp", "", "53"), false),
        (("53", "", "53"), ("53/tcp", "", "53"), false),
        (("53/sctp", "", "53"), ("53/SCTP", "", "53"), false),
        // ranges: one free port is enough
        (("80/tcp", "", "8000"), ("80/tcp", "", "8000-8001"), true),
        (("80/tcp", "", "8000"), ("80/tcp", "", "8000-8000"), false),
        (("80/tcp", "", "8000-8001"), ("80/tcp", "", "8000-8001"), true),
        (("80/tcp", "", "8000-8001"), ("80/tcp", "", "8000"), true),
    ] {
        let of = |(port, ip, host_port)| bound(port, ip, host_port);
        assert_eq!(fits(of(held), of(wanted)), fit, "{held:?} and {wanted:?}");
    }
}

#[test]
fn what_the_engine_gave_counts() {
    let dynamic = json!({
        "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": ""}]}},
        "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 32768, "Type": "tcp"}],
    });
    assert!(!fits(dynamic.clone(), bound("80/tcp", "", "32768")));
    assert!(fits(dynamic, bound("80/tcp", "", "80")));
    // A settled range holds the port that was given and no other.
    let settled = json!({
        "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "8000-8001"}]}},
        "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8001, "Type": "tcp"}],
    });
    assert!(fits(settled.clone(), bound("80/tcp", "", "8000")));
    assert!(!fits(settled.clone(), bound("80/tcp", "", "8001")));
    assert!(fits(settled, bound("80/tcp", "", "8000-8001")));
}

#[test]
fn a_stopped_container_keeps_its_ports() {
    let mut held = bound("80/tcp", "", "80");
    held["State"] = json!({"StartedAt": "2026-01-01T00:00:00Z", "FinishedAt": "2026-01-01T00:00:01Z"});
    assert!(!fits(held, bound("80/tcp", "", "80")));
}

#[test]
fn host_mode_compares_exposed_ports() {
    let host =
        |ports: Value| json!({"HostConfig": {"NetworkMode": "host"}, "Config": {"ExposedPorts": ports}});
    let asked = |ports: Value| json!({"HostConfig": {"NetworkMode": "host"}, "ExposedPorts": ports});
    let bridge = json!({"Config": {"ExposedPorts": {"80/tcp": {}}}});
    assert!(!fits(host(json!({"80/tcp": {}})), asked(json!({"80/tcp": {}, "81/tcp": {}}))));
    assert!(fits(host(json!({"80/tcp": {}})), asked(json!({"80/udp": {}}))));
    assert!(fits(bridge, asked(json!({"80/tcp": {}}))));
    let text = fitting(
        &[node("n").holds(container("c", &["c"], host(json!({"80/tcp": {}}))))],
        &request(asked(json!({"80/tcp": {}}))),
    );
    assert!(text.ends_with("conditions \n[port 80/tcp (Host mode)]"), "{text}");
}

/// Parallel creates see each other's promises: fixed ports, ranges, host mode.
#[test]
fn promised_ports_are_taken() {
    let takes = |bed: &Bed, body: Value, times: usize| {
        let mut pending = Pending::default();
        for number in 0..times {
            let request = request(body.clone());
            let fits =
                placed(&view(std::slice::from_ref(bed)), &pending, &request, &options(Strategy::Spread, 0))
                    .is_ok();
            if !fits {
                return number;
            }
            promise(&mut pending, bed, &request);
        }
        times
    };
    let bed = node("n");
    assert_eq!(takes(&bed, bound("80/tcp", "", "80"), 9), 1);
    assert_eq!(takes(&bed, bound("80/tcp", "", "8000-8003"), 9), 4);
    assert_eq!(takes(&bed, bound("80/tcp", "", ""), 9), 9);
    let host = json!({"HostConfig": {"NetworkMode": "host"}, "ExposedPorts": {"80/tcp": {}}});
    assert_eq!(takes(&bed, host, 9), 1);
}

#[test]
fn who_holds_it_is_named() {
    let bed = node("n").holds(container("0123456789abcdef", &["web"], bound("80/tcp", "", "80")));
    let rejection =
        crate::scheduler::rig::try_place(&[bed], &request(bound("80/tcp", "", "80"))).unwrap_err();
    assert_eq!(
        rejection.message,
        "Unable to find a node that satisfies the following conditions \n[port 80 (Bridge mode)]"
    );
    assert_eq!(rejection.reasons[0].text, "port 80 is taken by web");
    assert_eq!(rejection.reasons[0].filter, "port");
}
