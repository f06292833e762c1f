//! Images: lists merged by ID; calls about one image go to a node that has it, changes to all that do.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::future::join_all;
use hyper::{Method, Response, StatusCode};
use serde_json::value::RawValue;

use crate::api::call::{Call, Query, encode};
use crate::api::fanout::together;
use crate::api::gap::Gap;
use crate::api::image_list::{Choice, Merged};
use crate::api::proxy::{rewritten, version_prefix};
use crate::api::supply::{Brought, Wanted};
use crate::api::{Api, error};
use crate::docker::filters::Filters;
use crate::docker::http::{Body, answered, empty, request};
use crate::docker::json::Object;
use crate::docker::version::ApiVersion;
use crate::engine::Node;
use crate::engine::refresh::What;
use crate::error::{Error, Kind, Result};

/// How long removing an image may take: layers on an SD card.
const REMOVE_DEADLINE: std::time::Duration = std::time::Duration::from_secs(300);

impl Api {
    /// `GET /images/json`
    pub async fn list_images(&self, call: &Call) -> Result<Response<Body>> {
        let mut filters = Filters::parse(call.query.get("filters"))?;
        let view = self.cluster.view();
        let gap = Gap::from_view(call, &view);
        if let Some(reference) = call.query.get("filter").filter(|f| !f.is_empty())
            && (call.version.is_none() || gap.has_image_filter())
        {
            filters.add("reference", reference);
        }
        let choice = Choice::read(&view, filters, call.query.flag("all"))?;
        let live = self.live_images(call).await?;
        let mut merged: BTreeMap<&str, Merged<'_>> = BTreeMap::new();
        for node in view.validated() {
            for image in choice.on(node) {
                merged.entry(&image.fields.id).or_insert_with(|| Merged::new(image)).add(image, &choice);
            }
        }
        let mut list: Vec<_> = merged.into_values().collect();
        list.sort_by_key(|m| std::cmp::Reverse(m.first.fields.created));
        let version = call.version;
        let mut users: HashMap<&str, i64> = HashMap::new();
        view.containers().for_each(|(_, c)| *users.entry(&c.image_id).or_default() += 1);
        let list: Vec<Object> = list
            .iter()
            .map(|m| {
                let id = m.first.fields.id.as_str();
                let mut entry = m.entry(gap);
                // Engines count since 1.51; before that, -1 says that they do not.
                let counts = version.is_none_or(|v| v >= ApiVersion::new(1, 51));
                let told = counts && entry.get::<i64>("Containers") != Some(-1);
                entry.set("Containers", if told { users.get(id).unwrap_or(&0) } else { &-1 });
                for (key, value) in live.get(id).into_iter().flat_map(Object::iter) {
                    if matches!(key, "SharedSize" | "Manifests" | "Descriptor") {
                        entry.set(key, &serde_json::from_str::<&RawValue>(value).ok());
                    }
                }
                entry
            })
            .collect();
        Ok(error::json(StatusCode::OK, &list))
    }

    /// What engines only tell when they are asked: shared sizes and manifests. From the first node of each image.
    async fn live_images(&self, call: &Call) -> Result<HashMap<String, Object>> {
        let asked = ["shared-size", "manifests"].into_iter().filter(|key| call.query.flag(key));
        let mut query = Query::parse("all=1");
        asked.clone().for_each(|key| query.set(key, "1"));
        if asked.count() == 0 {
            return Ok(HashMap::new());
        }
        let view = self.cluster.view();
        let asked = view.healthy().map(|node| async {
            let target = format!("{}/images/json{}", version_prefix(call.version, node), query.to_text());
            let answer = match request(Method::GET, &target, empty()) {
                Ok(request) => self.ask(node, request).await,
                Err(e) => Err(e),
            };
            (node.name().to_string(), answer)
        });
        let mut live = HashMap::new();
        for (_, answer) in together("read", join_all(asked).await)? {
            for image in serde_json::from_slice::<Vec<Object>>(&answer).unwrap_or_default() {
                live.entry(image.get::<String>("Id").unwrap_or_default()).or_insert(image);
            }
        }
        Ok(live)
    }

    /// `GET /images/{name}/json`, history, get; `POST push`: a node that has the image answers.
    pub async fn pass_image(&self, call: Call, name: &str, action: &str) -> Result<Response<Body>> {
        let mut holders = match (action, call.query.get("tag").filter(|t| !t.is_empty())) {
            // An engine tells within its stream that there is nothing to push.
            ("push", Some(tag)) => self.holders(&format!("{name}:{tag}")).await.or_else(|_| self.usable())?,
            ("push", None) => self.holders_of_repository(name).or_else(|_| self.usable())?,
            _ => self.holders(name).await?,
        };
        let node = holders.swap_remove(0);
        let gap = Gap::between(call.version, &node);
        let response =
            self.forward(call, &node, &format!("/images/{}/{}", encode(name), encode(action))).await?;
        match action == "json" && gap.in_image() && response.status().is_success() {
            true => rewritten(response, |image| gap.image(image)).await,
            false => Ok(response),
        }
    }

    /// `GET /images/get?names=…`: from a node that has them all, or gets what it lacks from the others.
    pub async fn save_images(&self, call: Call) -> Result<Response<Body>> {
        let names: Vec<String> = call.query.all("names").into_iter().map(String::from).collect();
        let mut has: Vec<(usize, Arc<Node>)> = Vec::new();
        for name in &names {
            // Engines repeat the name here as it was written.
            let missing = |e: Error| Error { message: format!("No such image: {name}"), ..e };
            for node in self.holders(name).await.map_err(missing)? {
                match has.iter_mut().find(|(_, n)| n.addr == node.addr) {
                    Some((count, _)) => *count += 1,
                    None => has.push((1, node)),
                }
            }
        }
        // The sort is stable: of several alike the first in the view's order.
        has.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        let Some((count, node)) = has.into_iter().next() else {
            return Err(Error::client(Kind::Invalid, "no image is named"));
        };
        if count < names.len() {
            self.gather(&names, &node).await?;
        }
        self.forward(call, &node, "/images/get").await
    }

    /// Copies those images to a node that it lacks.
    async fn gather(&self, names: &[String], node: &Arc<Node>) -> Result<()> {
        let view = self.cluster.view();
        let now = view.at(&node.addr).unwrap_or(node);
        for name in names.iter().filter(|name| now.inventory.image(name).is_none()) {
            let wanted = Wanted { image: name.clone(), ..Wanted::default() };
            match self.supply.bring(wanted, node, self.config().manager.image_copy).await {
                // Under another name, the archive would not hold what was asked for.
                Brought::There(None) => {}
                Brought::Elsewhere { why, .. } => return Err(why.advise("save them one by one")),
                _ => {
                    let text = format!(
                        "Unable to find a healthy engine containing all images: [{}]",
                        names.join(" ")
                    );
                    return Err(Error::client(Kind::NotFound, text).advise("save them one by one"));
                }
            }
        }
        Ok(())
    }

    /// `POST /images/{name}/tag`: on every usable node that has it.
    pub async fn tag_image(&self, call: Call, name: &str) -> Result<Response<Body>> {
        let path = format!("/images/{}/tag{}", encode(name), call.query.to_text());
        let results = self.on_holders(&call, name, Method::POST, &path).await?;
        together("tagged", results)?;
        Ok(error::nothing(StatusCode::CREATED))
    }

    /// `DELETE /images/{name}`: from every usable node that has it. The answers are one list; what several
    /// nodes say alike is said once.
    pub async fn remove_image(&self, call: Call, name: &str) -> Result<Response<Body>> {
        let path = format!("/images/{}{}", encode(name), call.query.to_text());
        let results = self.on_holders(&call, name, Method::DELETE, &path).await?;
        let mut said: Vec<String> = Vec::new();
        let mut list: Vec<Object> = Vec::new();
        for (_, answer) in together("removed", results)? {
            for item in serde_json::from_slice::<Vec<Object>>(&answer).unwrap_or_default() {
                let text = item.to_json();
                if !said.contains(&text) {
                    said.push(text);
                    list.push(item);
                }
            }
        }
        Ok(error::json(StatusCode::OK, &list))
    }

    async fn on_holders(
        &self,
        call: &Call,
        name: &str,
        method: Method,
        path: &str,
    ) -> Result<Vec<(String, Result<bytes::Bytes>)>> {
        let ask = async |node: Arc<Node>| -> Result<bytes::Bytes> {
            let handle = self.cluster.handle(&node)?;
            let path = format!("{}{path}", super::proxy::version_prefix(call.version, &node));
            let (status, answer) = handle.client.call(method.clone(), &path, REMOVE_DEADLINE).await?;
            handle.refresh(What::Images).await;
            if status.is_success() { Ok(answer) } else { Err(answered(status, &answer)) }
        };
        let holders = self.holders(name).await?;
        Ok(join_all(holders.iter().map(|n| async { (n.name().to_string(), ask(n.clone()).await) })).await)
    }
}
