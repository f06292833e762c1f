//! A compose project as the calls that `docker compose up` would make, in the order of its dependencies, as far
//! as placement goes.
//!
//! Compose itself reads and resolves the files (`docker compose config`): nobody else knows all of its rules.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::api::swarmd::talk::Plan;
use crate::client::service::Service;
use crate::docker::json::Object;
use crate::error::{Error, Kind, Result};

/// A project as compose prints it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Project {
    /// Its name: the first part of all others.
    pub name: String,
    /// Its services.
    pub services: BTreeMap<String, Service>,
    /// Its networks, by the names that services use.
    pub networks: BTreeMap<String, Option<Named>>,
    /// Its volumes, likewise.
    pub volumes: BTreeMap<String, Option<Named>>,
}

/// A network or a volume.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Named {
    name: String,
    driver: String,
    external: Value,
}

/// Has compose resolve the files. A single `.json` is taken as resolved already.
pub fn resolve(files: &[PathBuf], project: Option<&str>) -> Result<Project> {
    if let ([file], None) = (files, project)
        && file.extension().is_some_and(|e| e == "json")
    {
        let text = std::fs::read(file)
            .map_err(|e| Error::us(Kind::Unavailable, format!("cannot read {}: {e}", file.display())))?;
        return read(&text, &file.display().to_string());
    }
    let mut command = Command::new("docker");
    command.arg("compose");
    files.iter().for_each(|file| {
        command.arg("-f").arg(file);
    });
    project.iter().for_each(|name| {
        command.args(["-p", name]);
    });
    let done =
        command.args(["config", "--format", "json"]).output().map_err(|e| no_compose(&e.to_string()))?;
    if done.status.success() {
        return read(&done.stdout, "docker compose config");
    }
    let said = String::from_utf8_lossy(&done.stderr).trim().to_string();
    match missing_plugin(&said) {
        true => Err(no_compose(&said)),
        false => Err(Error::client(Kind::Invalid, format!("docker compose cannot read it: {said}"))),
    }
}

/// What a docker without the plugin says, in its various versions.
fn missing_plugin(said: &str) -> bool {
    ["is not a docker command", "unknown shorthand flag: 'f'", "unknown flag: --format", "unknown command"]
        .iter()
        .any(|text| said.contains(text))
}

fn no_compose(why: &str) -> Error {
    Error::us(Kind::Unavailable, format!("cannot run `docker compose`, which reads the file: {why}")).advise(
        "install Docker's compose plugin (v2), or resolve the file where it is: docker compose config --format \
         json > project.json, then `swarmd plan project.json`",
    )
}

fn read(text: &[u8], from: &str) -> Result<Project> {
    let what =
        |e: String| Error::client(Kind::Invalid, format!("{from} is no resolved compose project: {e}"));
    let project: Project = serde_json::from_slice(text).map_err(|e| what(e.to_string()))?;
    match project.services.is_empty() {
        true => Err(what("it has no services".into())),
        false => Ok(project),
    }
}

/// The calls for a project of which nothing is there yet.
pub fn plan(project: &Project) -> Result<Plan> {
    let networks = project.used_networks().iter().filter_map(|key| project.network_call(key)).collect();
    let mut creates = Vec::new();
    for name in project.in_order()? {
        let service = &project.services[name];
        for number in 1..=service.replicas() {
            creates.push(service.create(project, name, number)?);
        }
    }
    Ok(Plan { networks, creates })
}

impl Project {
    /// The name of a service's container.
    pub fn container(&self, service: &str, number: usize) -> String {
        match self.services.get(service).map(|s| s.container_name.as_str()) {
            Some(own) if !own.is_empty() => own.to_string(),
            _ => format!("{}-{service}-{number}", self.name),
        }
    }

    /// All containers of a service.
    pub fn containers(&self, service: &str) -> Vec<String> {
        let replicas = self.services.get(service).map_or(1, Service::replicas);
        (1..=replicas).map(|n| self.container(service, n)).collect()
    }

    /// The real name of a network.
    pub fn network(&self, key: &str) -> String {
        real_name(&self.networks, key)
    }

    /// The real name of a volume.
    pub fn volume(&self, key: &str) -> String {
        real_name(&self.volumes, key)
    }

    fn used_networks(&self) -> BTreeSet<&str> {
        self.services.values().flat_map(|s| s.networks.keys()).map(String::as_str).collect()
    }

    fn network_call(&self, key: &str) -> Option<Object> {
        let network = self.networks.get(key).cloned().flatten().unwrap_or_default();
        if !matches!(network.external, Value::Null | Value::Bool(false)) {
            return None;
        }
        let mut body = Object::default();
        body.set("Name", &self.network(key));
        body.set("Driver", &network.driver);
        Some(body)
    }

    /// The services, each behind those that it needs; otherwise by name.
    fn in_order(&self) -> Result<Vec<&str>> {
        let mut order: Vec<&str> = Vec::new();
        while order.len() < self.services.len() {
            let ready = |name: &str, service: &Service| {
                let mut needed = service.needs().into_iter().filter(|n| self.services.contains_key(n));
                !order.contains(&name) && needed.all(|n| n == name || order.contains(&n.as_str()))
            };
            let next: Vec<&str> = self
                .services
                .iter()
                .filter(|(name, s)| ready(name, s))
                .map(|(name, _)| name.as_str())
                .collect();
            if next.is_empty() {
                return Err(Error::client(Kind::Invalid, "the services depend on each other in a circle"));
            }
            order.extend(next);
        }
        Ok(order)
    }
}

fn real_name(all: &BTreeMap<String, Option<Named>>, key: &str) -> String {
    let named = all.get(key).cloned().flatten().map(|n| n.name).filter(|name| !name.is_empty());
    named.unwrap_or_else(|| key.to_string())
}

/// The labels that compose puts on a container and that placement may look at.
pub(super) fn own_labels(project: &str, service: &str, number: usize) -> Map<String, Value> {
    let labels = [
        ("com.docker.compose.project", json!(project)),
        ("com.docker.compose.service", json!(service)),
        ("com.docker.compose.container-number", json!(number.to_string())),
        ("com.docker.compose.oneoff", json!("False")),
    ];
    labels.into_iter().map(|(key, value)| (key.to_string(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &str = include_str!("golden/shop.json");

    fn parse(text: &str) -> Result<Project> {
        read(text.as_bytes(), "test")
    }

    fn body(plan: &Plan, name: &str) -> Value {
        let create = plan.creates.iter().find(|c| c.name == name).unwrap();
        serde_json::from_str(&create.body.to_json()).unwrap()
    }

    #[test]
    fn containers_come_in_the_order_of_dependencies() {
        let plan = plan(&parse(SHOP).unwrap()).unwrap();
        let names: Vec<_> = plan.creates.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["shop-db-1", "shop-app-1", "shop-app-2", "mine"]);
        assert!(plan.creates.iter().all(|c| c.keep));
        assert_eq!(plan.creates[1].query["platform"], "linux/arm64");
        let networks: Vec<_> = plan.networks.iter().map(Object::to_json).collect();
        let expected =
            [r#"{"Name":"shop_default","Driver":""}"#, r#"{"Name":"shop_front","Driver":"bridge"}"#];
        assert_eq!(networks, expected);
    }

    #[test]
    fn bodies_hold_what_placement_looks_at() {
        let plan = plan(&parse(SHOP).unwrap()).unwrap();
        let db = body(&plan, "shop-db-1");
        assert_eq!(
            db["Env"],
            json!(["A=", "affinity:container!=x", "constraint:node==pi1", "reschedule:on-node-failure"])
        );
        assert_eq!(db["HostConfig"]["Memory"], 64 << 20);
        assert_eq!(db["HostConfig"]["NanoCpus"], 500_000_000);
        assert_eq!(db["HostConfig"]["NetworkMode"], "shop_default");
        assert_eq!(
            db["HostConfig"]["Mounts"],
            json!([{ "Type": "volume", "Source": "shop_data", "Target": "/data" }])
        );
        assert_eq!(db["ExposedPorts"], json!({ "99/tcp": {} }));
        let app = body(&plan, "shop-app-2");
        assert_eq!(app["Image"], "shop-app");
        assert_eq!(app["Labels"]["com.docker.compose.container-number"], "2");
        assert_eq!(app["Labels"]["a"], "b");
        assert_eq!(app["HostConfig"]["NetworkMode"], "shop_front", "the one with priority");
        assert_eq!(
            app["NetworkingConfig"]["EndpointsConfig"],
            json!({ "shop_front": { "Links": ["shop-db-1:store"] }, "shop_default": {} })
        );
        let host = &app["HostConfig"];
        assert_eq!(host["PortBindings"]["80/tcp"], json!([{ "HostIp": "", "HostPort": "8080-8081" }]));
        assert_eq!(host["PortBindings"]["90/udp"], json!([{ "HostIp": "127.0.0.1", "HostPort": "90" }]));
        assert_eq!(host["Memory"], 32 << 20);
        assert_eq!(host["MemoryReservation"], 16 << 20);
        assert_eq!(host["NanoCpus"], 250_000_000);
        assert_eq!(host["Devices"][0]["PathOnHost"], "/dev/fuse");
        assert_eq!(host["DeviceRequests"][0]["Capabilities"], json!([["gpu"]]));
        let side = body(&plan, "mine");
        assert_eq!(side["HostConfig"]["NetworkMode"], "container:shop-db-1");
        assert_eq!(side["HostConfig"]["IpcMode"], "container:shop-db-1");
        assert_eq!(side["HostConfig"]["PidMode"], "container:foo");
        assert_eq!(side["HostConfig"]["VolumesFrom"], json!(["shop-db-1:ro", "ext"]));
        assert_eq!(side["HostConfig"]["CpuShares"], 2);
        assert_eq!(side["HostConfig"]["DeviceRequests"][0]["Count"], -1);
    }

    #[test]
    fn what_cannot_be_planned_is_said() {
        let circle = r#"{"services":{"a":{"depends_on":{"b":{}}},"b":{"depends_on":{"a":{}}}}}"#;
        assert!(plan(&parse(circle).unwrap()).unwrap_err().message.contains("circle"));
        assert!(parse("{}").unwrap_err().message.contains("no services"));
        assert!(parse("services:").unwrap_err().message.contains("test is no resolved"));
        assert!(missing_plugin("docker: 'compose' is not a docker command."));
        assert!(!missing_plugin("service \"web\" has neither an image nor a build context"));
    }
}
