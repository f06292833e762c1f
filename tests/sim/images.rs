//! Images: list, inspect, pull from an imaginary registry, tag, delete, save and load. No layers exist.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::clock::rfc3339;
use super::profile::hex_id;
use super::query::Query;
use super::reply::{Fail, Outcome, fail, full, json_ok, json_with, lines, status, typed, with};
use super::state::{Engine, State};

/// How an archive of ours begins; the images follow, one a line.
const ARCHIVE: &str = "sim-images\n";

/// An image.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Image {
    /// `sha256:` and 64 hex digits.
    pub id: String,
    /// `name:tag`.
    pub tags: Vec<String>,
    /// `name@sha256:...`.
    pub digests: Vec<String>,
    /// What it was built for: `amd64`, `arm/v7`.
    pub architecture: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Default command.
    pub cmd: Vec<String>,
    /// Nanoseconds since 1970.
    pub created: i64,
}

/// A reference in the short form engines show, with a tag: `docker.io/library/x` is `x:latest`.
pub fn with_tag(reference: &str) -> String {
    let name = reference.strip_prefix("docker.io/").unwrap_or(reference);
    let name = name.strip_prefix("index.docker.io/").unwrap_or(name);
    let name = name.strip_prefix("library/").unwrap_or(name);
    let last = name.rsplit('/').next().unwrap_or(name);
    match last.contains([':', '@']) {
        true => name.to_string(),
        false => format!("{name}:latest"),
    }
}

/// An image that follows from its name and architecture alone, so that all engines have the same one.
pub fn named(reference: &str, architecture: &str) -> Image {
    let tag = with_tag(reference);
    let made_of = if architecture == "amd64" { tag.clone() } else { format!("{tag} {architecture}") };
    let name = tag.rsplit_once(':').map_or(tag.as_str(), |(n, _)| n);
    Image {
        id: format!("sha256:{}", hex_id(&made_of)),
        architecture: architecture.to_string(),
        digests: vec![format!("{name}@sha256:{}", hex_id(&format!("digest {tag}")))],
        cmd: vec!["sh".to_string()],
        labels: BTreeMap::new(),
        created: 1_700_000_000_000_000_000,
        tags: vec![tag],
    }
}

impl State {
    /// Finds an image by reference, ID or ID prefix.
    pub fn image(&self, wanted: &str) -> Option<&Image> {
        if wanted.is_empty() {
            return None;
        }
        let tag = with_tag(wanted);
        let bare = wanted.strip_prefix("sha256:").unwrap_or(wanted);
        let hex = bare.len() >= 4 && bare.bytes().all(|b| b.is_ascii_hexdigit());
        self.images
            .iter()
            .find(|i| i.tags.contains(&tag) || i.digests.contains(&tag))
            .or_else(|| self.images.iter().find(|i| hex && i.id["sha256:".len()..].starts_with(bare)))
    }

    fn image_event(&mut self, action: &str, id: &str, name: &str) {
        self.event("image", action, id, BTreeMap::from([("name".to_string(), name.to_string())]));
    }

    /// Adds an image, or its tag to one that is there.
    pub fn add_image(&mut self, image: Image) {
        match self.images.iter_mut().find(|i| i.id == image.id) {
            Some(there) => there
                .tags
                .extend(image.tags.into_iter().filter(|t| !there.tags.contains(t)).collect::<Vec<_>>()),
            None => self.images.push(image),
        }
    }
}

fn missing(name: &str) -> Fail {
    Fail { status: 404, message: format!("No such image: {}", with_tag(name)) }
}

/// `GET /images/json`.
pub fn list(engine: &Engine, query: &Query) -> Outcome {
    let filters = query.filters(&["reference", "label", "label!", "dangling", "before", "since", "until"])?;
    let matches = |tag: &str, want: &str| {
        let pattern = regex::escape(want).replace("\\*", "[^/]*");
        let name = tag.rsplit_once(':').map_or(tag, |(n, _)| n);
        regex::Regex::new(&format!("^{pattern}$")).is_ok_and(|r| r.is_match(tag) || r.is_match(name))
    };
    let state = engine.state();
    let images = state.images.iter().filter(|i| {
        filters.any("reference", |want| i.tags.iter().any(|t| matches(t, want)))
            && filters.any("dangling", |want| matches!(want, "true" | "1") == i.tags.is_empty())
            && filters.labels(&i.labels)
    });
    let entries: Vec<Value> = images
        .map(|i| {
            json!({
                "Containers": -1, "Created": i.created / 1_000_000_000, "Id": i.id, "Labels": i.labels,
                "ParentId": "", "RepoDigests": i.digests, "RepoTags": i.tags, "SharedSize": -1,
                "Size": 4_261_550, "VirtualSize": 4_261_550,
            })
        })
        .collect();
    json_ok(&json!(entries))
}

/// `GET /images/{name}/json`.
pub fn inspect(engine: &Engine, name: &str) -> Outcome {
    let state = engine.state();
    let image = state.image(name).ok_or_else(|| missing(name))?;
    let (architecture, variant) = image.architecture.split_once('/').unwrap_or((&image.architecture, ""));
    json_ok(&json!({
        "Id": image.id, "RepoTags": image.tags, "RepoDigests": image.digests, "Parent": "", "Comment": "",
        "Created": rfc3339(image.created), "DockerVersion": "", "Author": "", "Architecture": architecture,
        "Variant": variant, "Os": "linux",
        "Size": 4_261_550, "VirtualSize": 4_261_550,
        "Config": {"Env": ["PATH=/bin"], "Cmd": image.cmd, "Entrypoint": null, "Labels": image.labels, "WorkingDir": ""},
        "GraphDriver": {"Data": null, "Name": "overlay2"},
        "RootFS": {"Type": "layers", "Layers": [format!("sha256:{}", hex_id(&image.id))]},
        "Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"},
    }))
}

/// `GET /images/{name}/history`.
pub fn history(engine: &Engine, name: &str) -> Outcome {
    let state = engine.state();
    let image = state.image(name).ok_or_else(|| missing(name))?;
    json_ok(&json!([{
        "Comment": "", "Created": image.created / 1_000_000_000, "CreatedBy": "CMD [\"sh\"]", "Id": image.id,
        "Size": 4_261_550, "Tags": image.tags,
    }]))
}

/// `POST /images/create`: a pull with progress, or an import.
pub fn create(engine: &Arc<Engine>, query: &Query) -> Outcome {
    let tag = query.get("tag");
    let platform = query.get("platform").filter(|p| !p.is_empty());
    let architecture =
        platform.map_or(engine.profile.architecture.as_str(), |p| p.trim_start_matches("linux/"));
    let Some(from) = query.get("fromImage") else {
        let name = format!("{}:{}", query.get("repo").unwrap_or("import"), tag.unwrap_or("latest"));
        let image = named(&name, architecture);
        let id = image.id.clone();
        let mut state = engine.state();
        state.add_image(image);
        state.image_event("import", &id, &id);
        drop(state);
        engine.bump();
        return Ok(lines(&[json!({"status": id})]));
    };
    let reference = match tag {
        Some(digest) if digest.contains(':') => with_tag(&format!("{from}@{digest}")),
        Some(tag) => with_tag(&format!("{from}:{tag}")),
        None => with_tag(from),
    };
    let name = reference.split(['@']).next().unwrap_or(&reference);
    let name = name.rsplit_once(':').map_or(name, |(n, t)| if t.contains('/') { name } else { n });
    if !engine.profile.registry.iter().any(|known| known == name) {
        return fail(
            404,
            format!(
                "pull access denied for {name}, repository does not exist or may require 'docker login': denied: \
                 requested access to the resource is denied"
            ),
        );
    }
    let image = named(&reference, architecture);
    let mut state = engine.state();
    let fresh = state.image(&reference).is_none();
    let digest = image.digests[0].split('@').nth(1).unwrap_or("").to_string();
    state.add_image(image);
    state.image_event("pull", &reference, name);
    drop(state);
    engine.bump();
    let label = reference.rsplit(':').next().unwrap_or("latest").to_string();
    let layer = &digest[7..19];
    let mut progress = vec![json!({"status": format!("Pulling from {}", library(name)), "id": label})];
    if fresh {
        progress.extend([
            json!({"status": "Pulling fs layer", "progressDetail": {}, "id": layer}),
            json!({"status": "Downloading", "progressDetail": {"current": 1_000_000, "total": 2_000_000},
                   "progress": "[=========================>                         ]      1MB/2MB", "id": layer}),
            json!({"status": "Download complete", "progressDetail": {}, "id": layer}),
            json!({"status": "Pull complete", "progressDetail": {}, "id": layer}),
        ]);
    }
    progress.push(json!({"status": format!("Digest: {digest}")}));
    let last = if fresh { "Downloaded newer image for" } else { "Image is up to date for" };
    progress.push(json!({"status": format!("Status: {last} {reference}")}));
    Ok(lines(&progress))
}

fn library(name: &str) -> String {
    if name.contains('/') { name.to_string() } else { format!("library/{name}") }
}

/// `POST /images/{name}/tag`.
pub fn tag(engine: &Arc<Engine>, name: &str, query: &Query) -> Outcome {
    let Some(repo) = query.get("repo") else {
        return fail(400, "invalid reference format");
    };
    let new = with_tag(&format!("{repo}:{}", query.get("tag").unwrap_or("latest")));
    let mut state = engine.state();
    let id = state.image(name).ok_or_else(|| missing(name))?.id.clone();
    for image in &mut state.images {
        image.tags.retain(|t| *t != new);
        if image.id == id {
            image.tags.push(new.clone());
        }
    }
    state.image_event("tag", &id, &new);
    drop(state);
    engine.bump();
    Ok(status(201))
}

/// `DELETE /images/{name}`.
pub fn delete(engine: &Arc<Engine>, name: &str, query: &Query) -> Outcome {
    let mut state = engine.state();
    let image = state.image(name).ok_or_else(|| missing(name))?.clone();
    let by_tag = image.tags.contains(&with_tag(name));
    let short = &image.id[7..19];
    if by_tag && image.tags.len() > 1 {
        let gone = with_tag(name);
        if let Some(kept) = state.images.iter_mut().find(|i| i.id == image.id) {
            kept.tags.retain(|t| *t != gone);
        }
        state.image_event("untag", &image.id, &image.id);
        drop(state);
        engine.bump();
        return json_ok(&json!([{"Untagged": gone}]));
    }
    if !by_tag && image.tags.len() > 1 && !query.flag("force") {
        return fail(
            409,
            format!(
                "conflict: unable to delete {short} (must be forced) - image is referenced in multiple repositories"
            ),
        );
    }
    if let Some(user) =
        state.containers.iter().find(|c| c.image_id == image.id && (c.running() || !query.flag("force")))
    {
        let (how, what) =
            if user.running() { ("cannot be forced", "running") } else { ("must be forced", "stopped") };
        let text = match by_tag {
            true if !user.running() || !query.flag("force") => format!(
                "conflict: unable to remove repository reference \"{name}\" (must force) - container {} is using its \
                 referenced image {short}",
                &user.id[..12]
            ),
            _ => format!(
                "conflict: unable to delete {short} ({how}) - image is being used by {what} container {}",
                &user.id[..12]
            ),
        };
        return fail(409, text);
    }
    state.images.retain(|i| i.id != image.id);
    for _ in &image.tags {
        state.image_event("untag", &image.id, &image.id);
    }
    state.image_event("delete", &image.id, &image.id);
    drop(state);
    engine.bump();
    let untagged = image.tags.iter().chain(&image.digests).map(|t| json!({"Untagged": t}));
    let deleted: Vec<Value> = untagged.chain([json!({"Deleted": image.id})]).collect();
    json_ok(&json!(deleted))
}

/// `GET /images/get` and `/images/{name}/get`: a stand-in for a tar that `load` understands.
pub fn save<'a>(engine: &Engine, names: impl Iterator<Item = &'a str>) -> Outcome {
    let state = engine.state();
    let mut archive = ARCHIVE.to_string();
    for name in names {
        let mut image = state.image(name).ok_or_else(|| missing(name))?.clone();
        // As real archives: the names that were asked for, and no digests.
        image.tags.retain(|tag| *tag == with_tag(name));
        image.digests.clear();
        archive.push_str(&format!("{}\n", json!(image)));
    }
    Ok(typed(with(200, full(archive)), "application/x-tar"))
}

/// `POST /images/load`: what `save` gave; of any other tar, one image named after nothing in it.
pub fn load(engine: &Arc<Engine>, body: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(body);
    let images: Vec<Image> = match text.strip_prefix(ARCHIVE) {
        Some(list) => list.lines().filter_map(|line| serde_json::from_str(line).ok()).collect(),
        None => vec![named("loaded:latest", &engine.profile.architecture)],
    };
    let mut state = engine.state();
    let mut progress = Vec::new();
    for image in images {
        let (id, name) = (image.id.clone(), image.tags.first().unwrap_or(&image.id).clone());
        state.add_image(image);
        state.image_event("load", &id, &id);
        progress.push(json!({"stream": format!("Loaded image: {name}\n")}));
    }
    drop(state);
    engine.bump();
    Ok(lines(&progress))
}

/// `POST /images/{name}/push`.
pub fn push(engine: &Engine, name: &str, query: &Query) -> Outcome {
    let tag = query.get("tag").unwrap_or("latest");
    let state = engine.state();
    if state.image(&format!("{name}:{tag}")).is_none() {
        return fail(
            404,
            format!(
                "An image does not exist locally with the tag: {}",
                with_tag(name).replace(":latest", "")
            ),
        );
    }
    Ok(lines(&[
        json!({"status": format!("The push refers to repository [{name}]")}),
        json!({"status": format!("{tag}: digest: sha256:{} size: 527", hex_id(name))}),
        json!({"progressDetail": {}, "aux": {"Tag": tag, "Digest": format!("sha256:{}", hex_id(name)), "Size": 527}}),
    ]))
}

/// `GET /images/search`.
pub fn search(engine: &Engine, query: &Query) -> Outcome {
    let term = query.get("term").unwrap_or("");
    let hits: Vec<Value> = (engine.profile.registry.iter().filter(|n| n.contains(term)))
        .map(|n| json!({"name": n, "description": "", "star_count": 1, "is_official": true, "is_automated": false}))
        .collect();
    json_ok(&json!(hits))
}

/// `POST /commit`.
pub fn commit(engine: &Arc<Engine>, query: &Query) -> Outcome {
    let mut state = engine.state();
    let wanted = query.get("container").unwrap_or("");
    let position = state.position(wanted)?;
    let serial = state.next_serial();
    let unique = format!("{}{serial}", state.containers[position].id);
    let mut image = named(&unique, &engine.profile.architecture);
    image.digests.clear();
    image.tags = query
        .get("repo")
        .map(|r| with_tag(&format!("{r}:{}", query.get("tag").unwrap_or("latest"))))
        .into_iter()
        .collect();
    image.cmd = state.containers[position].argv.clone();
    let id = image.id.clone();
    state.images.push(image);
    state.container_event(position, "commit", &[("imageID", id.clone())]);
    drop(state);
    engine.bump();
    Ok(json_with(201, &json!({"Id": id})))
}

/// `POST /images/prune`: images without a name, or all that no container uses.
pub fn prune(engine: &Arc<Engine>, query: &Query) -> Outcome {
    let filters = query.filters(&["dangling", "label", "label!", "until"])?;
    let all = filters.values("dangling").iter().any(|v| matches!(v.as_str(), "false" | "0"));
    let mut state = engine.state();
    let used: Vec<String> = state.containers.iter().map(|c| c.image_id.clone()).collect();
    let (gone, kept) = std::mem::take(&mut state.images).into_iter().partition::<Vec<_>, _>(|i| {
        !used.contains(&i.id) && (all || i.tags.is_empty()) && filters.labels(&i.labels)
    });
    state.images = kept;
    for image in &gone {
        state.image_event("delete", &image.id, &image.id);
    }
    drop(state);
    engine.bump();
    let deleted: Vec<Value> = gone.iter().map(|i| json!({"Deleted": i.id})).collect();
    json_ok(
        &json!({"ImagesDeleted": if gone.is_empty() { Value::Null } else { json!(deleted) }, "SpaceReclaimed": gone.len() * 4096}),
    )
}
