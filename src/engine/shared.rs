//! What containers of one engine have alike, kept once for all of them: those of one service differ in little but
//! their IDs and addresses.

use std::sync::Arc;

use crate::docker::types::{HostConfig, Mount, Port};
use crate::engine::Container;

/// So many different values of each kind are remembered, the oldest go first: only whoever comes later loses by that.
const REMEMBERED: usize = 8;
/// The same for texts of list entries, which are compared at length.
const MODELS: usize = 3;

/// What was seen lately.
#[derive(Debug, Default)]
pub struct Shared {
    images: Recent<str>,
    image_ids: Recent<str>,
    ports: Recent<[Port]>,
    mounts: Recent<[Mount]>,
    networks: Recent<[(String, String)]>,
    hosts: Recent<HostConfig>,
    exposed: Recent<[String]>,
    /// Texts of list entries, to which those of others are kept as differences.
    entries: Recent<[u8]>,
}

#[derive(Debug)]
struct Recent<T: ?Sized>(Vec<Arc<T>>);

impl Shared {
    /// Lets a new container have what others have, too.
    pub fn with(&mut self, container: &mut Container) {
        self.images.unite(&mut container.image);
        self.image_ids.unite(&mut container.image_id);
        self.ports.unite(&mut container.ports);
        self.mounts.unite(&mut container.mounts);
        self.networks.unite(&mut container.networks);
        self.hosts.unite(&mut container.host);
        self.exposed.unite(&mut container.exposed);
        let entry = &mut container.entry.0;
        if let Some(short) = self.entries.0.iter().rev().find_map(|model| entry.like(model)) {
            *entry = short;
        } else if let Some(model) = entry.as_model().filter(|text| !text.is_empty()) {
            if let Some(short) = entry.like(&model) {
                *entry = short;
            }
            self.entries.0.push(model);
            self.entries.forget(MODELS);
        }
    }
}

impl<T: PartialEq + ?Sized> Recent<T> {
    /// Makes two equal values one.
    fn unite(&mut self, value: &mut Arc<T>) {
        match self.0.iter().find(|known| Arc::ptr_eq(known, value) || known == &value) {
            Some(known) => *value = Arc::clone(known),
            None => self.0.push(Arc::clone(value)),
        }
        self.forget(REMEMBERED);
    }
}

impl<T: ?Sized> Recent<T> {
    fn forget(&mut self, kept: usize) {
        if self.0.len() > kept {
            self.0.remove(0);
        }
    }
}

impl<T: ?Sized> Default for Recent<T> {
    fn default() -> Recent<T> {
        Recent(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::json::Object;
    use crate::docker::types::Inspected;
    use crate::engine::container::Place;

    fn container(id: usize, image: &str) -> Container {
        let entry = format!(
            r#"{{"Id":"{id}","Names":["/n{id}"],"Image":"{image}","ImageID":"sha256:{image}",
                 "Command":"sleep infinity","Created":{id},"Labels":{{}},"Status":"Up"}}"#
        );
        let listed = Object::parse(entry.as_bytes()).unwrap();
        Container::build(&listed, &Inspected::default(), &Place::default()).unwrap()
    }

    fn text(container: &Container) -> String {
        let mut out = Vec::new();
        container.entry.write("Up", &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn two_of_a_kind_share() {
        let mut shared = Shared::default();
        let (mut one, mut two) = (container(1, "busybox"), container(2, "busybox"));
        let before = text(&two);
        shared.with(&mut one);
        shared.with(&mut two);
        assert!(Arc::ptr_eq(&one.image, &two.image) && Arc::ptr_eq(&one.host, &two.host));
        assert!(one.entry.0.as_model().is_none() && two.entry.0.as_model().is_none());
        assert_eq!(text(&two), before);
    }

    #[test]
    fn it_forgets_the_oldest() {
        let mut shared = Shared::default();
        for id in 0..100 {
            shared.with(&mut container(id, &format!("image-{id}")));
        }
        assert_eq!(shared.images.0.len(), REMEMBERED);
        assert!(shared.entries.0.len() <= MODELS);
    }
}
