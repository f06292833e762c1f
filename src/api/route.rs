//! The table of the API: one line for each endpoint, with how it is answered. Nothing else decides that.
//!
//! Patterns hold at most one `{name}`, which may be several segments long (`node/name`,
//! `registry:5000/team/app`): what stands before and behind it is fixed. `{id}` is one segment. The first line
//! that fits decides, so fixed words stand above names.

use std::sync::LazyLock;

use hyper::Method;

use crate::api::swarmd::Page;
use Answer::{AnyNode, Everywhere, Here, Hijacked, Merged, Owner, Placed, Refused, Swarmd, View};

/// How an endpoint is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// From what the manager itself is.
    Here(Manager),
    /// From the view, without asking an engine (unless the client asks for what only engines know).
    View(Lists),
    /// From the answers of several engines, merged.
    Merged(Several),
    /// By the one node that has the object.
    Owner(One),
    /// By the node that has the object, and the connection may become a stream.
    Hijacked(Streams),
    /// By a node that the scheduler picks.
    Placed(New),
    /// By any usable node: it says nothing of nodes.
    AnyNode,
    /// By all usable nodes, or all that have the object.
    Everywhere(Many),
    /// It is none of Docker's.
    Swarmd(Page),
    /// Not at all.
    Refused(Refusal),
}

impl Answer {
    /// Whether any manager answers it, primary or not: what it is, and what it is not.
    ///
    /// All else is the primary's, lists too: a container whose creation the primary has just answered may not be in
    /// another's view yet, and reservations and decisions never are.
    pub fn is_anyones(self) -> bool {
        matches!(
            self,
            Here(Manager::Ping | Manager::Info | Manager::Registry) | Swarmd(Page::Leader) | Refused(_)
        )
    }

    /// Whether clients without a certificate are answered where one is demanded: those of the registry have only
    /// their token, and what that opens the registry itself decides.
    pub fn takes_strangers(self) -> bool {
        matches!(self, Here(Manager::Registry))
    }

    /// Whether it depends on which images there are.
    pub fn asks_for_images(self) -> bool {
        matches!(
            self,
            Placed(New::Container)
                | View(Lists::Images)
                | Owner(One::Images | One::Image)
                | Everywhere(Many::RemoveImage | Many::Tag)
        )
    }
}

/// Endpoints about the manager itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Manager {
    Ping,
    Version,
    Info,
    Registry,
}

/// Lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Lists {
    Containers,
    Images,
    Networks,
    Volumes,
}

/// Endpoints for which several engines are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Several {
    Events,
    DiskUsage,
    Network,
    Plugins,
}

/// Endpoints about one object on one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum One {
    /// `GET /containers/{name}/json`
    Inspect,
    /// A container's; nothing changes.
    Pass,
    /// A container's; it is read again afterwards.
    Change,
    /// `POST /containers/{name}/exec`
    CreateExec,
    /// `POST /containers/{name}/rename`
    Rename,
    /// `DELETE /containers/{name}`
    Remove,
    /// `POST /commit`
    Commit,
    /// Of an exec session.
    Exec,
    /// `POST /build/cancel`
    CancelBuild,
    /// Of an image.
    Image,
    /// `GET /images/get`: of several images.
    Images,
    /// `GET /volumes/{name}`
    Volume,
    /// `POST /networks/{name}/connect`, on the container's node
    Connect,
    /// `POST /networks/{name}/disconnect`, on the container's node
    Disconnect,
    /// `GET /plugins/{name}/json`
    Plugin,
}

/// Endpoints whose connection may become a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Streams {
    Attach,
    ExecStart,
    /// BuildKit takes the connection over.
    Build,
}

/// Endpoints that make something on one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum New {
    Container,
    Network,
    Image,
}

/// Endpoints that change something on many nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Many {
    Pull,
    Load,
    Tag,
    RemoveImage,
    RemoveNetwork,
    CreateVolume,
    RemoveVolume,
    Prune(Prune),
}

/// What a prune is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Prune {
    Containers,
    Images,
    Networks,
    Volumes,
    BuildCache,
}

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Swarm mode: answered as by an engine that is not in it, and never forwarded.
    NoSwarmMode,
    /// It would change one engine behind the cluster's back.
    NotInCluster,
}

/// Methods, path, answer.
type Line = (&'static str, &'static str, Answer);

const TABLE: &[Line] = &[
    ("GET HEAD", "/_ping", Here(Manager::Ping)),
    ("GET", "/version", Here(Manager::Version)),
    ("GET", "/info", Here(Manager::Info)),
    ("GET", "/events", Merged(Several::Events)),
    ("GET", "/system/df", Merged(Several::DiskUsage)),
    ("POST", "/auth", AnyNode),
    //
    ("GET", "/containers/json", View(Lists::Containers)),
    ("GET", "/containers/ps", View(Lists::Containers)),
    ("POST", "/containers/create", Placed(New::Container)),
    ("POST", "/containers/prune", Everywhere(Many::Prune(Prune::Containers))),
    ("GET", "/containers/{name}/json", Owner(One::Inspect)),
    ("GET", "/containers/{name}/top", Owner(One::Pass)),
    ("GET", "/containers/{name}/logs", Owner(One::Pass)),
    ("GET", "/containers/{name}/stats", Owner(One::Pass)),
    ("GET", "/containers/{name}/changes", Owner(One::Pass)),
    ("GET", "/containers/{name}/export", Owner(One::Pass)),
    ("GET HEAD PUT", "/containers/{name}/archive", Owner(One::Pass)),
    ("POST", "/containers/{name}/wait", Owner(One::Pass)),
    ("POST", "/containers/{name}/resize", Owner(One::Pass)),
    ("POST", "/containers/{name}/copy", Owner(One::Pass)),
    ("GET", "/containers/{name}/attach/ws", Hijacked(Streams::Attach)),
    ("POST", "/containers/{name}/attach", Hijacked(Streams::Attach)),
    ("POST", "/containers/{name}/start", Owner(One::Change)),
    ("POST", "/containers/{name}/stop", Owner(One::Change)),
    ("POST", "/containers/{name}/restart", Owner(One::Change)),
    ("POST", "/containers/{name}/kill", Owner(One::Change)),
    ("POST", "/containers/{name}/pause", Owner(One::Change)),
    ("POST", "/containers/{name}/unpause", Owner(One::Change)),
    ("POST", "/containers/{name}/update", Owner(One::Change)),
    ("POST", "/containers/{name}/rename", Owner(One::Rename)),
    ("POST", "/containers/{name}/exec", Owner(One::CreateExec)),
    ("GET", "/containers/{name}/checkpoints", Owner(One::Pass)),
    ("POST", "/containers/{name}/checkpoints", Owner(One::Change)),
    ("DELETE", "/containers/{name}/checkpoints/{id}", Owner(One::Pass)),
    ("DELETE", "/containers/{name}", Owner(One::Remove)),
    ("POST", "/commit", Owner(One::Commit)),
    ("POST", "/exec/{id}/start", Hijacked(Streams::ExecStart)),
    ("POST", "/exec/{id}/resize", Owner(One::Exec)),
    ("GET", "/exec/{id}/json", Owner(One::Exec)),
    //
    ("GET", "/images/json", View(Lists::Images)),
    ("GET", "/images/get", Owner(One::Images)),
    ("GET", "/images/search", AnyNode),
    ("POST", "/images/create", Everywhere(Many::Pull)),
    ("POST", "/images/load", Everywhere(Many::Load)),
    ("POST", "/images/prune", Everywhere(Many::Prune(Prune::Images))),
    ("GET", "/images/{name}/json", Owner(One::Image)),
    ("GET", "/images/{name}/history", Owner(One::Image)),
    ("GET", "/images/{name}/get", Owner(One::Image)),
    ("GET", "/images/{name}/attestations", Owner(One::Image)),
    ("POST", "/images/{name}/push", Owner(One::Image)),
    ("POST", "/images/{name}/tag", Everywhere(Many::Tag)),
    ("DELETE", "/images/{name}", Everywhere(Many::RemoveImage)),
    ("GET", "/distribution/{name}/json", AnyNode),
    ("POST", "/build", Placed(New::Image)),
    ("POST", "/build/cancel", Owner(One::CancelBuild)),
    ("POST", "/build/prune", Everywhere(Many::Prune(Prune::BuildCache))),
    ("POST", "/session", Hijacked(Streams::Build)),
    ("POST", "/grpc", Hijacked(Streams::Build)),
    //
    ("GET", "/networks", View(Lists::Networks)),
    ("GET", "/networks/", View(Lists::Networks)),
    ("POST", "/networks/create", Placed(New::Network)),
    ("POST", "/networks/prune", Everywhere(Many::Prune(Prune::Networks))),
    ("POST", "/networks/{name}/connect", Owner(One::Connect)),
    ("POST", "/networks/{name}/disconnect", Owner(One::Disconnect)),
    ("GET", "/networks/{name}", Merged(Several::Network)),
    ("DELETE", "/networks/{name}", Everywhere(Many::RemoveNetwork)),
    //
    ("GET", "/volumes", View(Lists::Volumes)),
    ("POST", "/volumes/create", Everywhere(Many::CreateVolume)),
    ("POST", "/volumes/prune", Everywhere(Many::Prune(Prune::Volumes))),
    ("GET", "/volumes/{name}", Owner(One::Volume)),
    ("PUT", "/volumes/{name}", Refused(Refusal::NotInCluster)),
    ("DELETE", "/volumes/{name}", Everywhere(Many::RemoveVolume)),
    //
    ("GET", "/plugins", Merged(Several::Plugins)),
    ("GET", "/plugins/privileges", Refused(Refusal::NotInCluster)),
    ("POST", "/plugins/pull", Refused(Refusal::NotInCluster)),
    ("POST", "/plugins/create", Refused(Refusal::NotInCluster)),
    ("GET", "/plugins/{name}/json", Owner(One::Plugin)),
    ("POST", "/plugins/{name}/enable", Refused(Refusal::NotInCluster)),
    ("POST", "/plugins/{name}/disable", Refused(Refusal::NotInCluster)),
    ("POST", "/plugins/{name}/push", Refused(Refusal::NotInCluster)),
    ("POST", "/plugins/{name}/upgrade", Refused(Refusal::NotInCluster)),
    ("POST", "/plugins/{name}/set", Refused(Refusal::NotInCluster)),
    ("DELETE", "/plugins/{name}", Refused(Refusal::NotInCluster)),
    //
    ("GET", "/swarm", Refused(Refusal::NoSwarmMode)),
    ("GET", "/swarm/unlockkey", Refused(Refusal::NoSwarmMode)),
    ("POST", "/swarm/init", Refused(Refusal::NotInCluster)),
    ("POST", "/swarm/join", Refused(Refusal::NotInCluster)),
    ("POST", "/swarm/leave", Refused(Refusal::NotInCluster)),
    ("POST", "/swarm/update", Refused(Refusal::NotInCluster)),
    ("POST", "/swarm/unlock", Refused(Refusal::NotInCluster)),
    ("GET", "/nodes", Refused(Refusal::NoSwarmMode)),
    ("GET DELETE", "/nodes/{id}", Refused(Refusal::NoSwarmMode)),
    ("POST", "/nodes/{id}/update", Refused(Refusal::NoSwarmMode)),
    ("GET", "/services", Refused(Refusal::NoSwarmMode)),
    ("POST", "/services/create", Refused(Refusal::NoSwarmMode)),
    ("GET DELETE", "/services/{id}", Refused(Refusal::NoSwarmMode)),
    ("POST", "/services/{id}/update", Refused(Refusal::NoSwarmMode)),
    ("GET", "/services/{id}/logs", Refused(Refusal::NoSwarmMode)),
    ("GET", "/tasks", Refused(Refusal::NoSwarmMode)),
    ("GET", "/tasks/{id}", Refused(Refusal::NoSwarmMode)),
    ("GET", "/tasks/{id}/logs", Refused(Refusal::NoSwarmMode)),
    ("GET", "/secrets", Refused(Refusal::NoSwarmMode)),
    ("POST", "/secrets/create", Refused(Refusal::NoSwarmMode)),
    ("GET DELETE", "/secrets/{id}", Refused(Refusal::NoSwarmMode)),
    ("POST", "/secrets/{id}/update", Refused(Refusal::NoSwarmMode)),
    ("GET", "/configs", Refused(Refusal::NoSwarmMode)),
    ("POST", "/configs/create", Refused(Refusal::NoSwarmMode)),
    ("GET DELETE", "/configs/{id}", Refused(Refusal::NoSwarmMode)),
    ("POST", "/configs/{id}/update", Refused(Refusal::NoSwarmMode)),
    // What Docker has no word for, see `swarmd/README.md`.
    ("GET", "/swarmd/v1/leader", Swarmd(Page::Leader)),
    ("GET", "/swarmd/v1/status", Swarmd(Page::Status)),
    ("GET", "/swarmd/v1/nodes", Swarmd(Page::Nodes)),
    ("GET", "/swarmd/v1/nodes/{node}", Swarmd(Page::Node)),
    ("DELETE", "/swarmd/v1/nodes/{node}", Swarmd(Page::NodeRemove)),
    ("POST", "/swarmd/v1/nodes/{node}/labels", Swarmd(Page::Labels)),
    ("POST", "/swarmd/v1/nodes/{node}/pause", Swarmd(Page::Pause)),
    ("POST", "/swarmd/v1/nodes/{node}/resume", Swarmd(Page::Resume)),
    ("POST", "/swarmd/v1/nodes/{node}/drain", Swarmd(Page::Drain)),
    ("POST", "/swarmd/v1/rebalance", Swarmd(Page::Rebalance)),
    ("GET", "/swarmd/v1/containers/{name}/explain", Swarmd(Page::Explain)),
    ("POST", "/swarmd/v1/plan", Swarmd(Page::Plan)),
    // The hosted token registry: it knows its methods itself.
    ("*", "/clusters", Here(Manager::Registry)),
    ("*", "/clusters/{id}", Here(Manager::Registry)),
    ("*", "/v1/clusters", Here(Manager::Registry)),
    ("*", "/v1/clusters/{id}", Here(Manager::Registry)),
];

/// A line of the table that fits a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
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
        LazyLock::new(|| TABLE.iter().map(|(_, pattern, _)| pattern.split('/').skip(1).collect()).collect());
    TABLE.iter().zip(PATTERNS.iter()).filter(|(line, _)| methods(line)).find_map(
        |((_, _, answer), pattern)| {
            let (name, action) = fit(pattern, path)?;
            Some(Route { answer: *answer, name, action: action.join("/") })
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
