//! What a body of somebody with a role may look like: a list of the fields that are known, and what each may say.
//!
//! Engines read field names without regard to case, in Go's way (`ſ` is an `s` and `K` a `k`). A field that is one of
//! ours in any such spelling leaves in ours; one that is not is refused, since it could be another engine's word for
//! what we forbid. `null` says nothing and is left out.

use crate::access::policy::forbidden;
use crate::access::strict::Tree;
use crate::config::{Access, Leave};
use crate::error::{Error, Kind, Result};

/// What stands in a field.
pub(super) enum Shape {
    /// Anything.
    Free,
    /// Nothing (`false`, `0`, `""`, `[]`, `{}`), or else it takes leave.
    Off(Leave),
    /// What the function lets through.
    Rule(fn(&mut Judge<'_>, &Tree) -> Result<()>),
    /// An object with the fields of these groups.
    Fields(&'static [&'static [Field]]),
    /// The same, and then the function has a look at it as it leaves.
    Record(&'static [&'static [Field]], fn(&mut Judge<'_>, &Tree) -> Result<()>),
    /// A list of such.
    Each(&'static Shape),
    /// An object with such values, whose keys are names of networks.
    Networks(&'static Shape),
}

/// A field that is known.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    /// Says nothing about what a container has of the host once it is there.
    pub(super) mild: bool,
}

/// A field that may say anything.
pub(super) const fn free(name: &'static str) -> Field {
    Field { name, shape: Shape::Free, mild: true }
}

/// A field that takes leave.
pub(super) const fn off(name: &'static str, leave: Leave) -> Field {
    Field { name, shape: Shape::Off(leave), mild: false }
}

/// A field with a shape.
pub(super) const fn shaped(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, mild: false }
}

/// The same, and what is there already need not keep it.
pub(super) const fn mild(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, mild: true }
}

/// What a body names. Whether it is something of the host is for those to say who know the objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// Networks, of which none may be the host's.
    pub networks: Vec<String>,
    /// Volumes, maybe as `NODE/NAME`, of which none may be a directory of the host (`check_volume`).
    pub volumes: Vec<String>,
}

/// Decides on one body.
pub(super) struct Judge<'a> {
    /// What there is leave for.
    access: &'a Access,
    pub(super) named: Named,
    /// Whether this is what an engine says of a container that is there, rather than what somebody asks for.
    seen: bool,
    trail: Vec<String>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(access: &'a Access) -> Judge<'a> {
        Judge { access, named: Named::default(), seen: false, trail: Vec::new() }
    }

    /// For what an engine says of a container: fields that are not known may say nothing, but may be there.
    pub(super) fn of_seen(access: &'a Access) -> Judge<'a> {
        Judge { seen: true, ..Judge::new(access) }
    }

    pub(super) fn is_seen(&self) -> bool {
        self.seen
    }

    pub(super) fn access(&self) -> &'a Access {
        self.access
    }

    /// Holds a document against a shape, and returns it as it may leave.
    pub(super) fn check(&mut self, tree: Tree, shape: &Shape) -> Result<Tree> {
        match shape {
            Shape::Free => Ok(tree),
            Shape::Off(leave) if tree.is_nothing() || self.has(*leave) => Ok(tree),
            Shape::Off(leave) => Err(self.refuse("", *leave)),
            Shape::Rule(rule) => rule(self, &tree).map(|()| tree),
            Shape::Fields(known) => match tree {
                Tree::Null => Ok(Tree::Null),
                Tree::Map(fields) => self.fields(fields, known),
                _ => Err(self.wrong("must be an object")),
            },
            Shape::Record(known, rule) => {
                let tree = self.check(tree, &Shape::Fields(known))?;
                rule(self, &tree).map(|()| tree)
            }
            Shape::Each(shape) => match tree {
                Tree::Null => Ok(Tree::Null),
                Tree::List(items) => {
                    let items = items.into_iter().map(|item| self.check(item, shape));
                    Ok(Tree::List(items.collect::<Result<_>>()?))
                }
                _ => Err(self.wrong("must be a list")),
            },
            Shape::Networks(shape) => match tree {
                Tree::Null => Ok(Tree::Null),
                Tree::Map(fields) => {
                    let endpoint = |(name, value): (String, Tree)| {
                        self.network(&name)?;
                        Ok((name, self.check(value, shape)?))
                    };
                    Ok(Tree::Map(fields.into_iter().map(endpoint).collect::<Result<_>>()?))
                }
                _ => Err(self.wrong("must be an object")),
            },
        }
    }

    fn fields(&mut self, given: Vec<(String, Tree)>, known: &'static [&'static [Field]]) -> Result<Tree> {
        let mut kept: Vec<(String, Tree)> = Vec::with_capacity(given.len());
        for (key, value) in given {
            let field = known.iter().copied().flatten().find(|field| fold(field.name) == fold(&key));
            if value == Tree::Null || (self.seen && field.is_some_and(|field| field.mild)) {
                continue;
            }
            self.trail.push(field.map_or(key.as_str(), |field| field.name).to_string());
            let Some(field) = field else {
                match self.seen && value.is_nothing() {
                    true => {
                        self.trail.pop();
                        continue;
                    }
                    false => return Err(self.unknown()),
                }
            };
            if kept.iter().any(|(name, _)| name == field.name) {
                return Err(self.wrong("is there twice"));
            }
            let value = self.check(value, &field.shape)?;
            self.trail.pop();
            kept.push((field.name.to_string(), value));
        }
        Ok(Tree::Map(kept))
    }

    /// A network that a container joins.
    pub(super) fn network(&mut self, name: &str) -> Result<()> {
        if self.has(Leave::HostNetwork) {
            return Ok(());
        }
        match name {
            "host" => Err(self.refuse("\"host\"", Leave::HostNetwork)),
            // Keys of endpoints that stand for no network of that name.
            "" | "default" | "bridge" | "none" | "nat" => Ok(()),
            name => {
                self.named.networks.push(name.to_string());
                Ok(())
            }
        }
    }

    /// A volume that a container mounts.
    pub(super) fn volume(&mut self, name: &str) {
        self.named.volumes.push(name.to_string());
    }

    /// Whether the configuration gives leave.
    pub(super) fn has(&self, leave: Leave) -> bool {
        self.access.deployer_allow.contains(&leave)
    }

    /// Fine if there is leave.
    pub(super) fn needs(&self, what: &str, leave: Leave) -> Result<()> {
        if self.has(leave) { Ok(()) } else { Err(self.refuse(what, leave)) }
    }

    /// 403, with what would do.
    pub(super) fn refuse(&self, what: &str, leave: Leave) -> Error {
        use crate::config::names::Named;
        let advice = format!("it takes the role admin, or {:?} in [access] deployer-allow", leave.word());
        self.forbid(what).advise(advice)
    }

    /// 403
    pub(super) fn forbid(&self, what: &str) -> Error {
        let place = self.trail.join(".");
        let what = if what.is_empty() { place } else { format!("{place} {what}") };
        match self.seen {
            true => forbidden(format!("the container has something of the host: {what}")),
            false => forbidden(format!("{what} is not for this role")),
        }
    }

    /// 400
    pub(super) fn wrong(&self, why: &str) -> Error {
        let place = if self.trail.is_empty() { "it".to_string() } else { self.trail.join(".") };
        Error::client(Kind::Invalid, format!("invalid request body: {place} {why}"))
    }

    fn unknown(&self) -> Error {
        let place = self.trail.join(".");
        match self.seen {
            true => forbidden(format!("the container has what this manager does not know: {place}")),
            false => forbidden(format!("{place} is not known to this manager, so it is not for this role"))
                .advise("it takes the role admin"),
        }
    }
}

/// A field name as Go compares it: letters fold, and two others than ASCII fold to letters.
fn fold(key: &str) -> String {
    let folded = |c: char| match c {
        'ſ' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    key.chars().map(folded).collect()
}
