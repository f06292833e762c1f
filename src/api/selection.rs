//! Which containers a list call means: the filters of `docker ps`, over the whole cluster.

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
        filters.truth("is-task")?;
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
        let mut hits = Vec::new();
        for at in 0..view.nodes().len() {
            let Some((node, _)) = view.ranked(at).filter(|(_, s)| s.newest >= newest) else { continue };
            if !names.may_be_on(node) {
                continue;
            }
            let all = node.inventory.containers.values().enumerate();
            hits.extend(all.filter(|(_, c)| self.wants(node, c)).map(|(i, c)| Hit {
                created: c.created,
                node: at as u32,
                container: i as u32,
            }));
        }
        let id = |hit: &Hit| hit.find(view).map(|(_, c)| c.id.as_str());
        hits.sort_unstable_by(|a, b| b.created.cmp(&a.created).then_with(|| id(a).cmp(&id(b))));
        hits.truncate(self.limit.unwrap_or(usize::MAX));
        hits
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
        let running = matches!(c.life.word(), "running" | "paused" | "restarting");
        // The manager's and agents' own containers stay out of sight unless asked for, as ever. Ours tell by a
        // label of their image, whatever it is called.
        let own = c.image.split(':').next() == Some("swarm")
            || c.labels.get(IMAGE_TITLE).is_some_and(|title| title == "swarmd");
        (self.all || (running && node.is_healthy() && !own))
            && self.before.as_ref().is_none_or(|mark| age(c) < *mark)
            && self.since.as_ref().is_none_or(|mark| age(c) > *mark)
            && self.passes(node, c)
    }

    fn passes(&self, node: &Node, c: &Container) -> bool {
        let f = &self.filters;
        let task = if c.labels.contains_key("com.docker.swarm.task") { "true" } else { "false" };
        let is_task = f.truth("is-task").ok().flatten().is_none_or(|wanted| wanted == (task == "true"));
        (!f.has("id") || self.ids.contains(&c.id))
            && self.named(node, c)
            && f.labelled("label", |key| c.labels.get(key))
            && f.exact("status", c.life.word())
            && f.pattern("node", node.name())
            && f.exact("health", c.life.health_word())
            && is_task
            && (self.exited.is_empty()
                || (c.life.word() == "exited" && self.exited.contains(&c.life.exit_code)))
            && any(f, "volume", |v| {
                let bare = bare(node, v);
                c.mounts.iter().any(|m| m.name == bare || m.destination == v || m.source == v)
            })
            && any(f, "network", |n| self.on_network(node, c, n))
            && (!f.has("ancestor")
                || self.descendants.get(&node.addr).is_some_and(|d| d.contains(&c.image_id)))
            && self.on_ports(c)
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
        if self.published.is_empty() && self.exposed.is_empty() {
            return true;
        }
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

fn age(c: &Container) -> Age {
    (c.created, c.id.clone())
}

fn any(filters: &Filters, key: &str, hit: impl Fn(&str) -> bool) -> bool {
    !filters.has(key) || filters.values(key).iter().any(|v| hit(v))
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
mod tests {
    use super::*;
    use crate::cluster::view::tests::node;
    use crate::docker::json::Object;
    use crate::engine::Inventory;
    use crate::engine::inventory::Image;

    fn view() -> View {
        let mut pi1 = node(
            "a:1",
            "pi1",
            &[
                r#"{"Id":"aaa1","Names":["/web"],"ImageID":"sha256:c0","Created":3,"State":"running",
                    "Ports":[{"PrivatePort":80,"PublicPort":8080,"Type":"tcp"}],
                    "Mounts":[{"Name":"data","Destination":"/data"}],
                    "NetworkSettings":{"Networks":{"app":{"NetworkID":"nnn1"}}}}"#,
                r#"{"Id":"aaa2","Names":["/job"],"ImageID":"sha256:b0","Created":1,"Labels":{"a":"b"}}"#,
            ],
        );
        let image = |id: &str, parent: &str, tag: &str| {
            let text = format!(r#"{{"Id":"sha256:{id}","ParentId":"{parent}","RepoTags":["{tag}"]}}"#);
            Image {
                fields: serde_json::from_str(&text).unwrap(),
                entry: Object::parse(text.as_bytes()).unwrap(),
            }
        };
        let mut inventory = Inventory::clone(&pi1.inventory);
        inventory.images = [image("b0", "", "base:latest"), image("c0", "sha256:b0", "app:1")].into();
        pi1.inventory = Arc::new(inventory);
        let pi2 = node("b:1", "pi2", &[r#"{"Id":"bbb1","Names":["/db"],"Created":2}"#]);
        View::of([Arc::new(pi1), Arc::new(pi2)])
    }

    fn picked(query: &str, filters: &str) -> Vec<String> {
        let view = view();
        let selection =
            Selection::new(&Query::parse(query), &view, Filters::parse(Some(filters)).unwrap()).unwrap();
        let hits = selection.pick(&view);
        hits.iter().filter_map(|h| h.find(&view)).map(|(_, c)| c.name().to_string()).collect()
    }

    #[test]
    fn filters_select() {
        for (filters, names) in [
            ("{}", &["web", "db", "job"][..]),
            (r#"{"ancestor":["base"]}"#, &["web", "job"]),
            (r#"{"ancestor":["app:1"]}"#, &["web"]),
            (r#"{"ancestor":["nothing"]}"#, &[]),
            (r#"{"before":["web"]}"#, &["db", "job"]),
            (r#"{"since":["job"]}"#, &["web", "db"]),
            (r#"{"publish":["8080"]}"#, &["web"]),
            (r#"{"publish":["80"]}"#, &[]),
            (r#"{"expose":["70-90/tcp"]}"#, &["web"]),
            (r#"{"publish":["1"],"expose":["80"]}"#, &["web"]),
            (r#"{"volume":["pi1/data"]}"#, &["web"]),
            (r#"{"volume":["/data"]}"#, &["web"]),
            (r#"{"network":["app"]}"#, &["web"]),
            (r#"{"network":["nnn"]}"#, &["web"]),
            (r#"{"node":["pi2"]}"#, &["db"]),
            (r#"{"id":["bb"]}"#, &["db"]),
            (r#"{"id":["aaa"]}"#, &[]),
            (r#"{"id":["aaa1","aaa2"]}"#, &["web", "job"]),
            (r#"{"label":["a=b"]}"#, &["job"]),
            (r#"{"name":["pi2/db"]}"#, &["db"]),
            (r#"{"is-task":["1"]}"#, &[]),
            (r#"{"isolation":["hyperv"],"health":["none"]}"#, &["web", "db", "job"]),
        ] {
            assert_eq!(picked("all=1", filters), names, "{filters}");
        }
        assert_eq!(picked("limit=2", "{}"), ["web", "db"]);
        assert_eq!(picked("all=1&before=db", "{}"), ["job"]);
    }

    #[test]
    fn what_engines_refuse_is_refused() {
        for filters in [
            r#"{"nope":["x"]}"#,
            r#"{"status":["x"]}"#,
            r#"{"health":["x"]}"#,
            r#"{"exited":["x"]}"#,
            r#"{"is-task":["x"]}"#,
            r#"{"publish":["x"]}"#,
            r#"{"before":["nothing"]}"#,
        ] {
            let filters = Filters::parse(Some(filters)).unwrap();
            assert!(Selection::new(&Query::default(), &view(), filters.clone()).is_err(), "{filters:?}");
        }
    }
}
