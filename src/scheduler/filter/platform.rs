//! Only nodes that run the image: of the platform that the client asks for, and of one that the image was
//! built for. Not one of the configurable filters: it applies wherever something is known.
//!
//! A node that has the image would start what it has, so its own copy counts; any other node would get one
//! of the known copies, or pull. Where the image came from a registry, that may have it for other
//! platforms: then the known copies are a preference only.

use super::Rule;
use crate::docker::platform::Platform as Word;
use crate::scheduler::candidate::Candidate;
use crate::scheduler::explain::Objection;
use crate::scheduler::request::{BuiltFor, Request};

/// The rule.
pub struct Platform<'a> {
    asked: Option<&'a Word>,
    image: Option<&'a BuiltFor>,
}

impl<'a> Platform<'a> {
    /// The rule, if the request knows of any platform.
    pub fn new(request: &'a Request) -> Option<Platform<'a>> {
        let (asked, image) = (request.platform.as_ref(), request.built_for.as_ref());
        (asked.is_some() || image.is_some()).then_some(Platform { asked, image })
    }
}

impl Rule for Platform<'_> {
    fn name(&self) -> &'static str {
        "platform"
    }

    fn check<'c>(&'c self, node: &'c Candidate<'_>, soft: bool) -> Result<(), Objection<'c>> {
        let here = &node.specs.platform;
        let image = self.image.filter(|i| soft || !i.elsewhere);
        let unfit = image.and_then(|i| unfit(i, node));
        match self.asked.filter(|asked| !here.runs(asked)).or(unfit) {
            None => Ok(()),
            Some(needed) => Err(Objection::Platform(needed, here)),
        }
    }

    fn cost(&self) -> u8 {
        if self.image.is_some() { 2 } else { 0 }
    }

    fn items(&self) -> Vec<String> {
        let asked = self.asked.map(|p| format!("platform=={p} (soft=false)"));
        let image = self.image.map(|i| format!("platform=={} (soft={})", i.words(), i.elsewhere));
        asked.into_iter().chain(image).collect()
    }

    fn has_soft(&self) -> bool {
        self.image.is_some_and(|i| i.elsewhere)
    }
}

/// A platform that the node would have to be of, and is not.
fn unfit<'a>(image: &'a BuiltFor, node: &Candidate<'_>) -> Option<&'a Word> {
    let has = |id: &str| node.node.inventory.images.iter().any(|i| i.fields.id == id);
    let own: Vec<_> = image.copies.iter().filter(|(id, _)| has(id)).collect();
    let counts = if own.is_empty() { image.copies.iter().collect() } else { own };
    let fits = counts.iter().any(|(_, built_for)| node.specs.platform.runs(built_for));
    counts.first().filter(|_| !fits).map(|(_, built_for)| built_for)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::View;
    use crate::cluster::pending::Pending;
    use crate::cluster::view::tests::node;
    use crate::config::Filter;
    use crate::docker::json::Object;
    use crate::docker::types::ListedImage;
    use crate::engine::Node;
    use crate::engine::inventory::{Image, Inventory};
    use crate::engine::specs::Specs;
    use crate::scheduler::{self, Options};
    use std::sync::Arc;

    /// A node of an architecture with these image IDs.
    fn of(name: &str, machine: &str, images: &[&str]) -> Node {
        let mut node = node(&format!("{name}:1"), name, &[]);
        let specs = Specs::clone(node.specs.as_ref().unwrap());
        node.specs = Some(Arc::new(Specs { platform: Word::of_engine("linux", machine, ""), ..specs }));
        let image = |id: &&str| Image {
            fields: ListedImage { id: id.to_string(), ..Default::default() },
            entry: Object::default(),
        };
        let images = images.iter().map(image).collect();
        node.inventory = Arc::new(Inventory { images, ..Inventory::clone(&node.inventory) });
        node
    }

    fn place(nodes: Vec<Node>, request: &Request) -> Result<String, String> {
        let view = View::of(nodes.into_iter().map(Arc::new));
        let options = Options {
            strategy: crate::config::Strategy::Spread,
            filters: vec![Filter::Health],
            overcommit_percent: 0,
        };
        scheduler::place(&view, &Pending::default(), request, &options, &mut fastrand::Rng::with_seed(1))
            .map(|p| p.node.name().to_string())
            .map_err(|r| r.into_error().message)
    }

    fn built_for(copies: &[(&str, &str)], elsewhere: bool) -> Request {
        let copies = copies.iter().map(|(id, p)| (id.to_string(), Word::parse(p).unwrap())).collect();
        Request { built_for: Some(BuiltFor { copies, elsewhere }), ..Request::default() }
    }

    #[test]
    fn what_is_asked_for_is_a_condition() {
        let nodes = || vec![of("a", "x86_64", &[]), of("b", "aarch64", &[])];
        let asked = |p| Request { platform: Word::parse(p), ..Request::default() };
        assert_eq!(place(nodes(), &asked("linux/arm64")).unwrap(), "b");
        assert_eq!(place(nodes(), &asked("linux/arm/v7")).unwrap(), "b");
        assert_eq!(place(nodes(), &asked("linux/386")).unwrap(), "a");
        let text = place(nodes(), &asked("linux/riscv64")).unwrap_err();
        assert!(text.starts_with("Unable to find a node that satisfies the following conditions"), "{text}");
        assert!(
            text.contains("\n  a: needs linux/riscv64, is linux/amd64\n  b: needs linux/riscv64, is"),
            "{text}"
        );
    }

    #[test]
    fn an_image_of_no_registry_never_starts_where_it_cannot_run() {
        let local = built_for(&[("id1", "linux/arm64")], false);
        let nodes = |b| vec![of("a", "x86_64", &[]), of("b", b, &["id1"]), of("c", "aarch64", &[])];
        assert_eq!(place(nodes("aarch64"), &local).unwrap(), "b");
        // Loaded everywhere: still only where it runs.
        let loaded = vec![of("a", "x86_64", &["id1"]), of("c", "aarch64", &["id1"])];
        assert_eq!(place(loaded, &local).unwrap(), "c");
        assert!(place(vec![of("a", "x86_64", &["id1"])], &local).is_err());
    }

    #[test]
    fn each_node_counts_with_the_copy_that_it_has() {
        let both = built_for(&[("id1", "linux/arm64"), ("id2", "linux/amd64")], false);
        let wrong = vec![of("a", "x86_64", &["id1"]), of("b", "armv7l", &["id2"])];
        assert!(place(wrong, &both).is_err());
        assert_eq!(place(vec![of("a", "x86_64", &["id1"]), of("b", "x86_64", &[])], &both).unwrap(), "b");
    }

    #[test]
    fn an_image_of_a_registry_only_prefers() {
        let pulled = built_for(&[("id1", "linux/arm64")], true);
        assert_eq!(place(vec![of("a", "x86_64", &[]), of("b", "aarch64", &[])], &pulled).unwrap(), "b");
        assert_eq!(place(vec![of("a", "x86_64", &[])], &pulled).unwrap(), "a");
    }
}
