//! `GET /system/df`: the disk usage of all nodes as that of one engine.

use futures_util::future::join_all;
use hyper::{Method, Response, StatusCode};

use crate::api::call::Call;
use crate::api::fanout::together;
use crate::api::gap::Gap;
use crate::api::image_list::unite;
use crate::api::proxy::version_prefix;
use crate::api::{Api, error};
use crate::docker::filters::Filters;
use crate::docker::http::{Body, empty, request};
use crate::docker::json::Object;
use crate::docker::version::ApiRange;
use crate::engine::Node;
use crate::engine::container::{Place, put_in_place};
use crate::engine::inventory::copies;
use crate::error::{Error, Kind, Result};

impl Api {
    /// All usable nodes are asked; should one fail, the whole does: a sum that leaves out a disk is no answer.
    pub async fn disk_usage(&self, mut call: Call, range: ApiRange) -> Result<Response<Body>> {
        call.version.get_or_insert(range.max);
        let nodes = self.chosen(&mut Filters::default())?;
        let asked = nodes.iter().map(|node| async {
            let target = format!("{}/system/df{}", version_prefix(call.version, node), call.query.to_text());
            let usage = match request(Method::GET, &target, empty()) {
                Ok(request) => {
                    self.ask(node, request).await.and_then(|answer| self.usage(&call, node, &answer))
                }
                Err(e) => Err(e),
            };
            (node.name().to_string(), usage)
        });
        let all = together("read", join_all(asked).await)?;
        Ok(error::json(StatusCode::OK, &merge(all.into_iter().map(|(_, usage)| usage))))
    }

    /// One node's answer, with names as lists show them.
    fn usage(&self, call: &Call, node: &Node, answer: &[u8]) -> Result<Object> {
        let mut usage = Object::parse(answer)
            .map_err(|e| Error::engine(Kind::Protocol, format!("the disk usage is malformed: {e}")))?;
        let gap = Gap::between(call.version, node);
        let place = Place {
            prefix: Some(node.name().to_string()).filter(|_| self.config().manager.node_prefix),
            ip: node.ip,
            copies: copies(&node.inventory.networks).into(),
            ..Place::default()
        };
        each(&mut usage, "Containers", |container| put_in_place(container, &place));
        each(&mut usage, "Images", |image| gap.image_entry(image));
        each(&mut usage, "Volumes", |volume| {
            if volume.get::<String>("Scope").as_deref() != Some("global") {
                let name: String = volume.get("Name").unwrap_or_default();
                volume.set("Name", &format!("{}/{name}", node.name()));
            }
        });
        Ok(usage)
    }
}

fn each(usage: &mut Object, key: &str, change: impl FnMut(&mut Object)) {
    if let Some(mut list) = usage.get::<Vec<Object>>(key) {
        list.iter_mut().for_each(change);
        usage.set(key, &list);
    }
}

/// Numbers add up, lists join, images are grouped by ID; anything else is as the first node has it.
fn merge(all: impl Iterator<Item = Object>) -> Object {
    let mut merged = Object::default();
    for usage in all {
        for (key, text) in usage.iter() {
            if !merged.contains(key) {
                merged.set(key, &serde_json::from_str::<&serde_json::value::RawValue>(text).ok());
            } else if let Some(number) = usage.get::<i64>(key) {
                merged.set(key, &merged.get::<i64>(key).unwrap_or(0).saturating_add(number));
            } else if let Some(more) = usage.get::<Vec<Object>>(key) {
                let mut list = merged.get::<Vec<Object>>(key).unwrap_or_default();
                match key {
                    "Images" => more.into_iter().for_each(|image| add_image(&mut list, image)),
                    _ => list.extend(more),
                }
                merged.set(key, &list);
            }
        }
    }
    merged
}

/// An image that several nodes have is one, with the names and users of all.
fn add_image(list: &mut Vec<Object>, image: Object) {
    let id = |o: &Object| o.get::<String>("Id");
    let Some(known) = list.iter_mut().find(|known| id(known) == id(&image)) else {
        list.push(image);
        return;
    };
    for key in ["RepoTags", "RepoDigests"] {
        let mut names: Vec<String> = known.get(key).unwrap_or_default();
        unite(&mut names, &image.get::<Vec<String>>(key).unwrap_or_default());
        known.set(key, &names);
    }
    let users = |o: &Object| o.get::<i64>("Containers").unwrap_or(-1);
    if let (a @ 0.., b @ 0..) = (users(known), users(&image)) {
        known.set("Containers", &(a + b));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usages_of_nodes_become_one() {
        let one = r#"{"LayersSize":10,"Images":[{"Id":"a","RepoTags":["x"],"Containers":1}],"Volumes":null,
            "BuildCache":[{"ID":"k"}],"BuilderSize":1,"New":{"y":1.0}}"#;
        let two = r#"{"LayersSize":5,"Images":[{"Id":"a","RepoTags":["x","y"],"Containers":2},{"Id":"b"}],
            "Volumes":[{"Name":"v"}],"BuildCache":null}"#;
        let all = [one, two].map(|text| Object::parse(text.as_bytes()).unwrap());
        assert_eq!(
            merge(all.into_iter()).to_json(),
            r#"{"LayersSize":15,"Images":[{"Id":"a","RepoTags":["x","y"],"Containers":3,"RepoDigests":[]},{"Id":"b"}],"Volumes":[{"Name":"v"}],"BuildCache":[{"ID":"k"}],"BuilderSize":1,"New":{"y":1.0}}"#
        );
    }
}
