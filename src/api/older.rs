//! Create bodies on a node that is older than they are: what it does not know is said in a warning, and several
//! networks are joined one after the other. It is *not* about engines that are too new for a client: that is `gap`.

use hyper::{Method, StatusCode};
use serde_json::Value;

use crate::api::Api;
use crate::api::call::encode;
use crate::docker::http::{CALL_DEADLINE, answered};
use crate::docker::json::Object;
use crate::docker::version::ApiVersion;
use crate::engine::Node;
use crate::engine::specs::Specs;
use crate::error::Result;

/// Fields of create bodies, by the minor API version that brought them. `*` is every element. Values of old
/// fields that an engine does not know (a mount of type `image`) are not here: it refuses those by itself.
const FIELDS: &[(u16, &str)] = &[
    (25, "StopTimeout"),
    (25, "HostConfig.AutoRemove"),
    (25, "HostConfig.Init"),
    (25, "HostConfig.Mounts"),
    (25, "HostConfig.NanoCpus"),
    (28, "HostConfig.DeviceCgroupRules"),
    (29, "Healthcheck.StartPeriod"),
    (40, "HostConfig.DeviceRequests"),
    (40, "HostConfig.Mounts.*.BindOptions.NonRecursive"),
    (41, "HostConfig.CgroupnsMode"),
    (42, "HostConfig.ConsoleSize"),
    (42, "HostConfig.Mounts.*.BindOptions.CreateMountpoint"),
    (43, "HostConfig.Annotations"),
    (44, "Healthcheck.StartInterval"),
    (44, "HostConfig.Mounts.*.BindOptions.ReadOnlyForceRecursive"),
    (44, "HostConfig.Mounts.*.BindOptions.ReadOnlyNonRecursive"),
    (44, "NetworkingConfig.EndpointsConfig.*.MacAddress"),
    (45, "HostConfig.Mounts.*.VolumeOptions.Subpath"),
    (46, "HostConfig.Mounts.*.TmpfsOptions.Options"),
    (48, "NetworkingConfig.EndpointsConfig.*.GwPriority"),
];
/// The version that brought `platform=`.
const PLATFORM: ApiVersion = ApiVersion::new(1, 41);
/// The version in which a container may be created on several networks.
const SEVERAL_NETWORKS: ApiVersion = ApiVersion::new(1, 44);

/// A warning for each field that has a value and that the node's engine is too old for.
pub fn warnings(node: &Node, body: &str, platform: Option<&str>) -> Vec<String> {
    let Some(specs) = node.specs.as_deref() else { return Vec::new() };
    let too_new = |minor: u16| ApiVersion::new(1, minor) > specs.api.max;
    if FIELDS.iter().all(|(minor, _)| !too_new(*minor)) {
        return Vec::new();
    }
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let fields = FIELDS.iter().filter(|(minor, path)| too_new(*minor) && has(&body, path));
    let platform = platform.filter(|p| !p.is_empty() && PLATFORM > specs.api.max).map(|_| "platform");
    fields.map(|(_, path)| *path).chain(platform).map(|field| ignored(specs, field)).collect()
}

fn ignored(specs: &Specs, field: &str) -> String {
    let field = field.replace(".*", "");
    format!(
        "{} runs Docker {} (API {}), which does not know {field}; ignored",
        specs.name, specs.version, specs.api.max
    )
}

/// Whether there is something at a path: clients send many fields with empty values.
fn has(value: &Value, path: &str) -> bool {
    let (key, rest) = path.split_once('.').unwrap_or((path, ""));
    match (key, value) {
        ("", value) => !is_empty(value),
        ("*", Value::Array(all)) => all.iter().any(|v| has(v, rest)),
        ("*", Value::Object(all)) => all.values().any(|v| has(v, rest)),
        (key, Value::Object(fields)) => fields.get(key).is_some_and(|v| has(v, rest)),
        _ => false,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(all) => all.iter().all(is_empty),
        Value::Object(fields) => fields.is_empty(),
    }
}

/// Takes the networks out of a body that must be joined after the create: all but the one that the container
/// starts with.
pub fn split_networks(body: &mut Object, sent: ApiVersion) -> Vec<(String, Object)> {
    let mut networking = body.object("NetworkingConfig");
    let mut endpoints = networking.object("EndpointsConfig");
    if sent >= SEVERAL_NETWORKS || endpoints.keys().count() < 2 {
        return Vec::new();
    }
    let first = match body.object("HostConfig").get::<String>("NetworkMode").unwrap_or_default() {
        mode if mode.is_empty() || mode == "default" => "bridge".to_string(),
        mode => mode,
    };
    let names: Vec<String> = endpoints.keys().filter(|name| *name != first).map(str::to_string).collect();
    let rest = names.into_iter().map(|name| (name.clone(), endpoints.object(&name))).collect::<Vec<_>>();
    rest.iter().for_each(|(name, _)| drop(endpoints.remove(name)));
    networking.set("EndpointsConfig", &endpoints);
    body.set("NetworkingConfig", &networking);
    rest
}

impl Api {
    /// Joins a new container to further networks. Should one refuse, the container goes again: half of what was
    /// asked for is not what was asked for.
    pub async fn join_networks(
        &self,
        node: &Node,
        sent: ApiVersion,
        container: &str,
        networks: Vec<(String, Object)>,
    ) -> Result<()> {
        let client = self.cluster.handle(node)?.client;
        for (name, endpoint) in networks {
            let mut body = Object::default();
            body.set("Container", container);
            body.set("EndpointConfig", &endpoint);
            let path = format!("/v{sent}/networks/{}/connect", encode(&name));
            let joined = match client.post_json(&path, body.to_json(), CALL_DEADLINE * 3).await {
                Ok((status, answer)) if !status.is_success() => Err(answered(status, &answer)),
                Ok(_) => Ok(()),
                Err(e) => Err(e),
            };
            if let Err(e) = joined {
                let path = format!("/v{sent}/containers/{container}?force=1&v=1");
                match client.call(Method::DELETE, &path, CALL_DEADLINE * 3).await {
                    Ok((StatusCode::NO_CONTENT | StatusCode::NOT_FOUND, _)) => {}
                    _ => tracing::warn!(NODE = node.name(), "a half-made container stays: {container}"),
                }
                return Err(e);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::view::tests::node;
    use crate::docker::version::ApiRange;
    use std::sync::Arc;

    fn old() -> Node {
        let mut pi = node("a:1", "pi2", &[]);
        let specs = Specs::clone(pi.specs.as_ref().unwrap());
        let api = ApiRange { max: ApiVersion::new(1, 41), ..specs.api };
        pi.specs = Some(Arc::new(Specs { api, version: "20.10.24".into(), ..specs }));
        pi
    }

    #[test]
    fn fields_with_values_that_a_node_does_not_know_are_told() {
        let body = r#"{"Image":"x","Healthcheck":{"StartInterval":5},"HostConfig":{"Annotations":{"a":"b"},
            "ConsoleSize":[0,0],"CgroupnsMode":"host","Mounts":[{},{"BindOptions":{"CreateMountpoint":true}}]}}"#;
        let told = warnings(&old(), body, Some("linux/arm64"));
        let prefix = "pi2 runs Docker 20.10.24 (API 1.41), which does not know ";
        let fields: Vec<_> = told.iter().map(|w| w.strip_prefix(prefix).unwrap()).collect();
        assert_eq!(
            fields,
            [
                "HostConfig.Mounts.BindOptions.CreateMountpoint; ignored",
                "HostConfig.Annotations; ignored",
                "Healthcheck.StartInterval; ignored"
            ]
        );
        assert!(warnings(&node("b:1", "new", &[]), body, None).is_empty());
    }

    #[test]
    fn an_old_node_gets_one_network_and_joins_the_rest_later() {
        let text = r#"{"HostConfig":{"NetworkMode":"front"},
            "NetworkingConfig":{"EndpointsConfig":{"back":{"Aliases":["b"]},"front":{},"far":{}}}}"#;
        let mut body = Object::parse(text.as_bytes()).unwrap();
        assert!(split_networks(&mut body, ApiVersion::new(1, 44)).is_empty());
        let rest = split_networks(&mut body, ApiVersion::new(1, 41));
        assert_eq!(rest.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(), ["back", "far"]);
        assert_eq!(rest[0].1.to_json(), r#"{"Aliases":["b"]}"#);
        assert_eq!(body.object("NetworkingConfig").to_json(), r#"{"EndpointsConfig":{"front":{}}}"#);
    }
}
