//! The table of the API: one line for each endpoint, with the class that says who may use it (`access::policy`) and
//! how it is answered. Nothing else decides that.
//!
//! Patterns hold at most one `{name}`, which may be several segments long (`node/name`,
//! `registry:5000/team/app`): what stands before and behind it is fixed. `{id}` is one segment. The first line
//! that fits decides, so fixed words stand above names.

use std::sync::LazyLock;

use hyper::Method;

use crate::access::Class;
use crate::api::answer::Answer::{
    self, AnyNode, Everywhere, Here, Hijacked, Merged, Owner, Placed, Refused, Swarmd, View,
};
use crate::api::answer::{Lists, Manager, Many, New, One, Prune, Refusal, Several, Streams};
use crate::api::swarmd::Page;
use Class::{Admin, Buildkit, Deploy, Enter, Logs, Look, Member, Operate, Token};

/// Methods, path, class, answer.
type Line = (&'static str, &'static str, Class, Answer);

const TABLE: &[Line] = &[
    ("GET HEAD", "/_ping", Look, Here(Manager::Ping)),
    ("GET", "/version", Look, Here(Manager::Version)),
    ("GET", "/info", Look, Here(Manager::Info)),
    ("GET", "/events", Look, Merged(Several::Events)),
    ("GET", "/system/df", Look, Merged(Several::DiskUsage)),
    ("POST", "/auth", Deploy, AnyNode),
    //
    ("GET", "/containers/json", Look, View(Lists::Containers)),
    ("GET", "/containers/ps", Look, View(Lists::Containers)),
    ("POST", "/containers/create", Deploy, Placed(New::Container)),
    ("POST", "/containers/prune", Deploy, Everywhere(Many::Prune(Prune::Containers))),
    ("GET", "/containers/{name}/json", Look, Owner(One::Inspect)),
    ("GET", "/containers/{name}/top", Look, Owner(One::Pass)),
    ("GET", "/containers/{name}/logs", Logs, Owner(One::Pass)),
    ("GET", "/containers/{name}/stats", Look, Owner(One::Pass)),
    ("GET", "/containers/{name}/changes", Look, Owner(One::Pass)),
    ("GET", "/containers/{name}/export", Enter, Owner(One::Pass)),
    ("GET HEAD PUT", "/containers/{name}/archive", Enter, Owner(One::Pass)),
    ("POST", "/containers/{name}/wait", Look, Owner(One::Pass)),
    ("POST", "/containers/{name}/resize", Operate, Owner(One::Pass)),
    ("POST", "/containers/{name}/copy", Enter, Owner(One::Pass)),
    ("GET", "/containers/{name}/attach/ws", Enter, Hijacked(Streams::Attach)),
    ("POST", "/containers/{name}/attach", Enter, Hijacked(Streams::Attach)),
    ("POST", "/containers/{name}/start", Operate, Owner(One::Change)),
    ("POST", "/containers/{name}/stop", Operate, Owner(One::Change)),
    ("POST", "/containers/{name}/restart", Operate, Owner(One::Change)),
    ("POST", "/containers/{name}/kill", Operate, Owner(One::Change)),
    ("POST", "/containers/{name}/pause", Operate, Owner(One::Change)),
    ("POST", "/containers/{name}/unpause", Operate, Owner(One::Change)),
    ("POST", "/containers/{name}/update", Deploy, Owner(One::Change)),
    ("POST", "/containers/{name}/rename", Deploy, Owner(One::Rename)),
    ("POST", "/containers/{name}/exec", Enter, Owner(One::CreateExec)),
    ("GET", "/containers/{name}/checkpoints", Admin, Owner(One::Pass)),
    ("POST", "/containers/{name}/checkpoints", Admin, Owner(One::Change)),
    ("DELETE", "/containers/{name}/checkpoints/{id}", Admin, Owner(One::Pass)),
    ("DELETE", "/containers/{name}", Deploy, Owner(One::Remove)),
    ("POST", "/commit", Deploy, Owner(One::Commit)),
    ("POST", "/exec/{id}/start", Enter, Hijacked(Streams::ExecStart)),
    ("POST", "/exec/{id}/resize", Operate, Owner(One::Exec)),
    ("GET", "/exec/{id}/json", Look, Owner(One::Exec)),
    //
    ("GET", "/images/json", Look, View(Lists::Images)),
    ("GET", "/images/get", Deploy, Owner(One::Images)),
    ("GET", "/images/search", Look, AnyNode),
    ("POST", "/images/create", Deploy, Everywhere(Many::Pull)),
    ("POST", "/images/load", Deploy, Everywhere(Many::Load)),
    ("POST", "/images/prune", Deploy, Everywhere(Many::Prune(Prune::Images))),
    ("GET", "/images/{name}/json", Look, Owner(One::Image)),
    ("GET", "/images/{name}/history", Look, Owner(One::Image)),
    ("GET", "/images/{name}/get", Deploy, Owner(One::Image)),
    ("GET", "/images/{name}/attestations", Look, Owner(One::Image)),
    ("POST", "/images/{name}/push", Deploy, Owner(One::Image)),
    ("POST", "/images/{name}/tag", Deploy, Everywhere(Many::Tag)),
    ("DELETE", "/images/{name}", Deploy, Everywhere(Many::RemoveImage)),
    ("GET", "/distribution/{name}/json", Look, AnyNode),
    ("POST", "/build", Deploy, Placed(New::Image)),
    ("POST", "/build/cancel", Deploy, Owner(One::CancelBuild)),
    ("POST", "/build/prune", Deploy, Everywhere(Many::Prune(Prune::BuildCache))),
    ("POST", "/session", Deploy, Hijacked(Streams::Build)),
    ("POST", "/grpc", Buildkit, Hijacked(Streams::Build)),
    //
    ("GET", "/networks", Look, View(Lists::Networks)),
    ("GET", "/networks/", Look, View(Lists::Networks)),
    ("POST", "/networks/create", Deploy, Placed(New::Network)),
    ("POST", "/networks/prune", Deploy, Everywhere(Many::Prune(Prune::Networks))),
    ("POST", "/networks/{name}/connect", Deploy, Owner(One::Connect)),
    ("POST", "/networks/{name}/disconnect", Deploy, Owner(One::Disconnect)),
    ("GET", "/networks/{name}", Look, Merged(Several::Network)),
    ("DELETE", "/networks/{name}", Deploy, Everywhere(Many::RemoveNetwork)),
    //
    ("GET", "/volumes", Look, View(Lists::Volumes)),
    ("POST", "/volumes/create", Deploy, Everywhere(Many::CreateVolume)),
    ("POST", "/volumes/prune", Deploy, Everywhere(Many::Prune(Prune::Volumes))),
    ("GET", "/volumes/{name}", Look, Owner(One::Volume)),
    ("PUT", "/volumes/{name}", Admin, Refused(Refusal::NotInCluster)),
    ("DELETE", "/volumes/{name}", Deploy, Everywhere(Many::RemoveVolume)),
    //
    ("GET", "/plugins", Look, Merged(Several::Plugins)),
    ("GET", "/plugins/privileges", Admin, Refused(Refusal::NotInCluster)),
    ("POST", "/plugins/pull", Admin, Refused(Refusal::NotInCluster)),
    ("POST", "/plugins/create", Admin, Refused(Refusal::NotInCluster)),
    ("GET", "/plugins/{name}/json", Look, Owner(One::Plugin)),
    ("POST", "/plugins/{name}/enable", Admin, Refused(Refusal::NotInCluster)),
    ("POST", "/plugins/{name}/disable", Admin, Refused(Refusal::NotInCluster)),
    ("POST", "/plugins/{name}/push", Admin, Refused(Refusal::NotInCluster)),
    ("POST", "/plugins/{name}/upgrade", Admin, Refused(Refusal::NotInCluster)),
    ("POST", "/plugins/{name}/set", Admin, Refused(Refusal::NotInCluster)),
    ("DELETE", "/plugins/{name}", Admin, Refused(Refusal::NotInCluster)),
    //
    ("GET", "/swarm", Look, Refused(Refusal::NoSwarmMode)),
    ("GET", "/swarm/unlockkey", Admin, Refused(Refusal::NoSwarmMode)),
    ("POST", "/swarm/init", Admin, Refused(Refusal::NotInCluster)),
    ("POST", "/swarm/join", Admin, Refused(Refusal::NotInCluster)),
    ("POST", "/swarm/leave", Admin, Refused(Refusal::NotInCluster)),
    ("POST", "/swarm/update", Admin, Refused(Refusal::NotInCluster)),
    ("POST", "/swarm/unlock", Admin, Refused(Refusal::NotInCluster)),
    ("GET", "/nodes", Look, Refused(Refusal::NoSwarmMode)),
    ("GET DELETE", "/nodes/{id}", Admin, Refused(Refusal::NoSwarmMode)),
    ("POST", "/nodes/{id}/update", Admin, Refused(Refusal::NoSwarmMode)),
    ("GET", "/services", Look, Refused(Refusal::NoSwarmMode)),
    ("POST", "/services/create", Admin, Refused(Refusal::NoSwarmMode)),
    ("GET DELETE", "/services/{id}", Admin, Refused(Refusal::NoSwarmMode)),
    ("POST", "/services/{id}/update", Admin, Refused(Refusal::NoSwarmMode)),
    ("GET", "/services/{id}/logs", Look, Refused(Refusal::NoSwarmMode)),
    ("GET", "/tasks", Look, Refused(Refusal::NoSwarmMode)),
    ("GET", "/tasks/{id}", Look, Refused(Refusal::NoSwarmMode)),
    ("GET", "/tasks/{id}/logs", Look, Refused(Refusal::NoSwarmMode)),
    ("GET", "/secrets", Look, Refused(Refusal::NoSwarmMode)),
    ("POST", "/secrets/create", Admin, Refused(Refusal::NoSwarmMode)),
    ("GET DELETE", "/secrets/{id}", Admin, Refused(Refusal::NoSwarmMode)),
    ("POST", "/secrets/{id}/update", Admin, Refused(Refusal::NoSwarmMode)),
    ("GET", "/configs", Look, Refused(Refusal::NoSwarmMode)),
    ("POST", "/configs/create", Admin, Refused(Refusal::NoSwarmMode)),
    ("GET DELETE", "/configs/{id}", Admin, Refused(Refusal::NoSwarmMode)),
    ("POST", "/configs/{id}/update", Admin, Refused(Refusal::NoSwarmMode)),
    // What Docker has no word for, see `swarmd/README.md`.
    ("GET", "/swarmd/v1/leader", Look, Swarmd(Page::Leader)),
    ("GET", "/swarmd/v1/status", Look, Swarmd(Page::Status)),
    ("GET", "/swarmd/v1/nodes", Look, Swarmd(Page::Nodes)),
    ("GET", "/swarmd/v1/nodes/{node}", Look, Swarmd(Page::Node)),
    ("DELETE", "/swarmd/v1/nodes/{node}", Admin, Swarmd(Page::NodeRemove)),
    ("POST", "/swarmd/v1/nodes/{node}/labels", Admin, Swarmd(Page::Labels)),
    ("POST", "/swarmd/v1/nodes/{node}/pause", Admin, Swarmd(Page::Pause)),
    ("POST", "/swarmd/v1/nodes/{node}/resume", Admin, Swarmd(Page::Resume)),
    ("POST", "/swarmd/v1/nodes/{node}/drain", Admin, Swarmd(Page::Drain)),
    ("POST", "/swarmd/v1/rebalance", Admin, Swarmd(Page::Rebalance)),
    ("GET", "/swarmd/v1/containers/{name}/explain", Look, Swarmd(Page::Explain)),
    ("POST", "/swarmd/v1/plan", Deploy, Swarmd(Page::Plan)),
    ("POST", "/swarmd/v1/join", Token, Swarmd(Page::Join)),
    ("POST", "/swarmd/v1/renew", Member, Swarmd(Page::Renew)),
    ("GET", "/swarmd/v1/trust", Member, Swarmd(Page::Trust)),
    ("POST", "/swarmd/v1/authority", Member, Swarmd(Page::Authority)),
    ("GET", "/swarmd/v1/tokens", Admin, Swarmd(Page::Tokens)),
    ("POST", "/swarmd/v1/tokens", Admin, Swarmd(Page::NewToken)),
    ("DELETE", "/swarmd/v1/tokens/{id}", Admin, Swarmd(Page::RevokeToken)),
    ("GET", "/swarmd/v1/pki", Admin, Swarmd(Page::Pki)),
    ("POST", "/swarmd/v1/pki/rotate", Admin, Swarmd(Page::Rotate)),
    ("POST", "/swarmd/v1/pki/finish", Admin, Swarmd(Page::Finish)),
    ("POST", "/swarmd/v1/pki/revoke", Admin, Swarmd(Page::Revoke)),
    ("POST", "/swarmd/v1/users", Admin, Swarmd(Page::NewUser)),
    // The hosted token registry: it knows its methods itself.
    ("*", "/clusters", Token, Here(Manager::Registry)),
    ("*", "/clusters/{id}", Token, Here(Manager::Registry)),
    ("*", "/v1/clusters", Token, Here(Manager::Registry)),
    ("*", "/v1/clusters/{id}", Token, Here(Manager::Registry)),
];

/// A line of the table that fits a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Who may use it.
    pub class: Class,
    /// How it is answered.
    pub answer: Answer,
    /// What stands for `{name}`, or else for `{id}`.
    pub name: String,
    /// What stands behind that: `json`, `attach/ws`, `checkpoints/x`.
    pub action: String,
}

/// The line for a method and the decoded segments behind the version. `None`: there is no such page.
pub fn find(method: &Method, path: &[String]) -> Option<Route> {
    let methods = |line: &&Line| line.0 == "*" || line.0.split(' ').any(|m| m == method.as_str());
    /// The patterns, split once.
    static PATTERNS: LazyLock<Vec<Vec<&'static str>>> =
        LazyLock::new(|| TABLE.iter().map(|(_, pattern, ..)| pattern.split('/').skip(1).collect()).collect());
    TABLE.iter().zip(PATTERNS.iter()).filter(|(line, _)| methods(line)).find_map(
        |((_, _, class, answer), pattern)| {
            let (name, action) = fit(pattern, path)?;
            Some(Route { class: *class, answer: *answer, name, action: action.join("/") })
        },
    )
}

/// Lays a pattern on a path, from both ends. Returns the name, and the segments behind it.
fn fit<'a>(pattern: &[&str], path: &'a [String]) -> Option<(String, &'a [String])> {
    let fits = |pattern: &[&str], path: &[String]| {
        let mut pairs = pattern.iter().zip(path);
        pattern.len() == path.len() && pairs.all(|(p, s)| if *p == "{id}" { is_id(s) } else { p == s })
    };
    let variable = pattern.iter().position(|p| p.starts_with('{'));
    let Some(at) = variable else { return fits(pattern, path).then_some((String::new(), &[])) };
    let behind = path.len().checked_sub(pattern.len() - at - 1).filter(|b| *b > at)?;
    let (name, action) = (&path[at..behind], &path[behind..]);
    if !fits(&pattern[..at], &path[..at]) || !fits(&pattern[at + 1..], action) {
        return None;
    }
    let name = match (pattern[at], pattern[..at].contains(&"containers")) {
        ("{id}", _) => Some(name.join("/")).filter(|id| is_id(id)),
        // Ours: an address may be that of a unix socket, and goes to no engine.
        ("{node}", _) => {
            <&[String; 1]>::try_from(name).ok().map(|[node]| node.clone()).filter(|n| !n.is_empty())
        }
        (_, is_container) => joined(name, is_container),
    };
    Some((name?, action))
}

/// A name from its segments. Empty ones come from `//` or a trailing `/`: they are no part of any name. Nor are
/// `.` and `..`, also where the slash beside them came as `%2f`: on an engine the path would lead elsewhere.
/// Engines list a container with a slash in front of its name, and clients give it back like that, encoded.
fn joined(segments: &[String], is_container: bool) -> Option<String> {
    let (first, rest) = segments.split_first()?;
    let first = first.strip_prefix('/').filter(|_| is_container).unwrap_or(first);
    let whole = [first].into_iter().chain(rest.iter().map(String::as_str)).collect::<Vec<_>>().join("/");
    let is_part = |part: &str| !matches!(part, "" | "." | "..");
    whole.split('/').all(is_part).then_some(whole)
}

/// Unlike names, IDs never hold a slash.
fn is_id(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..") && !segment.contains('/')
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
