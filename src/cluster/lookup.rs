//! Finds what a user means: containers, networks and volumes by ID, short ID, name, `NODE/name` or prefix.

use std::sync::Arc;

use crate::cluster::directory::{Of, SHORT, beginning, key};
use crate::cluster::view::View;
use crate::engine::inventory::{Network, Volume};
use crate::engine::{Container, Node};
use crate::error::{Error, Kind, Result};

/// A container and the node that holds it.
pub type Found = (Arc<Node>, Arc<Container>);

/// The container that `query` means. The first rule that hits decides: full or short ID; swarm ID, full or
/// short; name or `NODE/name`; unique prefix of either ID. An ambiguous name lists its candidates.
pub fn container(view: &View, query: &str) -> Result<Found> {
    let found = |hit: (&Arc<Node>, &Arc<Container>)| (Arc::clone(hit.0), Arc::clone(hit.1));
    if query.is_empty() {
        return Err(no_container(query));
    }
    let ids = by_prefix(view, query);
    let exact = |c: &Container| c.id == query || (query.len() == SHORT && c.id.starts_with(query));
    if let Some(hit) = ids.iter().find(|(_, c)| exact(c)) {
        return Ok(found(*hit));
    }
    let swarm = by_swarm_id(view, query);
    let exact = |s: &str| s == query || query.len() == SHORT;
    if let Some(hit) = swarm.iter().find(|(_, c)| c.swarm_id().is_some_and(exact)) {
        return Ok(found(*hit));
    }
    let named = by_name(view, query);
    let hits = if named.is_empty() { distinct(ids.into_iter().chain(swarm)) } else { named };
    match hits.as_slice() {
        [] => Err(no_container(query)),
        [hit] => Ok(found(*hit)),
        many => {
            Err(ambiguous("container", query, many.iter().map(|(n, c)| format!("{}/{}", n.name(), c.name()))))
        }
    }
}

/// The nodes that may have a container whose ID begins so.
fn nodes_beginning<'a>(view: &'a View, query: &str) -> Vec<&'a Arc<Node>> {
    match beginning(query) {
        Some(key) => view.with_key(key).collect(),
        None => view.nodes().collect(),
    }
}

/// The containers of validated nodes whose IDs begin so.
pub fn by_prefix<'a>(view: &'a View, query: &'a str) -> Vec<(&'a Arc<Node>, &'a Arc<Container>)> {
    let nodes = nodes_beginning(view, query).into_iter().filter(|n| n.specs.is_some());
    nodes.flat_map(|node| node.inventory.containers.starting(query).map(move |c| (node, c))).collect()
}

/// The container with exactly this ID, on a validated node.
pub fn by_full_id<'a>(view: &'a View, id: &str) -> Option<&'a Arc<Container>> {
    let nodes = nodes_beginning(view, id).into_iter().filter(|n| n.specs.is_some());
    nodes.filter_map(|node| node.inventory.containers.get(id)).next()
}

fn by_swarm_id<'a>(view: &'a View, query: &str) -> Vec<(&'a Arc<Node>, &'a Arc<Container>)> {
    let nodes = nodes_beginning(view, query);
    let all = nodes.into_iter().flat_map(|node| node.inventory.containers.values().map(move |c| (node, c)));
    all.filter(|(_, c)| c.swarm_id().is_some_and(|s| s.starts_with(query))).collect()
}

/// The container with exactly this name, on whichever node.
pub fn holder_of_name<'a>(view: &'a View, name: &str) -> impl Iterator<Item = &'a Arc<Container>> {
    let nodes = view.with_key(key(Of::Name, name)).filter(|n| n.specs.is_some());
    nodes.filter_map(move |n| n.inventory.containers.named(name))
}

fn by_name<'a>(view: &'a View, query: &'a str) -> Vec<(&'a Arc<Node>, &'a Arc<Container>)> {
    let bare = query.strip_prefix('/').unwrap_or(query);
    let anywhere = view.with_key(key(Of::Name, bare)).filter(|n| n.specs.is_some());
    let mut hits: Vec<_> =
        anywhere.filter_map(|n| n.inventory.containers.named(bare).map(|c| (n, c))).collect();
    if let Some((node, own)) = bare.split_once('/') {
        let on_it = view.named(node).filter_map(|n| n.inventory.containers.named(own).map(|c| (n, c)));
        hits.extend(on_it);
    }
    distinct(hits)
}

fn distinct<'a>(
    hits: impl IntoIterator<Item = (&'a Arc<Node>, &'a Arc<Container>)>,
) -> Vec<(&'a Arc<Node>, &'a Arc<Container>)> {
    let mut seen: Vec<(&Arc<Node>, &Arc<Container>)> = Vec::new();
    for hit in hits {
        if !seen.iter().any(|(n, c)| n.addr == hit.0.addr && c.id == hit.1.id) {
            seen.push(hit);
        }
    }
    seen
}

/// What the owner is asked for: the user's own words where they mean the same there, since engines repeat them
/// in their answers; else the full ID.
pub fn spoken<'a>((node, container): &'a Found, query: &'a str) -> &'a str {
    let bare = query.strip_prefix('/').unwrap_or(query);
    let name = container.name();
    let named = bare == name || bare.strip_suffix(name).is_some_and(|rest| rest.ends_with('/'));
    let taken = || node.inventory.containers.named(query).is_some();
    match (named, container.id.starts_with(query)) {
        (true, _) if !name.is_empty() => name,
        (_, true) if !taken() => query,
        _ => &container.id,
    }
}

/// Splits `NODE/rest` if NODE is the name or ID of a known node.
pub fn node_prefix<'a>(view: &'a View, query: &'a str) -> Option<(&'a Arc<Node>, &'a str)> {
    let (node, rest) = query.strip_prefix('/').unwrap_or(query).split_once('/')?;
    view.named(node).next().map(|n| (n, rest))
}

/// A network on one node.
pub type FoundNetwork<'a> = (&'a Arc<Node>, &'a Network);

/// The networks that `query` means: by ID, name or `NODE/name`, then by unique ID prefix. Several hits are
/// several nodes' networks of one name; what they are to each other is decided by the caller.
pub fn networks<'a>(view: &'a View, query: &str) -> Vec<FoundNetwork<'a>> {
    let all = || view.validated().flat_map(|n| n.inventory.networks.iter().map(move |net| (n, net)));
    let query = query.strip_prefix('/').unwrap_or(query);
    let by_id = |id: &str| id == query || (query.len() == SHORT && id.starts_with(query));
    let hits: Vec<_> = all().filter(|(_, net)| by_id(&net.fields.id)).collect();
    if !hits.is_empty() {
        return hits;
    }
    let named = |n: &Node, name: &str| name == query || prefixed(n, name, query);
    let hits: Vec<_> = all().filter(|(n, net)| named(n, &net.fields.name)).collect();
    if !hits.is_empty() || query.is_empty() {
        return hits;
    }
    let hits: Vec<_> = all().filter(|(_, net)| net.fields.id.starts_with(query)).collect();
    let unique = hits.iter().all(|(_, net)| net.fields.id == hits[0].1.fields.id);
    if unique { hits } else { Vec::new() }
}

/// The volumes that `query` means: by name or `NODE/name`.
pub fn volumes<'a>(view: &'a View, query: &str) -> Vec<(&'a Arc<Node>, &'a Volume)> {
    let query = query.strip_prefix('/').unwrap_or(query);
    let named = |n: &Node, name: &str| name == query || prefixed(n, name, query);
    let all = view.validated().flat_map(|n| n.inventory.volumes.iter().map(move |v| (n, v)));
    all.filter(|(n, v)| named(n, &v.fields.name)).collect()
}

/// Whether `query` is `NODE/name` for this node.
fn prefixed(node: &Node, name: &str, query: &str) -> bool {
    let rest = query.strip_prefix(node.name()).or_else(|| query.strip_prefix(node.id()));
    !node.name().is_empty() && rest.and_then(|r| r.strip_prefix('/')) == Some(name)
}

/// The error for a container that is not there.
pub fn no_container(query: &str) -> Error {
    Error::client(Kind::NotFound, format!("No such container: {query}"))
}

/// The error for a name that means several things.
pub fn ambiguous(what: &str, query: &str, candidates: impl Iterator<Item = String>) -> Error {
    let list = candidates.collect::<Vec<_>>().join(", ");
    Error::client(Kind::NotFound, format!("No such {what}: {query} is ambiguous: {list}"))
        .advise("say which with NODE/name, or use the full ID")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::view::tests::node;

    fn view() -> View {
        View::of([
            Arc::new(node(
                "a:1",
                "pi1",
                &[
                    r#"{"Id":"aaaaaaaaaaaa1111","Names":["/web"],"Labels":{"com.docker.swarm.id":"feed00000000"}}"#,
                    r#"{"Id":"abcd","Names":["/same"]}"#,
                ],
            )),
            Arc::new(node(
                "b:1",
                "pi2",
                &[
                    r#"{"Id":"bbbb","Names":["/same","/web2/alias"]}"#,
                    r#"{"Id":"abff","Names":["/aaaaaaaaaaaa"]}"#,
                ],
            )),
        ])
    }

    fn find(query: &str) -> Result<String> {
        container(&view(), query).map(|(_, c)| c.id.clone())
    }

    #[test]
    fn ids_names_and_prefixes() {
        for (query, id) in [
            ("aaaaaaaaaaaa1111", "aaaaaaaaaaaa1111"),
            ("aaaaaaaaaaaa", "aaaaaaaaaaaa1111"), // a short ID beats a name
            ("feed00000000", "aaaaaaaaaaaa1111"),
            ("web", "aaaaaaaaaaaa1111"),
            ("/web", "aaaaaaaaaaaa1111"),
            ("pi1/web", "aaaaaaaaaaaa1111"),
            ("/pi1/web", "aaaaaaaaaaaa1111"),
            ("ID-a:1/web", "aaaaaaaaaaaa1111"),
            ("pi2/same", "bbbb"),
            ("web2/alias", "bbbb"),
            ("b", "bbbb"),
            ("aa", "aaaaaaaaaaaa1111"),
            ("fe", "aaaaaaaaaaaa1111"),
        ] {
            assert_eq!(find(query).as_deref(), Ok(id), "{query}");
        }
    }

    #[test]
    fn owners_are_asked_in_the_users_words() {
        for (query, asked) in [
            ("web", "web"),
            ("/web", "web"),
            ("pi1/web", "web"),
            ("ID-a:1/web", "web"),
            ("aa", "aa"),
            ("aaaaaaaaaaaa1111", "aaaaaaaaaaaa1111"),
            ("feed00000000", "aaaaaaaaaaaa1111"),
            ("web2/alias", "bbbb"),
            ("abff", "abff"),
        ] {
            let found = container(&view(), query).unwrap();
            assert_eq!(spoken(&found, query), asked, "{query}");
        }
    }

    #[test]
    fn nothing_or_too_much_is_not_found() {
        for query in ["", "nope", "pi2/web", "ab", "a"] {
            assert_eq!(find(query).unwrap_err().kind, Kind::NotFound, "{query}");
        }
        let text = find("same").unwrap_err().message;
        assert!(text.contains("pi1/same, pi2/same"), "{text}");
    }
}
