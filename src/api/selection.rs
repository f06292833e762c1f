//! Which containers a list call means: the filters of `docker ps`, over the whole cluster.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::api::call::Query;
use crate::cluster::view::View;
use crate::cluster::{lookup, nets};
use crate::docker::filters::Filters;
use crate::engine::{Container, Node};
use crate::error::{Error, Kind, Result};

/// A container that is meant: where it stands in a view. Small, since there may be very many.
#[derive(Debug, Clone, Copy)]
pub struct Hit {
    created: i64,
    /// How the ID begins: sorting looks no further, but for a few.
    begin: u64,
    node: u32,
    container: u32,
}

impl Hit {
    /// The container with its node.
    pub fn find(self, view: &View) -> Option<(&Arc<Node>, &Arc<Container>)> {
        let (node, _) = view.ranked(self.node as usize)?;
        Some((node, node.inventory.containers.at(self.container as usize)?))
    }
}

/// The keys that engines know, and ours.
const KNOWN: [&str; 16] = [
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "node",
    "publish",
    "since",
    "status",
    "volume",
];
const STATES: [&str; 7] = ["created", "running", "paused", "restarting", "removing", "exited", "dead"];
/// Label of containers that are tasks of services.
const TASK: &str = "com.docker.swarm.task";
/// What an image is, as OCI has it.
const IMAGE_TITLE: &str = "org.opencontainers.image.title";
const HEALTH: [&str; 4] = ["none", "starting", "healthy", "unhealthy"];

/// A container's place in time: when it was made, and its ID for those made at once.
type Age = (i64, String);

/// Which containers a list call wants.
pub struct Selection {
    all: bool,
    limit: Option<usize>,
    filters: Filters,
    /// What `id` names.
    ids: HashSet<String>,
    task: Option<bool>,
    exited: Vec<i64>,
    before: Option<Age>,
    since: Option<Age>,
    /// Images that count as descendants of what `ancestor` names, by address of the node.
    descendants: HashMap<String, HashSet<String>>,
    /// IDs of the networks that `network` names.
    networks: HashSet<String>,
    published: Vec<Ports>,
    exposed: Vec<Ports>,
}

impl Selection {
    /// Reads a query. What engines refuse is refused.
    pub fn new(query: &Query, view: &View, filters: Filters) -> Result<Selection> {
        filters.known(&KNOWN)?;
        filters.one_of("status", "state", &STATES)?;
        filters.one_of("health", "health", &HEALTH)?;
        let mark = |name: Option<&str>| match name.filter(|n| !n.is_empty()) {
            Some(name) => lookup::container(view, name).map(|(_, c)| Some(age(&c))),
            None => Ok(None),
        };
        let first = |key: &str| filters.values(key).first().map(String::as_str);
        let limit = query.number("limit");
        let ports =
            |key: &str| filters.values(key).iter().map(|v| Ports::parse(key, v)).collect::<Result<_>>();
        Ok(Selection {
            before: mark(query.get("before").or(first("before")))?,
            since: mark(query.get("since").or(first("since")))?,
            // Asking for a state means asking for stopped ones, too.
            all: query.flag("all")
                || limit > 0
                || filters.has("status")
                || query.get("before").is_some()
                || query.get("since").is_some(),
            limit: usize::try_from(limit).ok().filter(|l| *l > 0),
            task: filters.truth("is-task")?,
            exited: filters.values("exited").iter().map(|v| exit_code(v)).collect::<Result<_>>()?,
            ids: filters.values("id").iter().filter_map(|id| by_prefix(view, id)).collect(),
            descendants: descendants(view, filters.values("ancestor")),
            networks: networks(view, filters.values("network")),
            published: ports("publish")?,
            exposed: ports("expose")?,
            filters,
        })
    }

    /// The containers, newest first.
    pub fn pick(&self, view: &View) -> Vec<Hit> {
        let newest = self.newest_enough(view);
        let names = Names::of(self.filters.values("name"));
        // Growing it would take twice as much for a moment, times the number of clients.
        let all = if self.wants_all() { view.nodes().map(|n| n.inventory.containers.len()).sum() } else { 0 };
        let mut hits = Vec::with_capacity(all);
        for at in 0..view.nodes().len() {
            let Some((node, _)) = view.ranked(at).filter(|(_, s)| s.newest >= newest) else { continue };
            if !names.may_be_on(node) {
                continue;
            }
            let all = node.inventory.containers.values().enumerate();
            let hit = |i, c: &Container| {
                let (created, begin) = (c.created, begin_of(&c.id));
                Hit { created, begin, node: at as u32, container: i as u32 }
            };
            hits.extend(all.filter(|(_, c)| self.wants(node, c)).map(|(i, c)| hit(i, c)));
        }
        let id = |hit: &Hit| hit.find(view).map(|(_, c)| c.id.as_str());
        let quick = |hit: &Hit| (Reverse(hit.created), hit.begin);
        hits.sort_unstable_by(|a, b| quick(a).cmp(&quick(b)).then_with(|| id(a).cmp(&id(b))));
        hits.truncate(self.limit.unwrap_or(usize::MAX));
        hits
    }

    fn wants_all(&self) -> bool {
        self.all && self.limit.is_none() && self.filters.is_empty()
    }

    /// How new the newest container of a node must be for any of its containers to be among those that are wanted.
    /// Only so many nodes can have one: as many as are wanted.
    fn newest_enough(&self, view: &View) -> i64 {
        let selects = self.filters.keys().next().is_some() || self.before.is_some() || self.since.is_some();
        let Some(limit) = self.limit.filter(|_| !selects) else { return i64::MIN };
        let mut newest: Vec<i64> =
            (0..view.nodes().len()).filter_map(|at| view.ranked(at)).map(|(_, s)| s.newest).collect();
        if newest.len() <= limit {
            return i64::MIN;
        }
        *newest.select_nth_unstable_by(limit - 1, |a, b| b.cmp(a)).1
    }

    fn wants(&self, node: &Node, c: &Container) -> bool {
        (self.all || is_in_sight(node, c))
            && self.before.as_ref().is_none_or(|mark| age(c) < *mark)
            && self.since.as_ref().is_none_or(|mark| age(c) > *mark)
            && self.passes(node, c)
    }

    /// Whether it passes what was asked for: nobody pays for filters that are not there.
    fn passes(&self, node: &Node, c: &Container) -> bool {
        self.filters.keys().all(|key| self.passes_one(key, node, c))
    }

    fn passes_one(&self, key: &str, node: &Node, c: &Container) -> bool {
        let f = &self.filters;
        match key {
            "id" => self.ids.contains(&c.id),
            "name" => self.named(node, c),
            "label" => f.labelled(key, |label| c.labels.get(label)),
            "status" => f.exact(key, c.life.word()),
            "node" => f.pattern(key, node.name()),
            "health" => f.exact(key, c.life.health_word()),
            "is-task" => self.task.is_none_or(|wanted| wanted == c.labels.contains_key(TASK)),
            "exited" => c.life.word() == "exited" && self.exited.contains(&c.life.exit_code),
            "volume" => f.values(key).iter().any(|wanted| mounts(node, c, wanted)),
            "network" => f.values(key).iter().any(|wanted| self.on_network(node, c, wanted)),
            "ancestor" => self.descendants.get(&node.addr).is_some_and(|d| d.contains(&*c.image_id)),
            "publish" | "expose" => self.on_ports(c),
            // `before` and `since` are marks in time; `isolation` means nothing here.
            _ => true,
        }
    }

    fn on_network(&self, node: &Node, c: &Container, wanted: &str) -> bool {
        let bare = bare(node, wanted);
        let hit = |(name, id): &(String, String)| {
            name == bare || self.networks.contains(id) || (wanted.len() >= 3 && id.starts_with(wanted))
        };
        c.networks.iter().any(hit)
    }

    /// Published or exposed: with both filters one of them is enough.
    fn on_ports(&self, c: &Container) -> bool {
        c.ports.iter().any(|p| {
            self.published.iter().any(|wanted| wanted.has(p.public_port, &p.r#type))
                || self.exposed.iter().any(|wanted| wanted.has(p.private_port, &p.r#type))
        })
    }

    /// Names match without their node, and also with it: `pi1/web`.
    fn named(&self, node: &Node, c: &Container) -> bool {
        let hit = |n: &str| self.filters.pattern("name", n) || self.filters.pattern("name", &format!("/{n}"));
        let prefixed = |n: &str| {
            let full = format!("{}/{n}", node.name());
            self.filters.values("name").iter().any(|v| v.strip_prefix('/').unwrap_or(v) == full)
        };
        c.names.iter().map(|n| n.trim_start_matches('/')).any(|n| prefixed(n) || hit(n))
    }
}

/// What names must contain that a list asks for, if that is plain: a node without it in any name is passed over.
struct Names<'a>(Option<Vec<&'a str>>);

impl<'a> Names<'a> {
    fn of(patterns: &'a [String]) -> Names<'a> {
        let plain = |pattern: &'a String| {
            let part = pattern.trim_start_matches('^').trim_end_matches('$').rsplit('/').next()?;
            let is_plain = part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
            (is_plain && !part.is_empty()).then_some(part)
        };
        match patterns.is_empty() {
            true => Names(None),
            false => Names(patterns.iter().map(plain).collect()),
        }
    }

    fn may_be_on(&self, node: &Node) -> bool {
        self.0.as_ref().is_none_or(|parts| parts.iter().any(|part| node.inventory.names.contains(part)))
    }
}

/// Whether a list shows it that asks for nothing. The manager's and agents' own containers stay out of sight, as ever. Ours
/// tell by a label of their image, whatever it is called.
fn is_in_sight(node: &Node, c: &Container) -> bool {
    let is_running = matches!(c.life.word(), "running" | "paused" | "restarting");
    let is_own = || {
        c.image.split(':').next() == Some("swarm")
            || c.labels.get(IMAGE_TITLE).is_some_and(|title| title == "swarmd")
    };
    is_running && node.is_healthy() && !is_own()
}

fn age(c: &Container) -> Age {
    (c.created, c.id.clone())
}

/// The beginning of a text, as a number of the same order.
fn begin_of(text: &str) -> u64 {
    let mut begin = [0; 8];
    text.bytes().zip(&mut begin).for_each(|(byte, to)| *to = byte);
    u64::from_be_bytes(begin)
}

fn mounts(node: &Node, c: &Container, wanted: &str) -> bool {
    let name = bare(node, wanted);
    c.mounts.iter().any(|m| m.name == name || m.destination == wanted || m.source == wanted)
}

/// A name without the node it stands on: `pi1/data` on `pi1` is `data`.
fn bare<'a>(node: &Node, name: &'a str) -> &'a str {
    name.strip_prefix(node.name()).and_then(|rest| rest.strip_prefix('/')).unwrap_or(name)
}

/// The one container whose ID begins so. As with engines, a prefix of several IDs names none.
fn by_prefix(view: &View, prefix: &str) -> Option<String> {
    let mut hits = lookup::by_prefix(view, prefix).into_iter();
    let (_, first) = hits.next()?;
    hits.next().is_none().then(|| first.id.clone())
}

fn exit_code(text: &str) -> Result<i64> {
    let why = || format!("invalid filter 'exited={text}': strconv.Atoi: parsing {text:?}: invalid syntax");
    text.parse().map_err(|_| Error::client(Kind::Invalid, why()))
}

/// On each node what an image's name means there, and all images made from that.
fn descendants(view: &View, ancestors: &[String]) -> HashMap<String, HashSet<String>> {
    let on = |node: &Node| {
        let named = ancestors.iter().filter_map(|name| node.inventory.image(name));
        let mut family: HashSet<String> = named.map(|i| i.fields.id.clone()).collect();
        let mut before = 0;
        while before < family.len() {
            before = family.len();
            let children = node.inventory.images.iter().filter(|i| family.contains(&i.fields.parent_id));
            let children: Vec<_> = children.map(|i| i.fields.id.clone()).collect();
            family.extend(children);
        }
        family
    };
    match ancestors.is_empty() {
        true => HashMap::new(),
        false => view.validated().map(|n| (n.addr.clone(), on(n))).collect(),
    }
}

fn networks(view: &View, wanted: &[String]) -> HashSet<String> {
    wanted.iter().filter_map(|name| nets::find(view, name).ok()).map(|group| group.id).collect()
}

/// `80`, `80/udp`, `8000-8080/tcp`.
struct Ports {
    low: u16,
    high: u16,
    protocol: String,
}

impl Ports {
    fn parse(key: &str, text: &str) -> Result<Ports> {
        let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let (low, high) = range.split_once('-').unwrap_or((range, range));
        match (low.parse(), high.parse()) {
            (Ok(low), Ok(high)) if low <= high => Ok(Ports { low, high, protocol: protocol.to_lowercase() }),
            _ => {
                let why = format!("strconv.ParseUint: parsing {range:?}: invalid syntax");
                Err(Error::client(
                    Kind::Status(500),
                    format!("error while looking up for {key} {text}: {why}"),
                ))
            }
        }
    }

    fn has(&self, port: u16, protocol: &str) -> bool {
        port != 0 && protocol == self.protocol && (self.low..=self.high).contains(&port)
    }
}

#[cfg(test)]
#[path = "selection_tests.rs"]
mod tests;
