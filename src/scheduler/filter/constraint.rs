//! Constraints compare a node's ID and name (`node`), or one of its labels, with an expression.

use super::Rule;
use crate::scheduler::candidate::{Candidate, Field};
use crate::scheduler::explain::Objection;
use crate::scheduler::expr::{Expr, Op};
use crate::scheduler::request::Request;

/// The filter `constraint`.
pub struct Constraint(Vec<Expr>);

impl Constraint {
    /// Parses the request's constraints, then those that the caller added.
    pub fn new(request: &Request) -> Result<Constraint, String> {
        let all = request.hints.constraints.iter().chain(&request.extra_constraints);
        Expr::parse_all(all).map(Constraint)
    }
}

impl Rule for Constraint {
    fn name(&self) -> &'static str {
        "constraint"
    }

    fn check<'c>(&'c self, node: &'c Candidate<'_>, soft: bool) -> Result<(), Objection<'c>> {
        // A label that is not there counts as the empty text.
        let label = |key: &str| node.node.label(key).unwrap_or_default();
        let holds = |expr: &Expr| match expr.key.as_str() {
            "node" => expr.holds([node.specs.id.as_str(), node.specs.name.as_str()].into_iter()),
            key => expr.holds(std::iter::once(label(key))),
        };
        first_objection(&self.0, soft, holds)
    }

    /// `node==NAME` is for the nodes of that name; what is no name may be an ID.
    fn places(&self, field: &Field<'_>, soft: bool) -> Option<Vec<usize>> {
        let counts = |e: &&Expr| e.key == "node" && e.op == Op::Equal && (soft || !e.soft);
        let names = self.0.iter().filter(counts).filter_map(Expr::literal);
        names.map(|name| field.view().places(name)).find(|places| !places.is_empty()).map(Iterator::collect)
    }

    fn cost(&self) -> u8 {
        1
    }

    fn items(&self) -> Vec<String> {
        self.0.iter().map(Expr::to_string).collect()
    }

    fn has_soft(&self) -> bool {
        self.0.iter().any(|e| e.soft)
    }

    fn fails_without_nodes(&self) -> bool {
        self.0.iter().any(|e| !e.soft)
    }
}

/// The first expression that counts and does not hold.
pub(super) fn first_objection(
    exprs: &[Expr],
    soft: bool,
    holds: impl Fn(&Expr) -> bool,
) -> Result<(), Objection<'_>> {
    match exprs.iter().find(|e| (soft || !e.soft) && !holds(e)) {
        None => Ok(()),
        Some(expr) if expr.is_broken() => Err(Objection::Pattern(expr)),
        Some(expr) => Err(Objection::Expression(expr, expr.soft)),
    }
}
