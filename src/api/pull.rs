//! Images on their way to nodes: pull (each node fetches), load (one upload, copied to all), import (one node).

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::api::call::{Ask, Call, Query};
use crate::api::create::asked_platform;
use crate::api::fanout::{Copies, Lines, Messages};
use crate::api::proxy::{and_then, build, version_prefix};
use crate::api::{Api, error};
use crate::config;
use crate::docker::http::{Body, answered, boxed, empty, read_whole};
use crate::docker::reference::Reference;
use crate::engine::Node;
use crate::engine::handle::Handle;
use crate::engine::refresh::What;
use crate::error::{Error, Kind, Result};
use crate::scheduler::Request;

/// A pull or load that tells nothing for this long has died.
const IDLE: Duration = Duration::from_secs(600);

/// One node's part of a fan-out.
struct Part {
    node: Arc<Node>,
    handle: Handle,
    request: hyper::Request<Body>,
}

impl Api {
    /// `POST /images/create`: a pull, or an import if there is `fromSrc`.
    pub async fn pull_or_import(&self, call: Call) -> Result<Response<Body>> {
        let import = call.query.get("fromSrc").is_some_and(|s| !s.is_empty());
        let node = match import {
            // Each engine would make another image of it, with the time in it: so one makes it, as with a build.
            true => Some(self.cluster.decide(|v, p| self.choose(v, p, &Request::default()))?.node),
            false => self.only_node(),
        };
        match node {
            Some(node) => self.take_in(call, &node, "/images/create").await,
            None => self.pull(&call),
        }
    }

    /// `POST /images/load`
    pub async fn load_images(&self, call: Call) -> Result<Response<Body>> {
        if let Some(node) = self.only_node() {
            return self.take_in(call, &node, "/images/load").await;
        }
        self.upload(call, "/images/load", "Loading Image")
    }

    /// The node, if there is just one: what it tells needs no name of a node then.
    fn only_node(&self) -> Option<Arc<Node>> {
        let view = self.cluster.view();
        let mut nodes = view.nodes();
        let first = nodes.next().filter(|n| n.is_healthy())?;
        nodes.next().is_none().then(|| Arc::clone(first))
    }

    /// One node takes images in, and tells of it itself.
    async fn take_in(&self, call: Call, node: &Node, path: &str) -> Result<Response<Body>> {
        let handle = self.cluster.handle(node)?;
        let response = self.forward(call, node, path).await?;
        and_then(response, async move { handle.refresh(What::Images).await }).await
    }

    /// Each of several nodes pulls by itself; the progress lines carry the node's name as their `id`.
    fn pull(&self, call: &Call) -> Result<Response<Body>> {
        let name = call.query.get("fromImage").unwrap_or_default();
        let tag = call.query.get("tag").unwrap_or_default();
        let what = match tag {
            "" => name.to_string(),
            tag if tag.contains(':') => format!("{name}@{tag}"),
            tag => format!("{name}:{tag}"),
        };
        let mut parts = Vec::new();
        for node in self.pullers(&what, call.query.get("platform"))? {
            let target =
                format!("{}/images/create{}", version_prefix(call.version, &node), call.query.to_text());
            let request = build(Method::POST, &target, call.request.headers(), empty())?;
            parts.push(Part { handle: self.cluster.handle(&node)?, node, request });
        }
        Ok(self.stream(parts, format!("Pulling {}...", Reference::parse(&what).with_default_tag())))
    }

    /// One upload, copied to every usable node.
    fn upload(&self, call: Call, path: &str, doing: &str) -> Result<Response<Body>> {
        let (copies, bodies) = Copies::new(&self.usable()?);
        let mut parts = Vec::new();
        for (node, body) in bodies {
            let target = format!("{}{path}{}", version_prefix(call.version, &node), call.query.to_text());
            let mut request = build(Method::POST, &target, call.request.headers(), body)?;
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
            parts.push(Part { handle: self.cluster.handle(&node)?, node, request });
        }
        self.streams.spawn(async move {
            if let Err(e) = copies.carry(call.request.into_body()).await {
                tracing::debug!("an upload ended early: {e}");
            }
        });
        Ok(self.stream(parts, format!("{doing}...")))
    }

    /// Runs all parts at once and merges what they tell. Ends early when the client goes.
    fn stream(&self, parts: Vec<Part>, title: String) -> Response<Body> {
        let (lines, body) = Lines::channel();
        self.streams.spawn(async move {
            let all = async {
                let results =
                    join_all(parts.into_iter().map(|part| run(part, lines.clone(), title.clone()))).await;
                let failed: Vec<_> =
                    results.into_iter().filter_map(Result::err).map(|e| e.to_string()).collect();
                if !failed.is_empty() {
                    lines.fail(&failed.join("\n")).await;
                }
            };
            tokio::select! {
                () = all => {}
                () = lines.closed() => {}
            }
        });
        error::typed(StatusCode::OK, "application/json", body)
    }

    /// The nodes that pull an image. `all`: every node that runs the platform. `lazy`: of these, those that
    /// have it already, so that none keeps an older one; else the one that the scheduler would choose.
    fn pullers(&self, image: &str, platform: Option<&str>) -> Result<Vec<Arc<Node>>> {
        let platform = asked_platform(&self.cluster.view(), platform);
        let runs = |node: &Arc<Node>| {
            let here = node.specs.as_ref().map(|s| &s.platform);
            platform.as_ref().is_none_or(|asked| here.is_some_and(|here| here.runs(asked)))
        };
        let nodes: Vec<_> = self.usable()?.into_iter().filter(runs).collect();
        if self.config().manager.pull == config::Pull::All {
            return Ok(nodes);
        }
        let holders: Vec<_> = nodes.iter().filter(|n| n.inventory.image(image).is_some()).cloned().collect();
        if !holders.is_empty() {
            return Ok(holders);
        }
        let request = Request { image: image.to_string(), platform, ..Request::default() };
        let chosen = self.cluster.decide(|view, pending| self.choose(view, pending, &request))?;
        Ok(vec![chosen.node])
    }

    /// All nodes that can be used now; at least one.
    pub fn usable(&self) -> Result<Vec<Arc<Node>>> {
        let nodes: Vec<_> = self.cluster.view().healthy().cloned().collect();
        match nodes.is_empty() {
            true => Err(Error::client(Kind::NoNode, "No healthy node available in the cluster")),
            false => Ok(nodes),
        }
    }

    /// Pulls an image on one node, on behalf of a create. A failure is `NotFound`: the create looks for
    /// another way then.
    pub async fn pull_on(&self, node: &Node, ask: &Ask, image: &str) -> Result<()> {
        let reference = Reference::parse(image);
        let mut query = Query::default();
        query.set("fromImage", &reference.name);
        query.set("tag", reference.digest.as_deref().or(reference.tag.as_deref()).unwrap_or("latest"));
        if let Some(platform) = ask.query.get("platform") {
            query.set("platform", platform);
        }
        let handle = self.cluster.handle(node)?;
        tracing::info!(NODE = node.name(), IMAGE = image, "pulling {image} on {}", node.name());
        let target = format!("{}/images/create{}", version_prefix(ask.version, node), query.to_text());
        let mut request = build(Method::POST, &target, &hyper::HeaderMap::new(), empty())?;
        if let Some(auth) = ask.headers.get("x-registry-auth") {
            request.headers_mut().insert("x-registry-auth", auth.clone());
        }
        let pulled = async {
            let response = self.exchange(&handle, node, request).await?;
            let status = response.status();
            if !status.is_success() {
                return Err(answered(status, &read_whole(boxed(response.into_body())).await?));
            }
            let mut messages = Messages::new(response.into_body(), IDLE);
            while messages.next().await?.is_some() {}
            Ok(())
        };
        match pulled.await {
            Ok(()) => {
                handle.refresh(What::Images).await;
                Ok(())
            }
            Err(e) if e.is_connection() => Err(e),
            Err(e) => Err(Error::engine(Kind::NotFound, e.message)),
        }
    }
}

/// One node's part: announce, pass progress on with the node's name, tell the end.
async fn run(part: Part, lines: Lines, title: String) -> Result<()> {
    let Part { node, handle, request } = part;
    lines.send(&json!({ "id": node.name(), "status": title })).await?;
    let passed = async {
        let response = handle.client.send(request).await?;
        let status = response.status();
        if !status.is_success() {
            return Err(answered(status, &read_whole(boxed(response.into_body())).await?));
        }
        let mut messages = Messages::new(response.into_body(), IDLE);
        while let Some(message) = messages.next().await? {
            lines.send(&named(message, &node, &title)).await?;
        }
        Ok(())
    };
    let result = passed.await;
    handle.refresh(What::Images).await;
    match result {
        Ok(()) => lines.send(&json!({ "id": node.name(), "status": title })).await,
        Err(e) => {
            let _ =
                lines.send(&json!({ "id": node.name(), "status": format!("{title} : {}", e.message) })).await;
            Err(Error { message: format!("{}: {}", node.name(), e.message), ..e })
        }
    }
}

/// An engine's progress message with the node's name as its `id`.
fn named(mut message: Value, node: &Node, title: &str) -> Value {
    if let Some(fields) = message.as_object_mut() {
        let layer = fields.get("id").and_then(Value::as_str).map(|id| format!("{id}: ")).unwrap_or_default();
        fields.insert("id".into(), node.name().into());
        if let Some(status) = fields.get("status").and_then(Value::as_str).map(str::to_string) {
            fields.insert("status".into(), format!("{title} : {layer}{status}").into());
        }
    }
    message
}
