//! Devices, GPUs and runtimes: who has them, and what a node that lacks them says.

#![allow(clippy::needless_pass_by_value, reason = "`json!` reads best as an argument")]

use serde_json::{Value, json};

use super::covers;
use crate::docker::types::{DiscoveredDevice, Info};
use crate::scheduler::rig::{Bed, fitting, node, request, try_place};

fn runtimes(names: &'static [&'static str]) -> impl FnOnce(&mut Info) {
    move |info| {
        info.runtimes = names.iter().map(|n| (n.to_string(), serde_json::from_str("{}").unwrap())).collect();
    }
}

fn nodes() -> Vec<Bed> {
    vec![
        node("plain").info(runtimes(&["runc"])),
        node("usb").info(runtimes(&["runc"])).labels("devices=/dev/ttyUSB*,/dev/video0"),
        node("cuda").info(runtimes(&["nvidia", "runc"])),
        node("cdi").info(runtimes(&["runc"])).info(|info| {
            info.discovered_devices = vec![DiscoveredDevice { id: "nvidia.com/gpu=0".into() }];
        }),
        node("told").info(runtimes(&["runc"])).labels("gpu=rtx"),
        node("untold").labels("gpu=none"),
    ]
}

fn with(host: Value) -> String {
    fitting(&nodes(), &request(json!({"HostConfig": host})))
}

#[test]
fn only_where_they_are() {
    const EVERYWHERE: &str = "cdi cuda plain told untold usb";
    let device = |path: &str| json!({"Devices": [{"PathOnHost": path, "PathInContainer": path, "CgroupPermissions": "rwm"}]});
    let gpus = |driver: &str| json!({"DeviceRequests": [{"Driver": driver, "Count": -1, "Capabilities": [["gpu"]]}]});
    let cdi = |id: &str| json!({"DeviceRequests": [{"Driver": "cdi", "DeviceIDs": [id]}]});
    for (host, expected) in [
        (json!({}), EVERYWHERE),
        (device("/dev/ttyUSB1"), "usb"),
        (device("/dev/video0"), "usb"),
        (device("/dev/snd"), EVERYWHERE), // nobody tells of one, so anybody may have it
        (gpus(""), "cdi cuda told"),
        (gpus("nvidia"), "cdi cuda told"),
        (gpus("amd"), "told"),
        (cdi("nvidia.com/gpu=0"), "cdi"),
        (cdi("vendor.com/net=0"), EVERYWHERE),
        (json!({"Runtime": "nvidia"}), "cuda untold"), // an engine that tells of none may be too old to
        (json!({"Runtime": "runc"}), EVERYWHERE),
        (json!({"Runtime": "io.containerd.kata.v2"}), EVERYWHERE),
        (json!({"Runtime": ""}), EVERYWHERE),
    ] {
        assert_eq!(with(host.clone()), expected, "{host}");
    }
    assert!(with(json!({"Runtime": "sysbox"})).starts_with("untold"), "only where it cannot be known");
}

#[test]
fn what_is_missing_is_named() {
    let host = json!({
        "Devices": [{"PathOnHost": "/dev/ttyUSB0"}],
        "DeviceRequests": [{"Capabilities": [["gpu"]]}],
        "Runtime": "nvidia",
    });
    let text = try_place(&nodes(), &request(json!({"HostConfig": host}))).unwrap_err().into_error().message;
    assert_eq!(
        text,
        "Unable to find a node that satisfies the following conditions \n[available container slots]\
         \n[--device=/dev/ttyUSB0 --gpus --runtime=nvidia]\
         \n  cdi, cuda, plain, told, untold: does not have the device /dev/ttyUSB0 (its label devices does not name it)\
         \n  usb: has no GPU (a runtime nvidia or amd, a CDI device or a label gpu=… would show it)"
    );
}

#[test]
fn labels_may_name_many_at_once() {
    for (glob, device, hit) in [
        ("/dev/ttyUSB*", "/dev/ttyUSB0", true),
        ("/dev/ttyUSB*", "/dev/ttyUSB", true),
        ("/dev/*/by-id/*", "/dev/serial/by-id/x", true),
        ("/dev/ttyUSB0", "/dev/ttyUSB01", false),
        ("*", "anything", true),
        ("", "/dev/x", false),
        ("é*é", "éé", true),
    ] {
        assert_eq!(covers(glob, device), hit, "{glob} on {device}");
    }
}
