//! The registry on disk: `registry.json` in the state directory.
//!
//! Times in the file are seconds since the Unix epoch; the store in memory counts by a clock that does not
//! jump. What cannot be read is an error, never silently an empty registry.

use std::collections::HashSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::discovery::entry;
use crate::discovery::registry_store::{Member, Store, clamp_ttl};
use crate::error::{Error, Kind, Result};
use crate::state_file;

/// Name of the file in the state directory.
pub const FILE_NAME: &str = "registry.json";
/// The only version so far.
const VERSION: u32 = 1;
const WHAT: &str = "the token registry";

#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    clusters: Vec<Cluster>,
}

#[derive(Serialize, Deserialize)]
struct Cluster {
    token_sha256: String,
    entries: Vec<Saved>,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    address: String,
    /// Seconds.
    ttl: i64,
    /// Unix seconds.
    expires: i64,
}

/// Reads the file at Unix time `now`; a missing one is an empty registry. An expiry further away than its
/// own ttl was written by a clock that was ahead, and is cut to that.
pub fn load(path: &Path, now: i64) -> Result<Store> {
    let Some(bytes) = state_file::load(path, WHAT)? else { return Ok(Store::default()) };
    parse(&bytes, now).map_err(|why| damaged(path, &why))
}

fn parse(bytes: &[u8], now: i64) -> std::result::Result<Store, String> {
    let document: Document = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    if document.version != VERSION {
        return Err(format!("version {} is not known to this swarmd", document.version));
    }
    let mut store = Store::default();
    for cluster in document.clusters {
        let hash = cluster.token_sha256;
        if hash.len() != 64 || !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(format!("{hash:?} is no SHA-256"));
        }
        let mut seen = HashSet::new();
        let mut members = Vec::with_capacity(cluster.entries.len());
        for saved in cluster.entries {
            let address = entry::parse(&saved.address).map_err(|e| e.message)?.to_string();
            if seen.insert(address.clone()) {
                members.push(restore(address, &saved, now));
            }
        }
        store.restore(hash.to_ascii_lowercase(), members);
    }
    Ok(store)
}

fn restore(address: String, saved: &Saved, now: i64) -> Member {
    let ttl = clamp_ttl(saved.ttl);
    let expires = saved.expires.min(now + ttl);
    Member { address, ttl, expires, saved: expires }
}

/// The content of the file. `ahead` is what the wall clock is ahead of the store's clock, in seconds.
pub fn render(store: &Store, ahead: i64) -> Result<Vec<u8>> {
    let saved = |m: &Member| Saved { address: m.address.clone(), ttl: m.ttl, expires: m.expires + ahead };
    let clusters = store.clusters().map(|(hash, members)| Cluster {
        token_sha256: hash.clone(),
        entries: members.iter().map(saved).collect(),
    });
    let document = Document { version: VERSION, clusters: clusters.collect() };
    let mut bytes =
        serde_json::to_vec_pretty(&document).map_err(|e| Error::us(Kind::Internal, e.to_string()))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Replaces the file. Blocks on the disk.
pub fn save(path: &Path, content: &[u8]) -> Result<()> {
    state_file::save(path, WHAT, content)
}

fn damaged(path: &Path, why: &str) -> Error {
    let path = path.display();
    Error::us(Kind::Config, format!("{WHAT} {path} is damaged: {why}")).advise(format!(
        "put back a copy, or move it away (mv {path} {path}.damaged): agents then join again by themselves, \
         but tokens of `swarmd create` are lost and must be made anew"
    ))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn sample() -> Store {
        let mut store = Store::default();
        store.add_token("T").unwrap();
        store.register("T", "b:1", 100, 1000).unwrap();
        store.register("T", "unix:///run/docker.sock", 100, 1010).unwrap();
        store.add_token("empty").unwrap();
        store.mark_saved();
        store
    }

    #[test]
    fn comes_back_as_it_was_in_order_and_with_its_expiry() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub").join(FILE_NAME);
        assert_eq!(load(&path, 0).unwrap(), Store::default());
        save(&path, b"left over").unwrap();
        save(&path, &render(&sample(), 0).unwrap()).unwrap();
        assert_eq!(load(&path, 1020).unwrap(), sample());
        assert!(!fs::read_to_string(&path).unwrap().contains("\"T\""));
    }

    #[test]
    fn clocks_that_moved() {
        // The wall clock runs 5000 s ahead of the store's: the file has wall time.
        let bytes = render(&sample(), 5000).unwrap();
        let store = parse(&bytes, 6020).unwrap();
        assert_eq!(store.list("T", 6099).unwrap().len(), 2);
        assert_eq!(store.list("T", 6100).unwrap(), ["unix:///run/docker.sock"]);
        // A machine without a battery clock comes up in the past: nothing lives longer than its ttl.
        let store = parse(&bytes, 10).unwrap();
        assert_eq!(store.list("T", 109).unwrap().len(), 2);
        assert_eq!(store.list("T", 110).unwrap().len(), 0);
    }

    #[test]
    fn damage_is_named_and_the_file_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        let sound = String::from_utf8(render(&sample(), 0).unwrap()).unwrap();
        for content in [
            String::new(),
            "{".into(),
            sound[..sound.len() / 2].into(),
            sound.replace("\"version\": 1", "\"version\": 2"),
            sound.replace("b:1", "b"),
            sound.replacen("token_sha256\": \"", "token_sha256\": \"x", 1),
        ] {
            fs::write(&path, &content).unwrap();
            let error = load(&path, 0).unwrap_err();
            assert_eq!(error.kind, Kind::Config, "{content}");
            assert!(error.message.contains(path.to_str().unwrap()));
            assert!(error.advice.unwrap().contains("mv "));
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let error = save(&file.join(FILE_NAME), b"").unwrap_err();
        assert!(error.message.contains("cannot save the token registry"));
    }
}
