//! Affinities compare what is on a node with an expression: its containers (`container`), its images
//! (`image`), or a label of its containers (any other key).

use super::Rule;
use super::constraint::first_objection;
use crate::docker::types::ListedImage;
use crate::engine::Container;
use crate::scheduler::candidate::{Candidate, Field};
use crate::scheduler::explain::Objection;
use crate::scheduler::expr::{Expr, Op};
use crate::scheduler::request::Request;

/// The filter `affinity`.
pub struct Affinity {
    /// What is looked up first, then what is compared with everything on a node.
    exprs: Vec<Expr>,
    /// Their texts in the order of the request.
    items: Vec<String>,
}

impl Affinity {
    /// Parses the request's affinities.
    pub fn new(request: &Request) -> Result<Affinity, String> {
        let mut exprs = Expr::parse_all(&request.hints.affinities)?;
        let items = exprs.iter().map(Expr::with_mark).collect();
        exprs.sort_by_key(|e| !is_looked_up(e));
        Ok(Affinity { exprs, items })
    }
}

impl Rule for Affinity {
    fn name(&self) -> &'static str {
        "affinity"
    }

    fn check<'c>(&'c self, node: &'c Candidate<'_>, soft: bool) -> Result<(), Objection<'c>> {
        let holds = |expr: &Expr| match (expr.key.as_str(), expr.op) {
            ("image", _) => expr.holds(node.node.inventory.images.iter().flat_map(|i| names(&i.fields))),
            ("container", op) if let Some(name) = expr.literal() => {
                node.holds(name, op == Op::NotEqual) == (op == Op::Equal)
            }
            (_, Op::Equal) => with_containers(expr, node.containers()),
            // What gives way to this container is no reason to keep away.
            (_, Op::NotEqual) => with_containers(expr, node.occupants()),
        };
        first_objection(&self.exprs, soft, holds)
    }

    /// `container==NAME` is for the nodes that have it.
    fn places(&self, field: &Field<'_>, soft: bool) -> Option<Vec<usize>> {
        let counts = |e: &&Expr| is_looked_up(e) && (soft || !e.soft);
        self.exprs
            .iter()
            .filter(counts)
            .filter_map(Expr::literal)
            .find_map(|name| field.places_of_container(name))
    }

    fn cost(&self) -> u8 {
        if self.exprs.first().is_some_and(is_looked_up) { 1 } else { 2 }
    }

    fn items(&self) -> Vec<String> {
        self.items.clone()
    }

    fn has_soft(&self) -> bool {
        self.exprs.iter().any(|e| e.soft)
    }

    fn fails_without_nodes(&self) -> bool {
        self.exprs.iter().any(|e| !e.soft)
    }
}

/// Whether it names one container: few nodes have that, and all others say so at once.
fn is_looked_up(expr: &Expr) -> bool {
    expr.key == "container" && expr.op == Op::Equal && expr.literal().is_some()
}

fn with_containers<'c>(expr: &Expr, containers: impl Iterator<Item = &'c Container>) -> bool {
    match expr.key.as_str() {
        "container" => {
            let named = containers.filter(|c| !c.names.is_empty());
            expr.holds(named.flat_map(|c| [c.id.as_str(), c.name()]))
        }
        key => expr.holds(containers.map(|c| c.labels.get(key).unwrap_or(""))),
    }
}

/// ID, tags, and tags without their tag. Digests cannot be written in an expression.
fn names(image: &ListedImage) -> impl Iterator<Item = &str> {
    let tags = image.repo_tags.iter().flat_map(|tag| {
        let bare = tag.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'));
        [tag.as_str(), bare.map_or(tag.as_str(), |(repo, _)| repo)]
    });
    std::iter::once(image.id.as_str()).chain(tags)
}
