//! Looks at what engines got: only calls that the API allows on them, in a form that leads nowhere else, and
//! each from a client's request or from the manager itself. Its list is its own, not the product's.

use percent_encoding::percent_decode_str;

use super::generate::Script;
use super::words::HIDDEN;
use crate::sim::{Call, SimEngine};

/// What may reach an engine.
const ALLOWED: &str = "
    GET /_ping  GET /version  GET /info  GET /events  POST /auth  GET /system/df  POST /commit
    GET /containers/json  POST /containers/create  POST /containers/prune  DELETE /containers/{id}
    GET /containers/{id}/json  GET /containers/{id}/top  GET /containers/{id}/logs  GET /containers/{id}/stats
    GET /containers/{id}/changes  GET /containers/{id}/export  GET /containers/{id}/archive
    HEAD /containers/{id}/archive  PUT /containers/{id}/archive  GET /containers/{id}/attach/ws
    POST /containers/{id}/start  POST /containers/{id}/stop  POST /containers/{id}/restart
    POST /containers/{id}/kill  POST /containers/{id}/pause  POST /containers/{id}/unpause
    POST /containers/{id}/update  POST /containers/{id}/rename  POST /containers/{id}/resize
    POST /containers/{id}/wait  POST /containers/{id}/attach  POST /containers/{id}/exec  POST /containers/{id}/copy
    POST /exec/{id}/start  POST /exec/{id}/resize  GET /exec/{id}/json
    GET /images/json  GET /images/get  GET /images/search  POST /images/create  POST /images/load  POST /images/prune
    GET /images/{id}/json  GET /images/{id}/history  GET /images/{id}/get  POST /images/{id}/push
    POST /images/{id}/tag  DELETE /images/{id}  GET /distribution/…/json
    GET /networks  POST /networks/create  POST /networks/prune  GET /networks/{id}  DELETE /networks/{id}
    POST /networks/{id}/connect  POST /networks/{id}/disconnect
    GET /volumes  POST /volumes/create  POST /volumes/prune  GET /volumes/{id}  DELETE /volumes/{id}
    GET /containers/{id}/checkpoints  POST /containers/{id}/checkpoints  DELETE /containers/{id}/checkpoints/{id}
    POST /build  POST /build/cancel  POST /build/prune  POST /session  POST /grpc
    GET /plugins  GET /plugins/{id}/json";

/// Holds every call that an engine got since the last look against the rules.
pub fn engine(engine: &SimEngine, scripts: &[Script]) {
    let (newest, oldest) = engine.engine().profile.release.api();
    for call in engine.recent_calls() {
        let fault = wrong(&call, oldest..=newest).or_else(|| unasked(&call, scripts));
        if let Some(fault) = fault {
            let script = scripts.iter().find(|s| s.sent.iter().any(|(mark, _, _)| *mark == call.mark));
            let path = &call.path[..call.path.len().min(300)];
            panic!(
                "{fault}: {} {} as {path}\nafter {}",
                call.mark,
                call.route,
                script.map_or("no script".to_string(), Script::shown)
            );
        }
    }
}

fn wrong(call: &Call, versions: std::ops::RangeInclusive<u32>) -> Option<&'static str> {
    let mut words = ALLOWED.split_whitespace();
    let mut allowed = std::iter::from_fn(|| Some((words.next()?, words.next()?)));
    let (method, route) = call.route.split_once(' ')?;
    let distribution = route.starts_with("/distribution/") && route.ends_with("/json");
    let route = if distribution { "/distribution/…/json" } else { route };
    if !allowed.any(|pair| pair == (method, route)) {
        return Some("a call that engines must not get");
    }
    let path = call.path.split('?').next().unwrap_or_default();
    if path.bytes().any(|b| !b.is_ascii_graphic() || b == b'\\') {
        return Some("a path with odd bytes");
    }
    let parts: Vec<_> = path.split('/').skip(1).collect();
    let decoded = parts.iter().map(|p| percent_decode_str(p).decode_utf8_lossy().into_owned());
    if decoded
        .flat_map(|p| p.split('/').map(String::from).collect::<Vec<_>>())
        .any(|p| matches!(p.as_str(), "" | "." | ".."))
    {
        return Some("a path that an engine may read otherwise");
    }
    let version = parts.first().and_then(|v| v.strip_prefix("v1.")).map(|v| v.parse::<u32>());
    match version {
        Some(Ok(minor)) if versions.contains(&minor) => None,
        // The manager's own, before it knows the engine; its questions about exec sessions.
        None if method == "GET" && call.mark.is_empty() => None,
        None if method == "POST" && call.mark.is_empty() && route.ends_with("/create") => None,
        _ => Some("a version that the engine does not accept"),
    }
}

/// A call on behalf of a client's request has its mark, its method and its action.
fn unasked(call: &Call, scripts: &[Script]) -> Option<&'static str> {
    if call.mark.is_empty() {
        return None;
    }
    if call.mark.contains(HIDDEN) {
        return Some("a request out of a body");
    }
    let mut sent = scripts.iter().flat_map(|s| &s.sent).filter(|(mark, _, _)| *mark == call.mark);
    let Some((_, method, target)) = sent.next() else { return Some("a call without a request") };
    let (got, path) = call.route.split_once(' ')?;
    let pull = got == "POST" && path == "/images/create";
    if method != got && !pull {
        return Some("another method than the client's");
    }
    let target =
        percent_decode_str(std::str::from_utf8(target).unwrap_or_default()).decode_utf8_lossy().into_owned();
    let kind = path.split('/').nth(1).unwrap_or_default();
    (!target.contains(kind) && !pull).then_some("a call on another kind of object than the client's")
}
