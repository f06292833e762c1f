//! Image references as users write them, and when two of them mean the same image.
//!
//! `busybox`, `busybox:latest` and `docker.io/library/busybox` are one name: newer clients send the long
//! form, engines list the short one.

/// A reference split into name and tag or digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Familiar name: without `docker.io/` and `library/`.
    pub name: String,
    /// Tag, if one was given.
    pub tag: Option<String>,
    /// Digest (`sha256:…`), if one was given.
    pub digest: Option<String>,
}

impl Reference {
    /// Splits a reference. Never fails: what is no valid reference simply matches nothing.
    pub fn parse(text: &str) -> Reference {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.to_string())),
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag.to_string())),
            _ => (rest, None),
        };
        Reference { name: familiar(name).to_string(), tag, digest }
    }

    /// The familiar text, with `:latest` where neither tag nor digest is given.
    pub fn with_default_tag(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => format!("{}@{digest}", self.name),
            (None, Some(tag)) => format!("{}:{tag}", self.name),
            (None, None) => format!("{}:latest", self.name),
        }
    }
}

fn familiar(name: &str) -> &str {
    let name =
        name.strip_prefix("docker.io/").or_else(|| name.strip_prefix("index.docker.io/")).unwrap_or(name);
    name.strip_prefix("library/").unwrap_or(name)
}

/// Whether `wanted` names the image with this ID, these tags and these digests: by full ID, by an ID prefix
/// of at least three characters (with or without `sha256:`), or by reference.
pub fn matches(wanted: &str, id: &str, repo_tags: &[String], repo_digests: &[String]) -> bool {
    names_image(wanted, repo_tags, repo_digests) || is_id_of(wanted, id)
}

/// Whether `wanted` is an ID, or the beginning of one.
pub fn is_id_of(wanted: &str, id: &str) -> bool {
    let bare = id.strip_prefix("sha256:").unwrap_or(id);
    let wanted = wanted.strip_prefix("sha256:").unwrap_or(wanted);
    wanted.len() > 2 && wanted.bytes().all(|b| b.is_ascii_hexdigit()) && bare.starts_with(wanted)
}

/// Whether `wanted` is a name of the image.
pub fn names_image(wanted: &str, repo_tags: &[String], repo_digests: &[String]) -> bool {
    let wanted = Reference::parse(wanted);
    let text = wanted.with_default_tag();
    let candidates = if wanted.digest.is_some() { repo_digests } else { repo_tags };
    candidates.iter().any(|c| Reference::parse(c).with_default_tag() == text)
}

/// Those of an image's digests that are of the repository that `name` is of. Whoever may pull can give an image digests
/// of other repositories.
pub fn of_repository<'a>(name: &str, repo_digests: &'a [String]) -> impl Iterator<Item = &'a String> {
    let own = Reference::parse(name).name;
    repo_digests.iter().filter(move |digest| Reference::parse(digest).name == own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(wanted: &str) -> bool {
        let tags = ["busybox:latest".to_string(), "reg:5000/team/app:1.2".to_string()];
        let digests = ["busybox@sha256:feed".to_string()];
        matches(wanted, "sha256:abcdef0123456789", &tags, &digests)
    }

    #[test]
    fn one_image_has_many_names() {
        for name in [
            "busybox",
            "busybox:latest",
            "docker.io/library/busybox",
            "docker.io/library/busybox:latest",
            "library/busybox",
            "reg:5000/team/app:1.2",
            "busybox@sha256:feed",
            "docker.io/library/busybox@sha256:feed",
            "sha256:abcdef0123456789",
            "abcdef",
            "sha256:abc",
        ] {
            assert!(hits(name), "{name}");
        }
    }

    #[test]
    fn other_names_do_not_match() {
        for name in [
            "bus",
            "busybox:1",
            "reg:5000/team/app",
            "team/app:1.2",
            "ab",
            "bcdef",
            "busybox@sha256:beef",
            "",
        ] {
            assert!(!hits(name), "{name}");
        }
    }
}
