//! Which images a list call means, and one entry for what several nodes have.

use std::collections::HashSet;

use crate::api::gap::Gap;
use crate::api::holders::no_such_image;
use crate::clock;
use crate::cluster::view::View;
use crate::docker::filters::Filters;
use crate::docker::json::Object;
use crate::docker::reference::Reference;
use crate::docker::types::ListedImage;
use crate::engine::Node;
use crate::engine::inventory::Image;
use crate::error::{Error, Kind, Result};

/// Which images a list call wants.
pub struct Choice {
    filters: Filters,
    all: bool,
    dangling: Option<bool>,
    /// Seconds since the epoch: created before, and since.
    before: Option<i64>,
    since: Option<i64>,
}

impl Choice {
    /// Reads the filters. What engines refuse is refused.
    pub fn read(view: &View, filters: Filters, all: bool) -> Result<Choice> {
        filters.known(&["before", "dangling", "label", "node", "reference", "since", "until"])?;
        let created = |key: &str| match filters.values(key) {
            [] => Ok(None),
            [name] => match view.validated().find_map(|n| n.inventory.image(name)) {
                Some(image) => Ok(Some(image.fields.created)),
                None => Err(no_such_image(name)),
            },
            _ => Err(Error::client(Kind::Invalid, format!("invalid filter '{key}'"))),
        };
        let until = filters.moment("until", clock::unix_nanos())?.map(|nanos| nanos / 1_000_000_000);
        Ok(Choice {
            before: [created("before")?, until].into_iter().flatten().min(),
            since: created("since")?,
            dangling: filters.truth("dangling")?,
            all,
            filters,
        })
    }

    /// The images of a node that are meant.
    pub fn on<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = &'a Image> {
        let on_node = |v: &String| v == node.name() || v == node.id();
        let here = !self.filters.has("node") || self.filters.values("node").iter().any(on_node);
        let images: &[Image] = if here { &node.inventory.images } else { &[] };
        let parents: HashSet<&str> = images.iter().map(|i| i.fields.parent_id.as_str()).collect();
        images.iter().filter(move |i| self.wants(&i.fields, !parents.contains(i.fields.id.as_str())))
    }

    fn wants(&self, image: &ListedImage, childless: bool) -> bool {
        let tagged = names(&image.repo_tags).next().is_some();
        let named = tagged || names(&image.repo_digests).next().is_some();
        // What has no name is only of interest if nothing was made from it.
        let visible = match (named, self.dangling) {
            (false, Some(false)) => false,
            (false, _) => self.all || childless,
            (true, Some(true)) => childless && !tagged,
            (true, _) => true,
        };
        visible
            && self.filters.labels("label", &image.labels)
            && (!self.filters.has("reference")
                || self.named(&image.repo_tags).next().is_some()
                || self.named(&image.repo_digests).next().is_some())
            && self.before.is_none_or(|b| image.created < b)
            && self.since.is_none_or(|s| image.created > s)
    }

    /// The names that are asked for; all, if none is.
    fn named<'a>(&'a self, all: &'a [String]) -> impl Iterator<Item = &'a String> {
        let patterns = self.filters.values("reference");
        names(all).filter(move |name| patterns.is_empty() || patterns.iter().any(|p| refers(p, name)))
    }
}

/// Names, without what older engines write in the place of none.
fn names(all: &[String]) -> impl Iterator<Item = &String> {
    all.iter().filter(|name| !name.starts_with("<none>"))
}

/// One image with what all nodes call it.
pub struct Merged<'a> {
    /// On the first node that has it.
    pub first: &'a Image,
    tags: Vec<String>,
    digests: Vec<String>,
}

impl<'a> Merged<'a> {
    /// Without names so far.
    pub fn new(first: &'a Image) -> Merged<'a> {
        Merged { first, tags: Vec::new(), digests: Vec::new() }
    }

    /// Adds what another node calls it, as far as that is asked for.
    pub fn add(&mut self, image: &Image, choice: &Choice) {
        unite(&mut self.tags, choice.named(&image.fields.repo_tags));
        unite(&mut self.digests, choice.named(&image.fields.repo_digests));
    }

    /// The list entry.
    pub fn entry(&self, gap: Gap) -> Object {
        let mut entry = self.first.entry.clone();
        gap.names(&mut entry, &self.tags, &self.digests);
        gap.image_entry(&mut entry);
        entry
    }
}

/// Adds what is new.
pub fn unite<'a>(all: &mut Vec<String>, more: impl IntoIterator<Item = &'a String>) {
    for one in more {
        if !all.contains(one) {
            all.push(one.clone());
        }
    }
}

/// Whether a shell pattern matches a name, with or without its tag.
fn refers(pattern: &str, name: &str) -> bool {
    let wanted = Reference::parse(pattern);
    let pattern = match (&wanted.tag, &wanted.digest) {
        (None, None) => wanted.name.clone(),
        _ => wanted.with_default_tag(),
    };
    let parsed = Reference::parse(name);
    glob(&pattern, &parsed.name) || glob(&pattern, &parsed.with_default_tag())
}

/// `*` and `?`, not across `/`.
fn glob(pattern: &str, text: &str) -> bool {
    let mut source = String::from("^");
    for c in pattern.chars() {
        match c {
            '*' => source.push_str("[^/]*"),
            '?' => source.push_str("[^/]"),
            c => source.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    source.push('$');
    regex::Regex::new(&source).is_ok_and(|r| r.is_match(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_patterns() {
        for (pattern, hit) in [
            ("busy*", true),
            ("busybox", true),
            ("busybox:1.36", true),
            ("docker.io/library/busybox", true),
            ("busybox:2", false),
            ("*", true),
            ("*/*", false),
            ("app", false),
        ] {
            assert_eq!(refers(pattern, "busybox:1.36"), hit, "{pattern}");
        }
        assert!(refers("team/*", "team/app:x"));
    }

    #[test]
    fn what_has_no_name_and_what_dangles() {
        let image = |tags: &[&str], digests: &[&str]| ListedImage {
            repo_tags: tags.iter().map(ToString::to_string).collect(),
            repo_digests: digests.iter().map(ToString::to_string).collect(),
            ..ListedImage::default()
        };
        let tagged = image(&["a:1"], &[]);
        let pulled = image(&[], &["a@sha256:1"]);
        let nameless = image(&["<none>:<none>"], &["<none>@<none>"]);
        let wants = |filters: &str, all: bool, image: &ListedImage, childless: bool| {
            let filters = Filters::parse(Some(filters)).unwrap();
            Choice::read(&View::default(), filters, all).unwrap().wants(image, childless)
        };
        assert!(wants("{}", false, &tagged, false) && wants("{}", false, &pulled, false));
        assert!(wants("{}", false, &nameless, true) && !wants("{}", false, &nameless, false));
        assert!(wants("{}", true, &nameless, false));
        let (yes, no) = (r#"{"dangling":["true"]}"#, r#"{"dangling":["0"]}"#);
        assert!(wants(yes, false, &nameless, true) && wants(yes, false, &pulled, true));
        assert!(!wants(yes, false, &tagged, true) && !wants(yes, false, &nameless, false));
        assert!(!wants(no, false, &nameless, true) && wants(no, false, &tagged, true));
    }
}
