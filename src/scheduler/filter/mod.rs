//! The filters: each one looks at one node and lets it pass or says what it objects to.
//!
//! A filter is built once for a request, with its expressions compiled, and then asked about every node. It
//! does *not* see other nodes and does not rank: strategies do.

mod affinity;
pub(super) mod availability;
mod constraint;
mod dependency;
mod devices;
mod health;
mod image;
mod platform;
mod port;
mod replacement;
mod slots;
mod whitelist;

use crate::config::Filter;
use crate::scheduler::candidate::{Candidate, Field};
use crate::scheduler::explain::Objection;
use crate::scheduler::request::Request;

/// A filter, made for one request.
pub trait Rule {
    /// Its name, as in `--filter`.
    fn name(&self) -> &'static str;

    /// Looks at one node. Soft expressions count only if `soft`.
    fn check<'c>(&'c self, node: &'c Candidate<'_>, soft: bool) -> Result<(), Objection<'c>>;

    /// Its conditions, as the classic error text lists them.
    fn items(&self) -> Vec<String> {
        Vec::new()
    }

    /// Its part of the classic list of conditions.
    fn describe(&self) -> String {
        match self.items() {
            items if items.is_empty() => String::new(),
            items => format!("\n[{}]", items.join(" ")),
        }
    }

    /// Whether `soft` makes a difference.
    fn has_soft(&self) -> bool {
        false
    }

    /// How dear a check is, roughly: 0 looks at a few numbers, 1 at texts of the node, 2 at all containers.
    fn cost(&self) -> u8 {
        0
    }

    /// The only places in the view that can pass, if the rule can tell without a look at all nodes.
    fn places(&self, _field: &Field<'_>, _soft: bool) -> Option<Vec<usize>> {
        None
    }

    /// Whether it fails when there is no node at all.
    fn fails_without_nodes(&self) -> bool {
        false
    }
}

/// What the operator says, then the active filters in their configured order, then those that the request
/// itself brings along.
pub fn rules<'a>(filters: &[Filter], request: &'a Request, field: &Field<'_>) -> Vec<Box<dyn Rule + 'a>> {
    let mut rules: Vec<Box<dyn Rule + 'a>> = vec![Box::new(availability::Availability)];
    rules.extend(filters.iter().map(|f| build(*f, request, field)));
    rules.extend(platform::Platform::new(request).map(|rule| Box::new(rule) as Box<dyn Rule + 'a>));
    rules.extend(devices::Devices::new(request, field).map(|rule| Box::new(rule) as Box<dyn Rule + 'a>));
    if request.image_holders_only {
        rules.push(Box::new(image::Image(&request.image)));
    }
    if request.replaces.is_some() && !request.afresh {
        rules.push(Box::new(replacement::Replacement));
    }
    rules
}

fn build<'a>(filter: Filter, request: &'a Request, field: &Field<'_>) -> Box<dyn Rule + 'a> {
    match filter {
        Filter::Health => Box::new(health::Health),
        Filter::Port => Box::new(port::Port::new(request)),
        Filter::ContainerSlots => Box::new(slots::Slots),
        Filter::Dependency => Box::new(dependency::Dependency::new(request, field)),
        Filter::Affinity => unless_broken("affinity", affinity::Affinity::new(request)),
        Filter::Constraint => unless_broken("constraint", constraint::Constraint::new(request)),
        Filter::Whitelist => unless_broken("whitelist", whitelist::Whitelist::new(request)),
    }
}

fn unless_broken<'a, R: Rule + 'a>(name: &'static str, rule: Result<R, String>) -> Box<dyn Rule + 'a> {
    match rule {
        Ok(rule) => Box::new(rule),
        Err(error) => Box::new(Broken { name, error }),
    }
}

/// A filter one of whose expressions cannot be parsed: it turns every node away.
struct Broken {
    name: &'static str,
    error: String,
}

impl Rule for Broken {
    fn name(&self) -> &'static str {
        self.name
    }

    fn check<'c>(&'c self, _: &'c Candidate<'_>, _: bool) -> Result<(), Objection<'c>> {
        Err(Objection::Unreadable(&self.error))
    }

    fn describe(&self) -> String {
        format!("\nerror from {} filter: {}", self.name, self.error)
    }

    fn fails_without_nodes(&self) -> bool {
        true
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

#[cfg(test)]
#[path = "port_tests.rs"]
mod port_tests;
