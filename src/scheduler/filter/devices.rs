//! Devices, GPUs and runtimes are only on some nodes. Not one of the configurable filters: a request that asks
//! for such a thing brings this rule along.
//!
//! What an engine tells: its runtimes, and since 28.2 the devices in its CDI directories. It does not tell which
//! device files its host has, so the engine label `devices` names them (`devices=/dev/ttyUSB*,/dev/video0`).
//! A device that no node is known to have may be anywhere: the engine finds out. GPUs and runtimes must be
//! known. See `scheduler/README.md`.

use super::Rule;
use crate::docker::types::DeviceRequest;
use crate::scheduler::candidate::{Candidate, Field};
use crate::scheduler::explain::Objection;
use crate::scheduler::request::Request;

/// Runtimes that hand out GPUs, where the request names no driver.
const GPU_RUNTIMES: [&str; 2] = ["nvidia", "amd"];

/// The rule.
pub struct Devices<'a>(Vec<Need<'a>>);

enum Need<'a> {
    /// A device file of the host.
    File(&'a str),
    /// A device of a CDI specification.
    Cdi(&'a str),
    /// A GPU, of this driver if one is named.
    Gpu(&'a str),
    /// A container runtime.
    Runtime(&'a str),
}

impl<'a> Devices<'a> {
    /// The rule, if the request asks for anything of the kind.
    pub fn new(request: &'a Request, field: &Field<'_>) -> Option<Devices<'a>> {
        let host = &request.host;
        let files = host.devices.iter().map(|d| Need::File(&d.path_on_host));
        let requests = host.device_requests.iter().flat_map(requested);
        // A name with a slash or of a shim needs no configuration of the engine.
        let configured = Some(host.runtime.as_str())
            .filter(|r| !r.is_empty() && !r.contains('/') && !r.starts_with("io.containerd."));
        let mut needs: Vec<Need<'a>> = files.chain(requests).chain(configured.map(Need::Runtime)).collect();
        needs.retain(|need| match need {
            Need::File(_) | Need::Cdi(_) => field.candidates().any(|node| need.is_met(&node)),
            Need::Gpu(_) | Need::Runtime(_) => true,
        });
        (!needs.is_empty()).then_some(Devices(needs))
    }
}

fn requested(request: &DeviceRequest) -> Vec<Need<'_>> {
    match request.driver.as_str() {
        "cdi" => request.device_ids.iter().map(|id| Need::Cdi(id)).collect(),
        driver => vec![Need::Gpu(driver)],
    }
}

impl Need<'_> {
    fn is_met(&self, node: &Candidate<'_>) -> bool {
        let label = |key: &str| node.node.label(key);
        let labelled = |device: &str| {
            label("devices").is_some_and(|list| list.split(',').any(|glob| covers(glob.trim(), device)))
        };
        let runtime = |name: &str| node.specs.runtimes.iter().any(|r| r == name);
        match self {
            Need::File(path) => labelled(path),
            Need::Cdi(id) => node.specs.devices.iter().any(|d| d == id) || labelled(id),
            Need::Gpu(driver) => {
                let named = |name: &str| driver.is_empty() || *driver == name;
                GPU_RUNTIMES.iter().any(|name| named(name) && runtime(name))
                    || node.specs.devices.iter().any(|d| d.contains("/gpu=") && d.starts_with(driver))
                    || label("gpu").is_some_and(|value| !matches!(value, "" | "0" | "no" | "none" | "false"))
            }
            // An engine that tells of no runtime at all is too old to be judged.
            Need::Runtime(name) => node.specs.runtimes.is_empty() || runtime(name),
        }
    }

    fn objection(&self) -> Objection<'_> {
        match self {
            Need::File(path) => Objection::Device("device", path, "its label devices does not name it"),
            Need::Cdi(id) => {
                Objection::Device("device", id, "neither found by the engine nor in its label devices")
            }
            Need::Gpu(driver) => Objection::Device(
                "GPU",
                driver,
                "a runtime nvidia or amd, a CDI device or a label gpu=… would show it",
            ),
            Need::Runtime(name) => Objection::Device("runtime", name, "see Runtimes in its docker info"),
        }
    }
}

impl Rule for Devices<'_> {
    fn name(&self) -> &'static str {
        "devices"
    }

    fn check<'c>(&'c self, node: &'c Candidate<'_>, _: bool) -> Result<(), Objection<'c>> {
        self.0.iter().find(|need| !need.is_met(node)).map_or(Ok(()), |need| Err(need.objection()))
    }

    fn cost(&self) -> u8 {
        1
    }

    fn items(&self) -> Vec<String> {
        let item = |need: &Need<'_>| match need {
            Need::File(device) | Need::Cdi(device) => format!("--device={device}"),
            Need::Gpu("") => "--gpus".to_string(),
            Need::Gpu(driver) => format!("--gpus=driver={driver}"),
            Need::Runtime(name) => format!("--runtime={name}"),
        };
        self.0.iter().map(item).collect()
    }
}

/// Whether a name with `*` for any characters covers a device.
fn covers(glob: &str, device: &str) -> bool {
    match glob.split_once('*') {
        None => glob == device,
        Some((head, tail)) => device.strip_prefix(head).is_some_and(|rest| {
            rest.char_indices().map(|(i, _)| &rest[i..]).chain([""]).any(|rest| covers(tail, rest))
        }),
    }
}

#[cfg(test)]
#[path = "devices_tests.rs"]
mod tests;
