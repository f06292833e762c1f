//! The gap between the API version that a client speaks and the one that its engine is asked in.
//!
//! An engine whose oldest version is newer than the client's is asked in that oldest one, and what changed in
//! between is translated here, both ways. What cannot be translated is refused in words. It is *not* about
//! engines that are too old for a request: that is `older`.

use hyper::Response;
use hyper::header::{CONTENT_TYPE, HeaderValue};

use crate::api::call::{Call, Query};
use crate::api::proxy::version_for;
use crate::cluster::view::View;
use crate::docker::filters::Filters;
use crate::docker::json::Object;
use crate::docker::version::{ApiVersion, NEWEST};
use crate::engine::Node;
use crate::error::{Error, Kind, Result};

// What changed, by the version that changed it; from the history of the Engine API.

/// Frames of `attach/ws` are binary instead of text.
const BINARY_FRAMES: ApiVersion = ApiVersion::new(1, 28);
/// A container's IPC namespace cannot be shared unless it says so.
const PRIVATE_IPC: ApiVersion = ApiVersion::new(1, 40);
/// `filter=` of image lists is gone.
const NO_IMAGE_FILTER: ApiVersion = ApiVersion::new(1, 41);
/// A container's cgroup namespace is what the engine prefers instead of the host's.
const CGROUP_CHOICE: ApiVersion = ApiVersion::new(1, 41);
/// `attach/ws` carries only the streams that are asked for.
const WEBSOCKET_CHOICE: ApiVersion = ApiVersion::new(1, 42);
/// Streams of several outputs have a content type of their own.
const MULTIPLEXED: ApiVersion = ApiVersion::new(1, 42);
/// Volume prune spares named volumes unless `all` is set.
const SPARED_VOLUMES: ApiVersion = ApiVersion::new(1, 42);
/// Mounts with options for another type of mount are refused instead of read leniently.
const STRICT_MOUNTS: ApiVersion = ApiVersion::new(1, 42);
/// Images without names have empty lists of names instead of `<none>:<none>`.
const NO_NONE: ApiVersion = ApiVersion::new(1, 43);
/// Read-only bind mounts are so all the way down.
const RECURSIVE_READ_ONLY: ApiVersion = ApiVersion::new(1, 44);
/// Images have no `VirtualSize`.
const NO_VIRTUAL_SIZE: ApiVersion = ApiVersion::new(1, 44);
/// Images do not tell of the container that they were made from; compose 1 reads it.
const NO_IMAGE_CONTAINER: ApiVersion = ApiVersion::new(1, 45);
/// A container's aliases do not include its short ID.
const NO_ID_ALIAS: ApiVersion = ApiVersion::new(1, 45);

/// Two versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    asked: ApiVersion,
    sent: ApiVersion,
}

impl Gap {
    /// The gap for a client's call to a node. A client that names no version has none.
    pub fn between(asked: Option<ApiVersion>, node: &Node) -> Gap {
        let sent = version_for(asked, node);
        Gap { asked: asked.unwrap_or(sent), sent }
    }

    /// The gap for answers from the view, which is made in the newest version of each engine. A client that
    /// names no version gets the newest that we announce.
    pub fn from_view(call: &Call, view: &View) -> Gap {
        Gap { asked: call.version.unwrap_or(view.api_range().max), sent: NEWEST }
    }

    /// Whether a change lies between the two versions.
    fn crosses(self, change: ApiVersion) -> bool {
        self.asked < change && change <= self.sent
    }

    /// Whether the client's `filter=` means anything.
    pub fn has_image_filter(self) -> bool {
        self.asked < NO_IMAGE_FILTER
    }

    /// A create body: what the client may leave out means what it meant in its version.
    pub fn create(self, body: &mut Object) {
        let mut host = body.object("HostConfig");
        let unset = |host: &Object, key: &str| host.get::<String>(key).is_none_or(|v| v.is_empty());
        for (change, key, meant) in
            [(PRIVATE_IPC, "IpcMode", "shareable"), (CGROUP_CHOICE, "CgroupnsMode", "host")]
        {
            if self.crosses(change) && unset(&host, key) {
                host.set(key, meant);
            }
        }
        if let Some(mut mounts) = host.get::<Vec<Object>>("Mounts") {
            mounts.iter_mut().for_each(|mount| self.mount(mount));
            host.set("Mounts", &mounts);
        }
        if !host.is_empty() {
            body.set("HostConfig", &host);
        }
    }

    fn mount(self, mount: &mut Object) {
        let kind: String = mount.get("Type").unwrap_or_default();
        if self.crosses(STRICT_MOUNTS) {
            for (of, options) in
                [("bind", "BindOptions"), ("volume", "VolumeOptions"), ("tmpfs", "TmpfsOptions")]
            {
                if of != kind {
                    mount.remove(options);
                }
            }
        }
        if self.crosses(RECURSIVE_READ_ONLY) && kind == "bind" && mount.get::<bool>("ReadOnly") == Some(true)
        {
            let mut options = mount.object("BindOptions");
            options.set("ReadOnlyNonRecursive", &true);
            mount.set("BindOptions", &options);
        }
    }

    /// `attach/ws`. Text frames cannot be made from binary ones by somebody who only passes bytes on.
    pub fn websocket(self, node: &Node, query: &mut Query) -> Result<()> {
        if self.crosses(BINARY_FRAMES) {
            let text = format!(
                "API {} attaches a websocket in text frames, which {} cannot do: its oldest API version is {}",
                self.asked,
                node.name(),
                self.sent
            );
            return Err(
                Error::client(Kind::Invalid, text).advise(format!("use API {BINARY_FRAMES} or newer"))
            );
        }
        if self.crosses(WEBSOCKET_CHOICE) {
            ["stdin", "stdout", "stderr"].iter().for_each(|stream| query.set(stream, "1"));
        }
        Ok(())
    }

    /// The filters of a volume prune.
    pub fn volume_prune(self, filters: &mut Filters) {
        if self.crosses(SPARED_VOLUMES) && !filters.has("all") {
            filters.add("all", "true");
        }
    }

    /// Whether `image` would change anything.
    pub fn in_image(self) -> bool {
        self.asked < NO_IMAGE_CONTAINER
    }

    /// An inspected image. What is there stays: engines in between have some of it.
    pub fn image(self, image: &mut Object) {
        self.image_entry(image);
        if self.asked < NO_IMAGE_CONTAINER && !image.contains("ContainerConfig") {
            image.set("Container", "");
            image.set("ContainerConfig", &image.object("Config"));
        }
    }

    /// A listed image, also one in a disk usage.
    pub fn image_entry(self, image: &mut Object) {
        if self.asked < NO_VIRTUAL_SIZE
            && !image.contains("VirtualSize")
            && let Some(size) = image.get::<i64>("Size")
        {
            image.set("VirtualSize", &size);
        }
    }

    /// A listed image's names, for tags and digests: how lists show that there are none.
    pub fn names(self, image: &mut Object, tags: &[String], digests: &[String]) {
        let nameless = tags.is_empty() && digests.is_empty();
        for (key, names, none) in
            [("RepoTags", tags, "<none>:<none>"), ("RepoDigests", digests, "<none>@<none>")]
        {
            match self.asked < NO_NONE && names.is_empty() {
                true if nameless => image.set(key, &[none]),
                true => image.set(key, &None::<()>),
                false => image.set(key, names),
            }
        }
    }

    /// An inspected container.
    pub fn container(self, container: &mut Object) {
        if !self.crosses(NO_ID_ALIAS) {
            return;
        }
        let id: String = container.get("Id").unwrap_or_default();
        let short = id.get(..12).unwrap_or(&id);
        let mut settings = container.object("NetworkSettings");
        let mut networks = settings.object("Networks");
        let names: Vec<String> = networks.keys().map(str::to_string).collect();
        for name in names {
            let mut endpoint = networks.object(&name);
            let mut aliases: Vec<String> = endpoint.get("Aliases").unwrap_or_default();
            // Predefined networks have none.
            if endpoint.get::<Vec<String>>("DNSNames").is_some() && !aliases.iter().any(|a| a == short) {
                aliases.push(short.to_string());
                endpoint.set("Aliases", &aliases);
                networks.set(&name, &endpoint);
            }
        }
        settings.set("Networks", &networks);
        container.set("NetworkSettings", &settings);
    }

    /// The head of an answer that may carry a stream.
    pub fn stream<B>(self, response: &mut Response<B>) {
        let multiplexed = "application/vnd.docker.multiplexed-stream";
        if self.crosses(MULTIPLEXED) && response.headers().get(CONTENT_TYPE).is_some_and(|t| t == multiplexed)
        {
            let raw = HeaderValue::from_static("application/vnd.docker.raw-stream");
            response.headers_mut().insert(CONTENT_TYPE, raw);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::view::tests::node;

    fn gap(asked: u16, sent: u16) -> Gap {
        Gap { asked: ApiVersion::new(1, asked), sent: ApiVersion::new(1, sent) }
    }

    fn created(gap: Gap, body: &str) -> String {
        let mut body = Object::parse(body.as_bytes()).unwrap();
        gap.create(&mut body);
        body.to_json()
    }

    #[test]
    fn without_a_gap_nothing_changes() {
        let body =
            r#"{"Image":"x","HostConfig":{"Mounts":[{"Type":"bind","ReadOnly":true,"TmpfsOptions":{}}]}}"#;
        assert_eq!(created(gap(44, 44), body), body);
        assert_eq!(created(gap(24, 24), r#"{"Image":"x"}"#), r#"{"Image":"x"}"#);
        assert_eq!(created(gap(44, 51), r#"{"Image":"x"}"#), r#"{"Image":"x"}"#);
    }

    #[test]
    fn a_create_means_what_it_meant() {
        assert_eq!(
            created(gap(24, 44), r#"{"Image":"x"}"#),
            r#"{"Image":"x","HostConfig":{"IpcMode":"shareable","CgroupnsMode":"host"}}"#
        );
        assert_eq!(
            created(gap(40, 44), r#"{"HostConfig":{"CgroupnsMode":"private","IpcMode":""}}"#),
            r#"{"HostConfig":{"CgroupnsMode":"private","IpcMode":""}}"#
        );
        assert_eq!(
            created(
                gap(41, 44),
                r#"{"HostConfig":{"Mounts":[{"Type":"bind","ReadOnly":true,"VolumeOptions":{}}]}}"#
            ),
            r#"{"HostConfig":{"Mounts":[{"Type":"bind","ReadOnly":true,"BindOptions":{"ReadOnlyNonRecursive":true}}]}}"#
        );
    }

    #[test]
    fn websockets_get_all_streams_or_a_clear_refusal() {
        let pi = node("a:1", "pi1", &[]);
        let mut query = Query::parse("stream=1");
        let refused = gap(24, 44).websocket(&pi, &mut query).unwrap_err();
        assert_eq!(refused.kind, Kind::Invalid);
        assert!(refused.to_string().contains("pi1") && refused.to_string().contains("1.28"));
        gap(30, 44).websocket(&pi, &mut query).unwrap();
        assert_eq!(query.to_text(), "?stream=1&stdin=1&stdout=1&stderr=1");
    }

    #[test]
    fn old_volume_prunes_take_all() {
        let pruned = |gap: Gap| {
            let mut filters = Filters::default();
            gap.volume_prune(&mut filters);
            filters.has("all")
        };
        assert!(pruned(gap(41, 44)) && !pruned(gap(41, 41)) && !pruned(gap(42, 44)));
    }

    #[test]
    fn images_have_what_old_clients_read() {
        let mut image = Object::parse(br#"{"Id":"i","Size":5,"Config":{"Cmd":["sh"]}}"#).unwrap();
        gap(24, 51).image(&mut image);
        assert_eq!(
            image.to_json(),
            r#"{"Id":"i","Size":5,"Config":{"Cmd":["sh"]},"VirtualSize":5,"Container":"","ContainerConfig":{"Cmd":["sh"]}}"#
        );
        let mut image = Object::parse(br#"{"Id":"i","Size":5}"#).unwrap();
        gap(45, 51).image(&mut image);
        assert_eq!(image.to_json(), r#"{"Id":"i","Size":5}"#);
    }

    #[test]
    fn having_no_name_looks_different() {
        let named = |asked, tags: &[&str]| {
            let tags: Vec<String> = tags.iter().map(ToString::to_string).collect();
            let mut image = Object::default();
            gap(asked, 51).names(&mut image, &tags, &[]);
            image.to_json()
        };
        assert_eq!(named(42, &[]), r#"{"RepoTags":["<none>:<none>"],"RepoDigests":["<none>@<none>"]}"#);
        assert_eq!(named(42, &["a:1"]), r#"{"RepoTags":["a:1"],"RepoDigests":null}"#);
        assert_eq!(named(43, &["a:1"]), r#"{"RepoTags":["a:1"],"RepoDigests":[]}"#);
    }

    #[test]
    fn containers_are_known_by_their_short_id() {
        let text = br#"{"Id":"0123456789abcdef","NetworkSettings":{"Networks":{
            "app":{"Aliases":["web"],"DNSNames":["web","0123456789ab"]},"bridge":{"Aliases":null,"DNSNames":null}}}}"#;
        let mut container = Object::parse(text).unwrap();
        gap(24, 45).container(&mut container);
        let networks = container.object("NetworkSettings").object("Networks");
        assert_eq!(networks.object("app").get::<Vec<String>>("Aliases").unwrap(), ["web", "0123456789ab"]);
        assert_eq!(networks.object("bridge").get::<Vec<String>>("Aliases"), None);
    }
}
