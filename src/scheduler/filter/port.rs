//! A host port belongs to one container of a node, also to one that is stopped or only promised.
//!
//! Two bindings collide if port and protocol are equal and either one is for all interfaces or both are for
//! the same one. A requested range (`8000-8010` for one container port) needs one free port: the engine
//! takes any. In host mode there are no bindings, so exposed ports are compared with those of other
//! containers in host mode. `--publish-all` takes what is free and never collides.

use std::net::IpAddr;

use super::Rule;
use crate::docker::types::PortBinding;
use crate::engine::Container;
use crate::scheduler::candidate::Candidate;
use crate::scheduler::explain::Objection;
use crate::scheduler::request::Request;

const HOST: &str = "host";

/// The filter `port`.
pub enum Port<'a> {
    /// Host mode: the exposed ports.
    Host(&'a [String]),
    /// Otherwise: the wanted bindings.
    Bridge(Vec<Wanted<'a>>),
}

/// A binding in the request.
pub struct Wanted<'a> {
    text: &'a str,
    claim: Option<Claim<'a>>,
}

/// Ports on the host. More than one is a range, of which the engine takes one.
#[derive(Debug, Clone, Copy)]
struct Claim<'a> {
    ip: &'a str,
    protocol: &'a str,
    first: u16,
    last: u16,
}

impl<'a> Port<'a> {
    /// Reads the wanted ports.
    pub fn new(request: &'a Request) -> Port<'a> {
        if request.host.network_mode == HOST {
            return Port::Host(&request.exposed);
        }
        let wanted = bindings(&request.host)
            .map(|(port, binding)| Wanted { text: &binding.host_port, claim: Claim::read(port, binding) });
        Port::Bridge(wanted.collect())
    }
}

impl Rule for Port<'_> {
    fn name(&self) -> &'static str {
        "port"
    }

    fn check<'c>(&'c self, node: &'c Candidate<'_>, _: bool) -> Result<(), Objection<'c>> {
        match self {
            Port::Host(exposed) => exposed.iter().try_for_each(|port| match host_holder(node, port) {
                Some(holder) => Err(Objection::Port(port, Some(label(holder)))),
                None => Ok(()),
            }),
            Port::Bridge(wanted) => wanted.iter().try_for_each(|w| match w.claim {
                Some(claim) if claim.is_range() => claim.range_check(node, w.text),
                Some(claim) => claim.single_check(node, w.text),
                None => Ok(()),
            }),
        }
    }

    fn cost(&self) -> u8 {
        2
    }

    fn items(&self) -> Vec<String> {
        match self {
            Port::Host(exposed) => exposed.iter().map(|p| format!("port {p} (Host mode)")).collect(),
            Port::Bridge(wanted) => wanted.iter().map(|w| format!("port {} (Bridge mode)", w.text)).collect(),
        }
    }

    fn fails_without_nodes(&self) -> bool {
        match self {
            Port::Host(exposed) => !exposed.is_empty(),
            Port::Bridge(wanted) => !wanted.is_empty(),
        }
    }
}

impl<'a> Claim<'a> {
    /// `None` if no port, port 0 or no valid port is asked for: such a binding takes nothing for certain.
    fn read(port: &'a str, binding: &'a PortBinding) -> Option<Claim<'a>> {
        let text = binding.host_port.as_str();
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        (first > 0 && first <= last).then_some(Claim {
            ip: &binding.host_ip,
            protocol: port.split_once('/').map_or("tcp", |(_, protocol)| protocol),
            first,
            last,
        })
    }

    fn is_range(&self) -> bool {
        self.first != self.last
    }

    fn overlaps(&self, other: &Claim<'_>) -> bool {
        self.first <= other.last
            && other.first <= self.last
            && self.protocol.eq_ignore_ascii_case(other.protocol)
            && same_interface(self.ip, other.ip)
    }

    fn single_check<'c>(&self, node: &'c Candidate<'_>, text: &'c str) -> Result<(), Objection<'c>> {
        let holds = |c: &&Container| claims(c).any(|held| !held.is_range() && held.overlaps(self));
        match node.occupants().find(holds) {
            Some(holder) => Err(Objection::Port(text, Some(label(holder)))),
            None => Ok(()),
        }
    }

    /// Every port of the range may be held, or wanted by a container whose own range is not settled yet.
    fn range_check<'c>(&self, node: &'c Candidate<'_>, text: &'c str) -> Result<(), Objection<'c>> {
        let mut free = vec![true; usize::from(self.last - self.first) + 1];
        let mut unsettled = 0;
        for held in node.occupants().flat_map(claims).filter(|held| held.overlaps(self)) {
            match held.is_range() {
                true => unsettled += 1,
                false => free[usize::from(held.first - self.first)] = false,
            }
        }
        match free.iter().filter(|free| **free).count() > unsettled {
            true => Ok(()),
            false => Err(Objection::Port(text, None)),
        }
    }
}

/// What a container holds on its host: what it asked for, and what the engine gave it. A range that was
/// settled shows as the port that was given.
fn claims(container: &Container) -> impl Iterator<Item = Claim<'_>> {
    let given = || {
        container.ports.iter().filter(|p| p.public_port > 0).map(|p| Claim {
            ip: &p.ip,
            protocol: if p.r#type.is_empty() { "tcp" } else { &p.r#type },
            first: p.public_port,
            last: p.public_port,
        })
    };
    let asked = bindings(&container.host).filter_map(|(port, binding)| Claim::read(port, binding));
    let open = asked.filter(move |a| !(a.is_range() && given().any(|g| g.overlaps(a))));
    open.chain(given())
}

fn bindings(host: &crate::docker::types::HostConfig) -> impl Iterator<Item = (&str, &PortBinding)> {
    let each = host.port_bindings.iter();
    each.flat_map(|(port, list)| list.iter().flatten().map(move |b| (port.as_str(), b)))
}

fn host_holder<'c>(node: &'c Candidate<'_>, port: &str) -> Option<&'c Container> {
    let mut hosts = node.occupants().filter(|c| c.host.network_mode == HOST);
    hosts.find(|c| c.exposed.iter().any(|p| p == port))
}

fn label(container: &Container) -> &str {
    match container.name() {
        "" => container.id.get(..12).unwrap_or("a container that is being created"),
        name => name,
    }
}

/// Empty and unspecified addresses stand for all interfaces.
fn same_interface(a: &str, b: &str) -> bool {
    let parsed = |text: &str| text.parse::<IpAddr>().ok();
    let (p, q) = (parsed(a), parsed(b));
    let all = |text: &str, ip: Option<IpAddr>| text.is_empty() || ip.is_some_and(|ip| ip.is_unspecified());
    all(a, p) || all(b, q) || a == b || (p.is_some() && p == q)
}
