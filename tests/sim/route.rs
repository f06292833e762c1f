//! One line for each endpoint, and the name of a route for counters and faults. *Not* version rules: `server`.

use std::sync::Arc;

use bytes::Bytes;
use hyper::Method;
use hyper::upgrade::OnUpgrade;
use serde_json::json;

use super::query::Query;
use super::reply::{Outcome, fail, json_ok};
use super::state::{Engine, Open};
use super::{create, events, extras, images, lifecycle, lists, networks, streams, system, volumes};

/// A request taken apart.
pub struct Request {
    /// Verb.
    pub method: Method,
    /// Path without version, split at slashes and decoded.
    pub path: Vec<String>,
    /// Parameters.
    pub query: Query,
    /// Minor number of the API version in use.
    pub api: u32,
    /// The body, whole.
    pub body: Bytes,
    /// The connection, if the client wants to take it over.
    pub upgrade: Option<Upgrade>,
}

/// A connection that a client wants to take over.
pub struct Upgrade {
    /// The connection, once the answer has left.
    pub connection: OnUpgrade,
    /// Keeps the request open as long as the connection is used.
    pub open: Arc<Open>,
}

/// Words that follow a collection's name and are not an object's.
const COLLECTION_WORDS: [&str; 8] = ["json", "ps", "create", "prune", "load", "get", "search", "viz"];

/// `GET /containers/{id}/json`: objects' names replaced, version cut off.
pub fn name(method: &Method, path: &[String]) -> String {
    let mut parts: Vec<&str> = path.iter().map(String::as_str).collect();
    if let Some(first) = parts.first().copied()
        && ["containers", "exec", "images", "networks", "volumes"].contains(&first)
        && parts.len() > 1
        && !(parts.len() == 2 && COLLECTION_WORDS.contains(&parts[1]) && *method != Method::DELETE)
    {
        let actions = ["json", "history", "push", "tag", "get"];
        let last = parts.last().copied().unwrap_or("");
        match first {
            "images" if parts.len() > 2 && actions.contains(&last) => parts = vec![first, "{id}", last],
            "images" => parts = vec![first, "{id}"],
            _ => parts[1] = "{id}",
        }
        if let [_, _, "checkpoints", checkpoint] = parts.as_mut_slice() {
            *checkpoint = "{id}";
        }
    }
    format!("{method} /{}", parts.join("/"))
}

/// Hands a request to its handler.
pub fn dispatch(engine: &Arc<Engine>, r: Request) -> Outcome {
    let parts: Vec<&str> = r.path.iter().map(String::as_str).collect();
    let (q, api) = (&r.query, r.api);
    match (r.method.as_str(), parts.as_slice()) {
        ("GET", ["_ping"]) => system::ping(engine, false),
        ("HEAD", ["_ping"]) => system::ping(engine, true),
        ("GET", ["version"]) => system::version(engine),
        ("GET", ["info"]) => system::info(engine),
        ("GET", ["events"]) => events::get(engine, q, api),
        ("GET", ["system", "df"]) => system::df(engine, api),
        ("POST", ["auth"]) => system::auth(&r.body),
        ("POST", ["session" | "grpc"]) => streams::tunnel(engine, r.upgrade),
        ("POST", ["build", "prune"]) => json_ok(&json!({"CachesDeleted": null, "SpaceReclaimed": 0})),
        ("POST", ["build"]) => build(engine, q),
        ("POST", ["commit"]) => images::commit(engine, q),
        ("GET", ["plugins"]) => json_ok(&json!([])),
        (_, ["swarm" | "nodes" | "services" | "tasks" | "secrets" | "configs", ..]) => fail(
            503,
            "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node \
             to swarm and try again.",
        ),
        (_, ["containers", ..]) => container(engine, r),
        (_, ["images", ..]) => image(engine, &r),
        (_, ["networks", ..]) => network(engine, &r),
        (_, ["volumes", ..]) => volume(engine, &r),
        ("POST", ["exec", id, "start"]) => streams::exec_start(engine, id, &r.body, api, r.upgrade),
        ("POST", ["exec", id, "resize"]) => streams::exec_resize(engine, id),
        ("GET", ["exec", id, "json"]) => streams::exec_inspect(engine, id),
        _ => fail(404, "page not found"),
    }
}

fn container(engine: &Arc<Engine>, r: Request) -> Outcome {
    let parts: Vec<&str> = r.path.iter().skip(1).map(String::as_str).collect();
    let (q, api) = (&r.query, r.api);
    match (r.method.as_str(), parts.as_slice()) {
        ("GET", ["json" | "ps"]) => lists::containers(engine, q, api),
        ("POST", ["create"]) => create::post(engine, q.get("name"), &r.body),
        ("POST", ["prune"]) => lists::prune(engine, q),
        ("DELETE", [id]) => lifecycle::remove(engine, id, q),
        ("GET", [id, "json"]) => lists::inspect(engine, id, q, api),
        ("POST", [id, "start"]) => lifecycle::start(engine, id),
        ("POST", [id, "stop"]) => lifecycle::stop(engine, id, q),
        ("POST", [id, "restart"]) => lifecycle::restart(engine, id, q),
        ("POST", [id, "kill"]) => lifecycle::kill(engine, id, q),
        ("POST", [id, "pause"]) => lifecycle::pause(engine, id, true),
        ("POST", [id, "unpause"]) => lifecycle::pause(engine, id, false),
        ("POST", [id, "rename"]) => lifecycle::rename(engine, id, q),
        ("POST", [id, "wait"]) => lifecycle::wait(engine, id, q, api),
        ("POST", [id, "attach"]) => streams::attach(engine, id, q, api, r.upgrade),
        ("POST", [id, "exec"]) => streams::exec_create(engine, id, &r.body),
        ("GET", [id, "logs"]) => streams::logs(engine, id, q, api),
        ("GET", [id, "top"]) => extras::top(engine, id),
        ("GET", [id, "stats"]) => extras::stats(engine, id, q),
        ("GET", [id, "changes"]) => extras::changes(engine, id),
        ("GET", [id, "export"]) => extras::export(engine, id),
        ("POST", [id, "update"]) => extras::update(engine, id, &r.body),
        ("POST", [id, "resize"]) => extras::resize(engine, id, q),
        ("HEAD", [id, "archive"]) => extras::archive_get(engine, id, q, true),
        ("GET", [id, "archive"]) => extras::archive_get(engine, id, q, false),
        ("PUT", [id, "archive"]) => extras::archive_put(engine, id, q, r.body.clone()),
        _ => fail(404, "page not found"),
    }
}

/// Names of images contain slashes: the action is what stands last.
fn image(engine: &Arc<Engine>, r: &Request) -> Outcome {
    let parts: Vec<&str> = r.path.iter().skip(1).map(String::as_str).collect();
    let q = &r.query;
    match (r.method.as_str(), parts.as_slice()) {
        ("GET", ["json"]) => images::list(engine, q),
        ("POST", ["create"]) => images::create(engine, q),
        ("POST", ["load"]) => images::load(engine, &r.body),
        ("POST", ["prune"]) => images::prune(engine, q),
        ("GET", ["search"]) => images::search(engine, q),
        ("GET", ["get"]) => images::save(engine, q.all("names").flat_map(|n| n.split(','))),
        ("DELETE", name) => images::delete(engine, &name.join("/"), q),
        ("GET", [name @ .., "json"]) => images::inspect(engine, &name.join("/")),
        ("GET", [name @ .., "history"]) => images::history(engine, &name.join("/")),
        ("GET", [name @ .., "get"]) => images::save(engine, [name.join("/").as_str()].into_iter()),
        ("POST", [name @ .., "tag"]) => images::tag(engine, &name.join("/"), q),
        ("POST", [name @ .., "push"]) => images::push(engine, &name.join("/"), q),
        _ => fail(404, "page not found"),
    }
}

fn network(engine: &Arc<Engine>, r: &Request) -> Outcome {
    let parts: Vec<&str> = r.path.iter().skip(1).map(String::as_str).collect();
    match (r.method.as_str(), parts.as_slice()) {
        ("GET", [] | [""]) => networks::list(engine, &r.query),
        ("POST", ["create"]) => networks::create(engine, &r.body),
        ("POST", ["prune"]) => networks::prune(engine, &r.query),
        ("GET", [id]) => networks::inspect(engine, id),
        ("DELETE", [id]) => networks::delete(engine, id),
        ("POST", [id, "connect"]) => networks::connect(engine, id, &r.body),
        ("POST", [id, "disconnect"]) => networks::disconnect(engine, id, &r.body),
        _ => fail(404, "page not found"),
    }
}

fn volume(engine: &Arc<Engine>, r: &Request) -> Outcome {
    let parts: Vec<&str> = r.path.iter().skip(1).map(String::as_str).collect();
    match (r.method.as_str(), parts.as_slice()) {
        ("GET", []) => volumes::list(engine, &r.query),
        ("POST", ["create"]) => volumes::create(engine, &r.body),
        ("POST", ["prune"]) => volumes::prune(engine, &r.query, r.api),
        ("GET", [name]) => volumes::inspect(engine, name),
        ("DELETE", [name]) => volumes::delete(engine, name, &r.query),
        _ => fail(404, "page not found"),
    }
}

/// A build makes an image of the name asked for and says what the classic builder says.
fn build(engine: &Arc<Engine>, query: &Query) -> Outcome {
    let mut progress = vec![json!({"stream": "Step 1/1 : FROM busybox\n"})];
    for tag in query.all("t") {
        let image = images::named(tag, &engine.profile.architecture);
        progress.push(json!({"stream": format!("Successfully built {}\n", &image.id[7..19])}));
        progress.push(json!({"stream": format!("Successfully tagged {}\n", images::with_tag(tag))}));
        engine.state().add_image(image);
    }
    Ok(super::reply::lines(&progress))
}
