//! One container as the manager knows it: what look-ups, filters and the scheduler read, and the list entry
//! ready to be sent.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::docker::form::Form;
use crate::docker::json::Object;
use crate::docker::tags::Tags;
use crate::docker::types::{HostConfig, Inspected, Labels, ListedContainer, Mount, Port};
use crate::engine::status::Life;

/// Label with the cluster-wide ID of a container: the same for a replacement after a node failure.
pub const SWARM_ID: &str = "com.docker.swarm.id";

/// Label with the engine's ID of the container whose place this one took.
pub const REPLACES: &str = "com.docker.swarm.replaces";

/// Label with the policies of rescheduling, as a JSON array.
pub const RESCHEDULE: &str = "com.docker.swarm.reschedule-policies";

/// A container. Immutable: every change makes a new one.
#[derive(Debug, Clone, Default)]
pub struct Container {
    /// Full ID. Empty while the container is only reserved.
    pub id: String,
    /// Names with their leading `/`; further ones are link aliases (`/other/alias`).
    pub names: Vec<String>,
    /// The image as given at creation.
    pub image: Arc<str>,
    /// ID of the image.
    pub image_id: Arc<str>,
    /// Creation time in nanoseconds since the epoch, by the engine's clock.
    pub created: i64,
    /// Labels.
    pub labels: Tags,
    /// Published and exposed ports as the engine reports them.
    pub ports: Arc<[Port]>,
    /// Mount points.
    pub mounts: Arc<[Mount]>,
    /// Attached networks: name and ID.
    pub networks: Arc<[(String, String)]>,
    /// Running or not, since when, how it ended.
    pub life: Life,
    /// What it asked of its host.
    pub host: Arc<HostConfig>,
    /// Exposed ports (`80/tcp`).
    pub exposed: Arc<[String]>,
    /// The list entry of the engine, split for quick sending.
    pub entry: Entry,
    /// The whole inspect answer, of those that are to move when their node fails.
    pub whole: Option<Arc<Object>>,
    /// Something happened since its list entry was read: ports, mounts and networks may be others by now. Who must know
    /// has them read first (`Cluster::entries_known`).
    pub stale: bool,
    /// Its inspect answer was not read yet: what it asks of its host is not known, and times only roughly.
    pub rough: bool,
    /// The same, and it could not be read either: it counts with what its list entry says.
    pub guessed: bool,
}

/// A list entry but for its one field that changes by itself: the `Status` text.
#[derive(Debug, Clone, Default)]
pub struct Entry(pub(super) Form);

/// What a list entry needs to know of its node.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// Put before names as `/NODE/name`; `None` leaves names bare.
    pub prefix: Option<String>,
    /// Takes the place of `0.0.0.0` and `::` in ports; `None` leaves them.
    pub ip: Option<IpAddr>,
    /// The engine's clock, in nanoseconds since the epoch.
    pub now: i64,
    /// The node's copies of networks: their IDs, with the IDs that users know them by.
    pub copies: Arc<HashMap<String, String>>,
}

impl Place {
    /// The ID that users know a network by.
    pub fn known_network<'a>(&'a self, id: &'a str) -> &'a str {
        self.copies.get(id).map_or(id, String::as_str)
    }
}

impl Container {
    /// Builds a container from its list entry and its inspect answer.
    pub fn build(listed: &Object, inspected: &Inspected, place: &Place) -> Option<Container> {
        let fields: ListedContainer = serde_json::from_str(&listed.to_json()).ok()?;
        Some(Container::of(fields, listed, inspected, place))
    }

    fn of(fields: ListedContainer, listed: &Object, inspected: &Inspected, place: &Place) -> Container {
        let created = crate::clock::parse_rfc3339_nanos(&inspected.created);
        let networks = fields.network_settings.networks.iter();
        Container {
            entry: Entry::build(listed, place),
            id: fields.id,
            names: fields.names,
            image: fields.image.into(),
            image_id: fields.image_id.into(),
            created: created.unwrap_or(fields.created.saturating_mul(1_000_000_000)),
            labels: fields.labels.into(),
            ports: fields.ports.into(),
            mounts: fields.mounts.into(),
            networks: networks
                .map(|(n, a)| (n.clone(), place.known_network(&a.network_id).to_string()))
                .collect(),
            life: Life::read(&inspected.state),
            host: Arc::new(inspected.host_config.clone()),
            exposed: inspected.config.exposed_ports.keys().cloned().collect(),
            whole: inspected.whole.clone(),
            stale: false,
            rough: false,
            guessed: false,
        }
    }

    /// Builds a container from its list entry alone.
    pub fn sketch(listed: &Object, place: &Place) -> Option<Container> {
        let fields: ListedContainer = serde_json::from_str(&listed.to_json()).ok()?;
        let life = Life::guess(&fields.state, &fields.status, place.now);
        let container = Container::of(fields, listed, &Inspected::default(), place);
        Some(Container { life, rough: true, ..container })
    }

    /// A list tells seconds, and has the newest first: the same container, newer than so many others of its second.
    #[must_use]
    pub fn newer_than(self, others: usize) -> Container {
        Container { created: self.created + others.min(999_999_999) as i64, ..self }
    }

    /// Whether a list would say the same of it as of what it was before: see `compare`.
    pub fn is_listed_like(&self, before: &Container) -> bool {
        let same_life = self.life.word() == before.life.word() && self.stale == before.stale;
        same_life && self.names == before.names && self.ports == before.ports && self.image == before.image
    }

    /// The same container with a newer list entry.
    #[must_use]
    pub fn relisted(&self, listed: &Object, place: &Place) -> Container {
        let Some(listed) = Container::sketch(listed, place) else { return self.clone() };
        let same = self.life.word() == listed.life.word();
        // What events and the inspect answer told is more exact, as long as it is the same stretch of life.
        let life = match same {
            true => Life { health: listed.life.health.clone(), ..self.life.clone() },
            false => listed.life,
        };
        Container {
            life,
            created: if self.created == 0 || self.rough { listed.created } else { self.created },
            host: Arc::clone(&self.host),
            exposed: Arc::clone(&self.exposed),
            whole: self.whole.clone(),
            stale: false,
            rough: self.rough || !same,
            guessed: self.guessed,
            ..listed
        }
    }

    /// The same when its engine is read again. After a blink its inspect answer need not be, if it lives on as before.
    #[must_use]
    pub fn found_again(&self, listed: &Object, place: &Place, blink: bool) -> Container {
        let relisted = self.relisted(listed, place);
        let lives_on = listed.get::<String>("Status") == Some(self.life.text(place.now));
        Container { rough: relisted.rough || self.guessed || !(blink && lives_on), ..relisted }
    }

    /// The same container with a newer inspect answer.
    #[must_use]
    pub fn inspected(&self, inspected: &Inspected) -> Container {
        let created = crate::clock::parse_rfc3339_nanos(&inspected.created);
        Container {
            created: created.unwrap_or(self.created),
            life: Life::read(&inspected.state),
            host: Arc::new(inspected.host_config.clone()),
            exposed: inspected.config.exposed_ports.keys().cloned().collect(),
            whole: inspected.whole.clone(),
            rough: false,
            guessed: false,
            ..self.clone()
        }
    }

    /// The same container with a list entry made from what is known of it, if it has none: it was made a moment ago,
    /// and its engine was not asked since.
    #[must_use]
    pub fn with_entry(self, place: &Place) -> Container {
        if !self.entry.is_empty() {
            return self;
        }
        let entry = serde_json::json!({
            "Id": self.id, "Names": self.names, "Image": *self.image, "ImageID": *self.image_id, "Command": "",
            "Created": self.created / 1_000_000_000, "Ports": [], "Labels": self.labels.to_labels(),
            "State": self.life.word(), "Status": "", "HostConfig": { "NetworkMode": self.host.network_mode },
            "NetworkSettings": { "Networks": {} }, "Mounts": [],
        });
        let entry = Object::parse(entry.to_string().as_bytes()).unwrap_or_default();
        Container { entry: Entry::build(&entry, place), ..self }
    }

    /// The name that people use: the one without a further `/`, without its leading one.
    pub fn name(&self) -> &str {
        let bare = |n: &'_ String| !n.trim_start_matches('/').contains('/');
        let name = self.names.iter().find(|n| bare(n)).or(self.names.first());
        name.map_or("", |n| n.trim_start_matches('/'))
    }

    /// The cluster-wide ID, if this container has one.
    pub fn swarm_id(&self) -> Option<&str> {
        self.labels.get(SWARM_ID).filter(|id| !id.is_empty())
    }
}

/// Whether labels say that their container is to move when its node fails.
pub fn moves_on_failure(labels: &Labels) -> bool {
    let policies = labels.get(RESCHEDULE).and_then(|text| serde_json::from_str::<Vec<String>>(text).ok());
    policies.is_some_and(|all| all.iter().any(|policy| policy == "on-node-failure"))
}

impl Entry {
    fn build(listed: &Object, place: &Place) -> Entry {
        let mut entry = listed.clone();
        put_in_place(&mut entry, place);
        Entry(Form::of(&entry, &["Status"]))
    }

    /// Whether there is none yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// See [`Form::reach`].
    pub fn reach(&self) {
        self.0.reach();
    }

    /// Appends the entry with this status to a list under construction.
    pub fn write(&self, status: &str, out: &mut Vec<u8>) {
        self.0.write(&[status], out);
    }
}

/// Puts a list entry's node into it.
pub fn put_in_place(entry: &mut Object, place: &Place) {
    if let Some(node) = &place.prefix {
        let names = entry.get::<Vec<String>>("Names").unwrap_or_default();
        entry.set("Names", &names.iter().map(|n| format!("/{node}{n}")).collect::<Vec<_>>());
    }
    if let Some(ip) = place.ip {
        patch_ports(entry, ip);
    }
    patch_networks(entry, &place.copies);
}

/// Users reach a published port at its node, so "all interfaces" becomes the node's address.
fn patch_ports(entry: &mut Object, ip: IpAddr) {
    let Some(mut ports) = entry.get::<Vec<Object>>("Ports") else {
        return;
    };
    at_node(&mut ports, "IP", ip);
    entry.set("Ports", &ports);
}

/// Puts a node's address in the place of "all interfaces". What IPv4 and IPv6 have alike is one then.
pub fn at_node(ports: &mut Vec<Object>, key: &str, ip: IpAddr) {
    let mut seen = HashSet::new();
    for port in ports.iter_mut() {
        let all =
            |text: &String| text.is_empty() || text.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified());
        if port.get::<String>(key).as_ref().is_some_and(all) {
            port.set(key, &ip.to_string());
        }
    }
    ports.retain(|port| seen.insert(port.to_json()));
}

/// A network has one ID in the whole cluster: clients compare it with what they created (compose would make
/// containers anew). `object` is a list entry or an inspect answer.
pub fn patch_networks(object: &mut Object, copies: &HashMap<String, String>) {
    if copies.is_empty() {
        return;
    }
    let mut settings = object.object("NetworkSettings");
    let mut networks = settings.object("Networks");
    let names: Vec<String> = networks.keys().map(str::to_string).collect();
    for name in names {
        let mut network = networks.object(&name);
        if let Some(known) = network.get::<String>("NetworkID").and_then(|id| copies.get(&id)) {
            network.set("NetworkID", known);
            networks.set(&name, &network);
        }
    }
    settings.set("Networks", &networks);
    object.set("NetworkSettings", &settings);
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &str = r#"{"Id":"c1","Names":["/web"],"Image":"busybox","Status":"Up 1 second","New":[1.0],
        "Ports":[{"IP":"0.0.0.0","PrivatePort":80,"PublicPort":8080,"Type":"tcp"}],"State":"running",
        "NetworkSettings":{"X":1,"Networks":{"app":{"NetworkID":"copy","Y":2},"bridge":{"NetworkID":"b"}}}}"#;

    fn build(prefix: Option<&str>) -> Container {
        let listed = Object::parse(LISTED.as_bytes()).unwrap();
        let place = Place {
            prefix: prefix.map(String::from),
            ip: Some("10.0.0.1".parse().unwrap()),
            now: 0,
            copies: Arc::new(HashMap::from([("copy".to_string(), "first".to_string())])),
        };
        Container::build(&listed, &Inspected::default(), &place).unwrap()
    }

    #[test]
    fn the_entry_carries_node_address_status_and_unknown_fields() {
        let mut out = Vec::new();
        build(Some("pi1")).entry.write("Up \"2\" hours", &mut out);
        let entry: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(entry["Names"][0], "/pi1/web");
        assert_eq!(entry["Ports"][0]["IP"], "10.0.0.1");
        assert_eq!(entry["Status"], "Up \"2\" hours");
        let networks = &entry["NetworkSettings"]["Networks"];
        assert_eq!((&networks["app"]["NetworkID"], &networks["app"]["Y"]), (&"first".into(), &2.into()));
        assert_eq!(networks["bridge"]["NetworkID"], "b");
        assert_eq!(entry["New"][0].to_string(), "1.0");
    }

    #[test]
    fn after_a_blink_only_what_is_not_what_it_was_is_read_again() {
        let second = 1_000_000_000;
        let place = Place { now: 100 * second, ..Place::default() };
        let listed = |status: &str| {
            let text = LISTED.replace("Up 1 second", status);
            Object::parse(text.as_bytes()).unwrap()
        };
        let mut inspected = Inspected::default();
        (inspected.state.running, inspected.state.started_at) = (true, "1970-01-01T00:01:30Z".into());
        let known = Container::build(&listed("Up 10 seconds"), &inspected, &place).unwrap();
        let is_read =
            |known: &Container, status: &str, blink| known.found_again(&listed(status), &place, blink).rough;
        assert!(!is_read(&known, "Up 10 seconds", true));
        assert!(is_read(&known, "Up 10 seconds", false), "who knows what happened");
        assert!(is_read(&known, "Up 1 second", true), "it was restarted");
        assert!(is_read(&known, "Up 10 seconds (unhealthy)", true));
        let guessed = Container { guessed: true, ..known };
        assert!(is_read(&guessed, "Up 10 seconds", true), "it could not be read");
        assert!(is_read(&guessed.relisted(&listed("Up 10 seconds"), &place), "Up 10 seconds", true), "still");
        assert!(!is_read(&guessed.inspected(&inspected), "Up 10 seconds", true));
    }

    #[test]
    fn those_of_one_second_are_in_the_order_of_their_list() {
        let listed = Object::parse(LISTED.replace("\"New\"", "\"Created\":7,\"New\"").as_bytes()).unwrap();
        let sketch =
            |others| Container::sketch(&listed, &Place::default()).unwrap().newer_than(others).created;
        assert!(7_000_000_000 <= sketch(0) && sketch(0) < sketch(1) && sketch(usize::MAX) < 8_000_000_000);
    }

    #[test]
    fn names_without_prefix_and_with_link_aliases() {
        let mut c = build(None);
        assert_eq!(c.name(), "web");
        c.names = vec!["/other/alias".into(), "/web".into()];
        assert_eq!(c.name(), "web");
    }
}
